# mypy: ignore-errors
"""Which requests are for this site: its host and scheme are those of PUBLIC_URL, and its path is the prefix of ours."""

import logging
from urllib.parse import urlsplit, urlunsplit

from flask import current_app, redirect, request

from app.web import proxies
from settings.validation import PUBLIC_URL

log = logging.getLogger(__name__)

PROBES = {"main.healthz", "main.readyz", "main.arrived"}  # asked for by machines, at whatever address
MAX_SAID, MOST_SAID = 200, 100  # characters of an address that is refused; addresses
PORTS = {"http": "80", "https": "443"}


class UnderPath:
    """WSGI middleware: the application lives under `path`, whether or not a proxy has taken that off."""

    def __init__(self, wsgi_app, path):
        self.wsgi_app, self.path = wsgi_app, path

    def __call__(self, environ, start_response):
        environ["SCRIPT_NAME"] = self.path
        asked = environ.get("PATH_INFO", "")
        if asked == self.path or asked.startswith(f"{self.path}/"):
            environ["PATH_INFO"] = asked[len(self.path) :]
        return self.wsgi_app(environ, start_response)


def check_host_and_scheme():
    """Refuse other hosts; lead http to https."""
    public = urlsplit(current_app.config["PUBLIC_URL"])
    if request.endpoint in PROBES:
        return None
    is_ours = _without_port(request.host, request.scheme) == _without_port(public.netloc, public.scheme)
    if not is_ours or request.scheme not in PORTS:  # which a proxy may have taken from anybody
        return _refuse_host(public)
    if public.scheme == "https" and not request.is_secure:
        path, query = urlsplit(request.url).path, request.query_string.decode("latin-1")  # both as they were quoted
        address = urlunsplit((public.scheme, public.netloc, path, query, ""))
        return redirect(address, 301 if request.method in {"GET", "HEAD"} else 308)
    return None


def init_app(app):
    """Take off the prefix, listen to trusted proxies, then look at the host."""
    if path := urlsplit(app.config["PUBLIC_URL"]).path:
        app.wsgi_app = UnderPath(app.wsgi_app, path)
    proxies.init_app(app)
    app.before_request(check_host_and_scheme)


def _refuse_host(public):
    """Answer in plain text; say in the log, and to a developer on the page, which address is right and what sets it."""
    asked = f"{request.scheme}://{request.host}"[:MAX_SAID]
    words = f"{ascii(asked)[1:-1]} is not the address of this site: PUBLIC_URL is {public.geturl()}."
    _log_once(asked, words)
    text = "This site has another address.\n"
    if current_app.config["CONFIG_NAME"] == "development":
        text += f"\n{words}\nOpen {public.geturl()}/{_remedy(asked, public)}\n"
    return text, 400, {"Content-Type": "text/plain; charset=utf-8"}


def _remedy(asked, public):
    """Say which setting makes the address that was asked for the right one; nothing if none can."""
    if not PUBLIC_URL.fullmatch(asked):
        return ""
    found = urlsplit(asked)
    settings = f"PUBLIC_URL={asked}{public.path}"
    if (found.scheme, found.hostname, public.path) == ("http", "localhost", "") and found.port:
        settings = f"PORT={found.port}, and leave PUBLIC_URL out,"
    return f" or write {settings} into .env and start again."


def _log_once(asked, words):
    """Warn of each address once: strangers can think up many, so only of the first hundred."""
    said = current_app.extensions.setdefault("refused_hosts", set())
    if asked not in said and len(said) < MOST_SAID:
        said.add(asked)
        log.warning("%s Open that one, or correct the setting PUBLIC_URL or PORT.", words)


def _without_port(host, scheme):
    """A host in lower case, without the port that its scheme has anyway."""
    return host.lower().removesuffix(f":{PORTS.get(scheme)}")

"""Accept requests for the host, scheme and path of PUBLIC_URL only, and find the client's address behind proxies."""

import logging
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit, urlunsplit

from flask import Flask, current_app, redirect, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.wrappers import Request

from app import languages
from app.request_state import current_request
from app.web.language import of_browser
from settings.validation import PUBLIC_URL

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PROBES = {"main.healthz", "main.readyz", "main.arrived", "main.metrics"}  # are requested at any address
MAX_LOGGED_LENGTH, MAX_LOGGED = 200, 100  # characters of a refused address; addresses
PORTS = {"http": "80", "https": "443"}
SOCKET_PEERS = {"", "localhost", "<local>"}  # gunicorn's, waitress's and Werkzeug's names for the peer of a Unix socket
FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST")
PROXY_HEADERS = ("x-forwarded", "forwarded", "x-real-ip", "via")
IS_TRUSTED = "flasky.is_peer_trusted"  # in the WSGI environment

log = logging.getLogger(__name__)


def init_app(app: Flask) -> None:
    """Wrap the WSGI application in the middlewares below, and check the host before each request."""
    if path := urlsplit(app.config["PUBLIC_URL"]).path:
        app.wsgi_app = UnderPath(app.wsgi_app, path)  # type: ignore[method-assign]
    app.wsgi_app = TrustedProxies(  # type: ignore[method-assign]
        app.wsgi_app, app.config["TRUSTED_PROXIES"], app.config["TRUSTED_PROXY_NETWORKS"]
    )
    app.before_request(check_host_and_scheme)


class UnderPath:
    """WSGI middleware that serves the application under `path`, whether or not a proxy removes it from the URL."""

    def __init__(self, wsgi_app: "WSGIApplication", path: str) -> None:
        self.wsgi_app, self.path = wsgi_app, path

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        environ["SCRIPT_NAME"] = self.path
        requested = environ.get("PATH_INFO", "")
        if requested == self.path or requested.startswith(f"{self.path}/"):
            environ["PATH_INFO"] = requested[len(self.path) :]
        return self.wsgi_app(environ, start_response)


class TrustedProxies:
    """WSGI middleware that reads the client's address, the scheme and the host from X-Forwarded-* of trusted proxies.

    Every proxy appends to X-Forwarded-For, so its entries are counted from the right. Scheme and host come from the
    nearest proxy, because proxies variously overwrite, append or drop the values of others.

    Args:
        count: the number of proxies in front of the application.
        networks: the networks that the nearest proxy connects from. Unix sockets are always trusted.
    """

    def __init__(self, wsgi_app: "WSGIApplication", count: int, networks: Iterable[str]) -> None:
        self.wsgi_app, self.count = wsgi_app, count
        self.networks = [ip_network(network) for network in networks]
        self.behind_proxies = ProxyFix(self._with_plain_address, x_for=count, x_proto=1, x_host=1)
        self.has_warned = False

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        peer = environ.get("REMOTE_ADDR") or ""
        environ[IS_TRUSTED] = self._is_trusted(peer)
        if self.count and environ[IS_TRUSTED]:
            return self.behind_proxies(environ, start_response)
        self._warn_once(environ, peer)
        environ["REMOTE_ADDR"] = plain_address(peer) or peer
        return self.wsgi_app(environ, start_response)

    def _with_plain_address(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        environ["REMOTE_ADDR"] = plain_address(environ.get("REMOTE_ADDR") or "")
        return self.wsgi_app(environ, start_response)

    def _is_trusted(self, peer: str) -> bool:
        if peer in SOCKET_PEERS:
            return True
        address = _address(peer)
        return address is not None and any(address in network for network in self.networks)

    def _warn_once(self, environ: "WSGIEnvironment", peer: str) -> None:
        if self.has_warned or not any(header in environ for header in FORWARDED):
            return
        self.has_warned = True
        networks = "add its network to TRUSTED_PROXY_NETWORKS"
        remedy = networks if self.count else "set TRUSTED_PROXIES to the number of proxies in front"
        log.warning("Ignored the X-Forwarded-* headers from %s. If that is your proxy, %s.", peer, remedy)


def plain_address(text: str) -> str:
    """Return an IP address without port, brackets, zone and IPv4 mapping, or "" if the text is not an address."""
    return str(_address(text) or "")


def is_from_this_machine(request: Request) -> bool:
    """Return whether a request came from this machine, for this machine, and through no proxy."""
    if any(name.lower().startswith(PROXY_HEADERS) for name in request.headers.keys()):
        return False
    try:
        named = urlsplit(request.host_url).hostname in {"localhost", "127.0.0.1", "::1"}
        return named and ip_address(request.remote_addr or "").is_loopback
    except ValueError:
        return False


def check_host_and_scheme() -> ResponseReturnValue | None:
    """Refuse requests for other hosts, and redirect HTTP to HTTPS."""
    request = current_request()
    if request.endpoint in PROBES:
        return None
    public = urlsplit(current_app.config["PUBLIC_URL"])
    is_ours = _without_port(request.host, request.scheme) == _without_port(public.netloc, public.scheme)
    if not is_ours or request.scheme not in PORTS:  # a proxy may forward a scheme that the client chose
        return _refuse_host(public)
    if public.scheme == "https" and not request.is_secure:
        path, query = urlsplit(request.url).path, request.query_string.decode("latin-1")  # still percent-encoded
        url = urlunsplit((public.scheme, public.netloc, path, query, ""))
        return redirect(url, 301 if request.method in {"GET", "HEAD"} else 308)
    return None


@lru_cache(1024)
def _address(text: str) -> IPv4Address | IPv6Address | None:
    host = text.strip()
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _refuse_host(public: SplitResult) -> ResponseReturnValue:
    """Answer in plain text. The log (and in development the page) names the right address and its setting."""
    requested = f"{request.scheme}://{request.host}"[:MAX_LOGGED_LENGTH]
    problem = f"{ascii(requested)[1:-1]} is not the address of this site: PUBLIC_URL is {public.geturl()}."
    _log_once(requested, problem)
    with languages.speaking(of_browser()):
        text = gettext("This site has another address.") + "\n"
    if current_app.config["CONFIG_NAME"] == "development":
        text += f"\n{problem}\nOpen {public.geturl()}/{_remedy(requested, public)}\n"
    return text, 400, {"Content-Type": "text/plain; charset=utf-8"}


def _remedy(requested: str, public: SplitResult) -> str:
    """Return which setting makes the requested address the right one, or "" if none does."""
    if not PUBLIC_URL.fullmatch(requested):
        return ""
    found = urlsplit(requested)
    settings = f"PUBLIC_URL={requested}{public.path}"
    if (found.scheme, found.hostname, public.path) == ("http", "localhost", "") and found.port:
        settings = f"PORT={found.port}, and leave PUBLIC_URL out,"
    return f" or write {settings} into .env and start again."


def _log_once(requested: str, problem: str) -> None:
    """Warn once about each address, and only about the first hundred, because clients can invent any number."""
    logged = current_app.extensions.setdefault("refused_hosts", set())
    if requested not in logged and len(logged) < MAX_LOGGED:
        logged.add(requested)
        log.warning("%s Open that address, or correct PUBLIC_URL or PORT.", problem)


def _without_port(host: str, scheme: str) -> str:
    """Return a host in lower case, without the default port of its scheme."""
    return host.lower().removesuffix(f":{PORTS.get(scheme)}")

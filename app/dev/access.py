"""Restrict the development pages and the debugger to browsers that opened the link shown in the terminal.

A proxy or a tunnel in front of this server can make any request look like one from this machine, so neither addresses
nor headers prove where a request comes from. The token in that link does, and a cookie keeps it.
"""

import hmac
import logging
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from flask import Flask, abort, current_app, redirect, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.wrappers import Request, Response

from app.web.hosts import is_from_this_machine
from settings.derived import path_in_cookie_name, stored_secret

TOKEN_LENGTH = 24  # hexadecimal digits; the link fits in a line of a terminal
COOKIE_LASTS = timedelta(days=365)
# The application itself requests these, without cookies.
OPEN_TO_THE_APPLICATION = {"dev.mock_provider_metadata", "dev.mock_provider_keys", "dev.mock_provider_token"}
OPEN_TO_BROWSERS = {"dev.csp_report"}  # of this machine

log = logging.getLogger(__name__)


def init_app(app: Flask) -> None:
    """Read the token, or create it at the first start. It survives restarts."""
    secret = stored_secret(Path(app.instance_path, f"{app.config['MAILBOX']}_token"))
    app.extensions["dev_token"] = secret[:TOKEN_LENGTH]
    app.before_request(accept_token)


def link(path: str = "/") -> str:
    """Return the URL that opens `path` and gives the browser access."""
    return f"{current_app.config['PUBLIC_URL']}{path}?{urlencode({'token': current_app.extensions['dev_token']})}"


def accept_token() -> Response | None:
    """Store the token from the URL in a cookie, and redirect to the URL without it."""
    if request.method != "GET" or not _is_token(current_app, request.args.get("token", "")):
        return None
    rest = urlencode([(name, value) for name, value in request.args.items(multi=True) if name != "token"])
    path = urlsplit(request.url).path.lstrip("/")  # a second slash would name another host
    response = redirect(f"/{path}?{rest}" if rest else f"/{path}")
    flags: dict[str, Any] = {"httponly": True, "samesite": "Lax", "secure": request.is_secure}
    name, scope = cookie_name(current_app), current_app.config["SESSION_COOKIE_PATH"]
    response.set_cookie(name, request.args["token"], COOKIE_LASTS, path=scope, **flags)
    return response


def require_developer() -> ResponseReturnValue | None:
    """Answer 404 to other machines, and explain to a browser without the cookie how to get it."""
    if not is_from_this_machine(request):
        abort(404)
    if request.endpoint in OPEN_TO_THE_APPLICATION | OPEN_TO_BROWSERS or is_developer(current_app, request):
        return None
    log.warning("To open the development pages in your browser, follow this link: %s", link("/dev/mailbox"))
    return render_template("dev/locked.html"), 403


def is_developer(app: Flask, request: Request) -> bool:
    """Return whether the request comes from a browser that opened the link."""
    return is_from_this_machine(request) and _is_token(app, request.cookies.get(cookie_name(app), ""))


def cookie_name(app: Flask) -> str:
    """Return the cookie's name, which differs for servers at other ports and paths of the same host."""
    public = urlsplit(app.config["PUBLIC_URL"])
    return "-".join(filter(None, [f"dev_{public.port or 'token'}", path_in_cookie_name(public.path)]))


def _is_token(app: Flask, text: str) -> bool:
    return hmac.compare_digest(text.encode(errors="surrogatepass"), app.extensions["dev_token"].encode())

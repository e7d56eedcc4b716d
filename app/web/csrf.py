"""Protection against cross-site requests: Fetch Metadata first, then Flask-WTF's token.

Browsers send Sec-Fetch-Site with every request, and pages can't change it. `same-origin` needs no token, so that a page
can stay open for days, and pages have no token then. A request with `none` or without the header (old browsers, plain
HTTP, programs) needs the token. Rails 8.2 and Go's http.CrossOriginProtection use the same header.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from flask import Flask, Response, current_app, request
from flask.typing import ResponseReturnValue
from flask_babel import lazy_gettext as _l
from flask_wtf.csrf import CSRFError, generate_csrf
from werkzeug.exceptions import Forbidden

from app.extensions import csrf
from app.request_state import current_state, need_no_token, state
from app.security import audit
from app.web.errors import error_page

View = TypeVar("View", bound=Callable[..., Any])

SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
FETCH_SITES = {"none", "same-origin", "same-site", "cross-site"}  # the values of Sec-Fetch-Site
PORTS = {"http": 80, "https": 443}


class Reason(NamedTuple):
    """Why a form was refused: a title, the advice on an error page, and the advice next to a button to resend it."""

    title: str
    advice: str
    send_again: str


ANOTHER_SITE = Reason(
    _l("This form came from another site"),
    _l("Nothing was changed. Open the page on this site, and send the form from there."),
    _l("Nothing was changed. Send the form from this page."),
)
NO_ORIGIN = Reason(
    _l("Your browser didn't say which page this form came from"),
    _l("Allow it to send the Referer header to this site, or update your browser. Then go back and try again."),
    _l("Allow it to send the Referer header to this site, or update your browser. Then send the form again."),
)
NO_TOKEN = Reason(
    _l("This form has no security token"),
    _l("Go back, reload the page, and try again. If that doesn't help, turn off browser extensions for this site."),
    _l("Send the form again. If that doesn't help, turn off browser extensions for this site."),
)
NO_COOKIE = Reason(
    _l("Your browser sent no cookie with this form"),
    _l("Allow cookies for this site. Then go back, reload the page and try again."),
    _l("Allow cookies for this site, then send the form again."),
)
OTHER_SESSION = Reason(
    _l("You logged in or out after you opened this page"),
    _l("Go back, reload the page, and try again."),
    _l("Check that you're logged in to the right account, then send the form again."),
)
OLD = Reason(
    _l("This page was open for too long"),
    _l("Go back, reload the page, and try again."),
    _l("Nothing is lost. Send the form again."),
)


def check() -> ResponseReturnValue | None:
    """Refuse a cross-site request. Raises CSRFError if a required token is missing or invalid."""
    if request.method in SAFE_METHODS:
        return None
    if hasattr(current_app.view_functions.get(request.endpoint or ""), "open_to_other_sites"):
        return None
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin", "null")
    if site == "same-origin":
        need_no_token()
        return None
    if site in {"cross-site", "same-site"} or (origin != "null" and not is_ours(origin)):
        audit.refused("sent by another site")
        return error_page(Forbidden(), ANOTHER_SITE[:2], asks_nothing=True)
    if current_app.config["WTF_CSRF_ENABLED"]:
        _check_token()
    return None


def open_to_other_sites(view: View) -> View:
    """Mark a view that accepts cross-site requests without a token, because it verifies the sender itself."""
    view.open_to_other_sites = True  # type: ignore[attr-defined]
    return csrf.exempt(view)


def reason(error: CSRFError) -> Reason:
    description = str(error.description)
    if not _has_token():
        return NO_TOKEN
    if current_app.config["SESSION_COOKIE_NAME"] not in request.cookies:
        return NO_COOKIE
    if "referrer" in description:
        return ANOTHER_SITE if request.referrer else NO_ORIGIN
    return OTHER_SESSION if "do not match" in description else OLD


def is_ours(url: str) -> bool:
    """Return whether a URL has the origin of this site."""
    origin = _origin(url)
    return origin is not None and origin in {_origin(current_app.config["PUBLIC_URL"]), _origin(request.host_url)}


def token() -> str:
    """Return the token of a form, or "" if the browser sends Sec-Fetch-Site: it needs none, so no cookie is set."""
    state.varies_by_fetch_site = True
    return "" if request.headers.get("Sec-Fetch-Site") in FETCH_SITES else generate_csrf()


def vary(response: Response) -> Response:
    if current_state().varies_by_fetch_site:
        response.vary.add("Sec-Fetch-Site")
    return response


def init_app(app: Flask) -> None:
    app.before_request(check)
    app.after_request(vary)
    csrf.init_app(app)
    app.jinja_env.globals["csrf_token"] = token  # and in page_context(), both in place of Flask-WTF's


def _check_token() -> None:
    """Let Flask-WTF check the token. Over HTTPS it also requires a Referer, which a valid Origin replaces."""
    if is_ours(request.headers.get("Origin", "null")):
        request.environ["HTTP_REFERER"] = request.host_url
    csrf.protect(apply_exemptions=True)


def _has_token() -> bool:
    settings = current_app.config
    in_form = any(name.endswith(settings["WTF_CSRF_FIELD_NAME"]) and value for name, value in request.form.items())
    return in_form or any(request.headers.get(name) for name in settings["WTF_CSRF_HEADERS"])


def _origin(url: str) -> tuple[str, str | None, int] | None:
    """Return scheme, host and port, or None if the URL has none, such as `null`."""
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port or PORTS[parts.scheme]
    except (ValueError, KeyError):
        return None

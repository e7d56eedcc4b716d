"""Forms that can't be taken now, without a valid token or too often: given back as they were typed."""

from urllib.parse import urlsplit

from flask import current_app, request
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import Forbidden, HTTPException

from app import audit, limits
from app.auth.gate import answer_as_get, wants_json
from app.main.errors import error_page

STALE = (
    "This page was open too long",
    "Go back, reload it and try again. If that does not help, let this site keep cookies.",
)

OPEN_TO_OTHER_SITES = {"auth.sso_callback"}  # a provider's page may post to it; it only redirects


def refuse_other_sites():
    """Refuse a form that the browser says was sent by another site's page."""
    if request.method in {"GET", "HEAD", "OPTIONS"} or request.endpoint in OPEN_TO_OTHER_SITES:
        return None
    if request.headers.get("Sec-Fetch-Site") not in {"cross-site", "same-site"}:  # a neighbor's is another's, too
        return None
    audit.refused("sent by another site")
    return error_page(Forbidden(), asks_nothing=True)


def give_back(error):
    """Answer a form without a valid token as a GET would be answered, with what was typed: 400.

    Passwords are never shown again.
    """
    audit.refused("no token of this form", why=error.description)
    return _as_typed(error, STALE, "This page was open too long. Nothing is lost: look it over and send it again.")


def refuse(error):
    """Answer a request over a limit: 429, when it can be sent again, and what was typed."""
    audit.refused("too many tries", limit=error.policy)
    return _as_typed(error, ("Too many tries", error.words), error.words)


def _as_typed(error, page, words):
    """Show the form with what was typed, under `words`, where there is one; else an error `page`.

    Nothing is shown that another site's page filled in, and no session begins: its cookie would replace the user's
    own, which the browser did not send with such a form, and so log them out.
    """
    if _is_from_elsewhere():
        return error_page(error, asks_nothing=True)
    if wants_json() or request.method != "POST" or "GET" not in request.url_rule.methods:
        return error_page(error, page)
    try:
        response = answer_as_get(request.form, words)
    except limits.Exceeded:  # its GET is limited, too
        return error_page(error, page)
    except HTTPException as other:
        return error_page(other)
    if response.status_code == 200:
        response.status_code = error.code
        response.headers.extend((name, value) for name, value in error.get_headers() if name == "Retry-After")
    return response


def _is_from_elsewhere():
    """Say whether a page of another origin sent this form, as far as the browser tells. Old ones tell by Referer."""
    if request.headers.get("Sec-Fetch-Site") == "same-origin":
        return False
    source = request.headers.get("Origin") or request.headers.get("Referer")
    return bool(source) and _origin(source) != _origin(current_app.config["PUBLIC_URL"])


def _origin(url):
    """Return scheme, host and port; None of what has none, such as `null`."""
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError):
        return None


def init_app(app):
    app.before_request(refuse_other_sites)
    app.register_error_handler(CSRFError, give_back)
    app.register_error_handler(limits.Exceeded, refuse)

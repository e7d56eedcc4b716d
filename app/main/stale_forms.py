"""Forms that can't be taken now, without a valid token or too often: given back as they were typed."""

from flask import abort, request
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException

from app import audit, limits
from app.auth.gate import answer_as_get, wants_json
from app.main.errors import error_page

STALE = (
    "This page was open too long",
    "Go back, reload it and try again. If that does not help, let this site keep cookies.",
)

OPEN_TO_OTHER_SITES = {"auth.sso_callback"}  # a provider's page may post to it; it only redirects


def refuse_other_sites():
    """Refuse what a browser says was sent by another site's page."""
    other = request.headers.get("Sec-Fetch-Site") in {"cross-site", "same-site"}  # a neighbour's is another's, too
    if other and request.method not in {"GET", "HEAD", "OPTIONS"} and request.endpoint not in OPEN_TO_OTHER_SITES:
        audit.refused("sent by another site")
        abort(403)


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
    """Show the form with what was typed, under `words`, where there is one; else an error `page`."""
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


def init_app(app):
    app.before_request(refuse_other_sites)
    app.register_error_handler(CSRFError, give_back)
    app.register_error_handler(limits.Exceeded, refuse)

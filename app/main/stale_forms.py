"""Forms that can't be taken now, without a valid token or too often: given back as they were typed."""

from flask import request
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException

from app import audit, limits
from app.auth.gate import answer_as_get, wants_json
from app.main import csrf
from app.main.errors import error_page


def give_back(error):
    """Answer a form without a valid token as a GET would be answered, with what was typed: 400.

    Passwords are never shown again.
    """
    audit.refused("no token of this form", why=error.description)
    title, advice, above_form = csrf.reason(error)
    return _as_typed(error, (title, advice), f"{title}. {above_form}")


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
        return error_page(error, page, asks_nothing=True)
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
    return bool(source) and not csrf.is_ours(source)


def init_app(app):
    app.register_error_handler(CSRFError, give_back)
    app.register_error_handler(limits.Exceeded, refuse)

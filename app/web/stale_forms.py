# mypy: ignore-errors
"""Forms that can't be taken now, without a valid token or too often: given back as they were typed."""

from flask import current_app, g, request
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException

from app.security import audit, rate_limits
from app.web import csrf
from app.web.errors import error_page
from app.web.negotiation import wants_json


def give_back(error):
    """Answer a form without a valid token as a GET would be answered, with what was typed: 400.

    Passwords are never shown again.
    """
    audit.refused("no token of this form", why=error.description)
    title, advice, above_form = csrf.reason(error)
    return _as_typed(error, (title, advice), f"{title}. {above_form}")


def refuse(error):
    """Answer a request over a limit: 429, when it can be sent again, and what was typed."""
    audit.refused("too many attempts", limit=error.policy)
    return _as_typed(error, ("Too many attempts", error.message), error.message)


def answer_as_get(typed, words):
    """Answer this request as its address would answer a GET, with what was `typed` in its form, and say why in `words`.

    A GET changes nothing, so neither does this, on any route.
    """
    g.typed, g.typed_words = typed, words  # fields.Form and base.html look there
    request.method = request.environ["REQUEST_METHOD"] = "GET"
    return current_app.make_response(current_app.preprocess_request() or current_app.dispatch_request())


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
    except rate_limits.Exceeded:  # its GET is limited, too
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
    app.register_error_handler(rate_limits.Exceeded, refuse)

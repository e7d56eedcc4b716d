"""Error pages say what happened and what to do. From status 500 on they make no database query."""

import logging
from collections.abc import Sequence
from contextlib import nullcontext

from flask import Flask, Response, abort, current_app, jsonify, make_response, render_template, request, session
from flask.typing import ResponseReturnValue
from flask_babel import lazy_gettext as _l
from sqlalchemy.exc import (
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    SQLAlchemyError,
    TimeoutError,
)
from sqlalchemy.orm.exc import ObjectDeletedError, StaleDataError
from werkzeug.exceptions import Conflict, HTTPException, ServiceUnavailable

from app import formats, languages, schema
from app.database import is_orphan, violated_constraint
from app.request_state import state
from app.security import audit
from app.web.language import of_browser
from app.web.negotiation import wants_json

log = logging.getLogger(__name__)

MESSAGES = {  # by status: title and advice; `%(later)s` is the time of Retry-After, such as "in 20 seconds"
    400: (
        _l("That didn't work"),
        _l("Part of the request was missing or invalid. Go back, reload the page, and try again."),
    ),
    401: (_l("Log in to continue"), _l("You need to be logged in to open this page.")),
    403: (_l("You don't have access"), _l("You don't have permission to open this page.")),
    404: (_l("Page not found"), _l("Check the address for typos. The page may also have been moved or deleted.")),
    405: (
        _l("That can't be done here"),
        _l("This address doesn't accept that kind of request. Go back and try again."),
    ),
    409: (
        _l("Something changed in the meantime"),
        _l("Another change was saved first. Reload the page and try again."),
    ),
    410: (_l("This link has expired or was already used"), _l("Request a new one.")),
    413: (_l("That was too large"), _l("You sent more than this site accepts. Shorten it and try again.")),
    414: (_l("This address is too long"), _l("Check that you copied it correctly.")),
    429: (_l("Too many attempts"), _l("Try again %(later)s.")),
    431: (_l("Your browser sent too much data"), _l("Delete your cookies for this site, then try again.")),
    500: (_l("Something went wrong"), _l("It's our fault, and we've logged the error. Try again %(later)s.")),
    503: (_l("This site is busy"), _l("Nothing was changed. Try again %(later)s.")),
}


def error_page(
    error: HTTPException, message: Sequence[str] | None = None, asks_nothing: bool = False
) -> ResponseReturnValue:
    """Answer an HTTP error with a page, or with JSON if the client prefers it.

    Args:
        message: a title and advice; the default depends on the status.
        asks_nothing: use neither the database nor the session, so that the response sets no cookie.
    """
    if error.response:  # abort() was called with a complete response
        return error.response
    code = error.code or 500
    asks_nothing = asks_nothing or code >= 500
    state.reason = state.reason or getattr(error, "reason", "")
    with languages.speaking(of_browser(), "UTC") if asks_nothing else nullcontext():  # an account's are in the database
        title, advice = map(str, message or _message(error))
        response = jsonify(error=title, advice=advice) if wants_json() else _page(code, title, advice, asks_nothing)
    if asks_nothing:
        session.modified = False
    response.status_code = code
    response.headers.extend((name, value) for name, value in error.get_headers() if name in {"Allow", "Retry-After"})
    return response


def invalid_link(is_invitation: bool = False) -> ResponseReturnValue:
    """Answer any expired, used or invalid link with the same page, or that of invitations, and status 410."""
    audit.refused("invalid link")
    if wants_json():
        abort(410)
    return render_template("errors/invalid_link.html", is_invitation=is_invitation), 410


def database_error(error: SQLAlchemyError | StaleDataError) -> ResponseReturnValue:
    """Answer 503 if the database is unavailable or was busy for too long. Nothing was written; a retry may succeed.

    If tables are missing, the log and, in development, the page name the remedy.
    """
    if schema.is_missing(error):
        log.error("%s (%s)", schema.UPGRADE, getattr(error, "orig", error))
        is_developer = current_app.config["CONFIG_NAME"] == "development"
        advice = schema.UPGRADE if is_developer else _l("If you run this site, check its log for the reason.")
        return error_page(ServiceUnavailable(retry_after=5), (_l("This site isn't set up yet"), advice))
    if isinstance(error, ProgrammingError):
        return current_app.handle_exception(error)
    log.error("Database: %s", error.orig if isinstance(error, DBAPIError) else error)
    state.reason = "the database"
    return error_page(ServiceUnavailable(retry_after=5))


def deleted_meanwhile(error: IntegrityError | ObjectDeletedError) -> ResponseReturnValue:
    """Answer 409 if another request has deleted a row that this one needs, such as that of the account."""
    if isinstance(error, IntegrityError) and not is_orphan(error):
        return current_app.handle_exception(error)
    log.error("Database: %s", violated_constraint(error) if isinstance(error, IntegrityError) else error)
    state.reason = "deleted meanwhile"
    return error_page(Conflict(), asks_nothing=True)  # the user may be what was deleted


def init_app(app: Flask) -> None:
    app.register_error_handler(HTTPException, error_page)
    # StaleDataError: another request changed the row first.
    for error in (OperationalError, ProgrammingError, InterfaceError, TimeoutError, StaleDataError):
        app.register_error_handler(error, database_error)
    app.register_error_handler(IntegrityError, deleted_meanwhile)
    app.register_error_handler(ObjectDeletedError, deleted_meanwhile)


def _message(error: HTTPException) -> tuple[str, str]:
    default = MESSAGES.get(error.code or 500, (_l("That didn't work"), _l("Go back and try again.")))
    title, advice = getattr(error, "words", default)
    seconds = getattr(error, "retry_after", None)
    later = formats.later(seconds if isinstance(seconds, int) else 60)
    return title, str(advice).replace("%(later)s", later)


def _page(code: int, title: str, advice: str, asks_nothing: bool) -> Response:
    context = {"code": code, "title": title, "advice": advice, "asks_nothing": asks_nothing, "next_page": None}
    context["can_reload"] = request.method == "GET" and (code >= 500 or code == 429)
    if asks_nothing:  # render without context processors, because one may query the database
        return make_response(current_app.jinja_env.get_template("errors/error.html").render(context))
    return make_response(render_template("errors/error.html", **context))

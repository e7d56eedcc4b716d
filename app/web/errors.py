# mypy: ignore-errors
"""Error pages: the right status, what happened, and what to do. From 500 up they ask the database nothing."""

import logging

from flask import abort, current_app, jsonify, make_response, render_template, session
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, ProgrammingError, TimeoutError
from sqlalchemy.orm.exc import StaleDataError
from werkzeug.exceptions import HTTPException, ServiceUnavailable

from app import schema
from app.extensions import db
from app.security import audit
from app.web.negotiation import wants_json

log = logging.getLogger(__name__)

WORDS = {
    400: ("That request made no sense", "Something was missing from it. Go back, reload the page and try again."),
    401: ("Log in first", "This page is for members."),
    403: ("That is not allowed", "The page is not for you, or the request came from another site."),
    404: ("There is no such page", "The address may be mistyped, or the page may be gone."),
    405: ("That can't be done here", "This address does not take that kind of request."),
    413: ("That was too much", "What you sent is larger than this site takes. Shorten it and try again."),
    414: ("That address is too long", "Check that you copied it correctly."),
    431: (
        "That was too much",
        "Your browser sent more than this site takes. Delete its cookies for this site and try again.",
    ),
    429: ("Too many attempts", "Wait a little, then try again."),
    500: ("Something broke", "It is our fault, and it has been written down. Try again in a minute."),
    503: ("Busy just now", "Nothing was changed. Try again in a minute."),
}


def error_page(error, words=None, asks_nothing=False):
    """Answer an HTTP error with a page, or with JSON where only that is accepted. `words`: a title and an advice.

    `asks_nothing`: neither the database nor the session, so that the answer sets no cookie.
    """
    if error.response:  # abort() was given a whole answer
        return error.response
    asks_nothing = asks_nothing or error.code >= 500
    title, advice = words or WORDS.get(error.code, (error.name, "Go back and try again."))
    if wants_json():
        response = jsonify(error=title, advice=advice)
    else:
        response = make_response(_page(title, advice, asks_nothing))
    if asks_nothing:
        session.modified = False  # nothing was changed: the browser's cookie must not say otherwise
    response.status_code = error.code
    response.headers.extend((name, value) for name, value in error.get_headers() if name in {"Allow", "Retry-After"})
    return response


def invalid_link():
    """The one page for every link that can't be used, whatever the reason."""
    audit.refused("a link that can't be used")
    if wants_json():
        abort(410)
    return render_template("auth/invalid_link.html"), 410


def database_error(error):
    """The database is away, or busy for longer than we wait: nothing was written, and the next request may do.

    Without its tables none will: the log says so, and in development the page.
    """
    if schema.is_missing(error):
        log.error("%s (%s)", schema.UPGRADE, error.orig)
        is_developer = current_app.config["CONFIG_NAME"] == "development"
        advice = schema.UPGRADE if is_developer else "Its administrator finds the reason in the log."
        return error_page(ServiceUnavailable(retry_after=5), ("This site isn't set up yet", advice))
    if isinstance(error, ProgrammingError):
        return current_app.handle_exception(error)
    log.error("Database: %s", error.orig if isinstance(error, DBAPIError) else error)
    return error_page(ServiceUnavailable(retry_after=5))


def let_go(_):
    """The answer is made: that the database went away after its last question must not undo it."""
    try:
        db.session.remove()
    except DBAPIError as error:
        log.error("Database: %s", error.orig)
        db.session.registry.clear()  # a broken session can't be closed; the pool takes its connection back


def init_app(app):
    app.teardown_appcontext(let_go)  # before Flask-SQLAlchemy's, since the last one goes first
    app.register_error_handler(HTTPException, error_page)
    # Of the last: another request was faster.
    for error in (OperationalError, ProgrammingError, InterfaceError, TimeoutError, StaleDataError):
        app.register_error_handler(error, database_error)


def _page(title, advice, asks_nothing):
    if asks_nothing:  # nor do the context processors, of which Flask-Login's would load the person
        return current_app.jinja_env.get_template("errors/error.html").render(
            title=title, advice=advice, asks_nothing=True
        )
    return render_template("errors/error.html", title=title, advice=advice)

"""The language of a request: the one that the user chose, or else the one that the browser asks for."""

from datetime import UTC, tzinfo

from babel import Locale, negotiate_locale
from flask import Flask, Response, current_app, has_request_context, request
from flask_login import current_user

from app import formats, languages
from app.languages import locale
from settings.languages import SOURCE

LIFETIME = 365 * 24 * 3600  # seconds
IN_WORDS = (
    formats.moment,
    formats.day,
    formats.time_of_day,
    formats.ago,
    formats.duration,
    formats.later,
    formats.number,
    formats.percent,
    formats.conjunction,
)


def of_browser() -> str:
    """Return the language of the cookie, or the best one of Accept-Language, or the first of LANGUAGES."""
    known = current_app.config["LANGUAGES"]
    chosen = request.cookies.get(current_app.config["LANGUAGE_COOKIE_NAME"], "")
    if chosen in known:
        return chosen
    accepted = [tag for tag, quality in request.accept_languages if quality]
    found = negotiate_locale(accepted, known, sep="-") or ""
    return next((tag for tag in known if tag.lower() == found.lower()), str(known[0]))


def of_request() -> str:
    """Return the language of the user's account, or that of the browser; English on the command line."""
    known = current_app.config["LANGUAGES"]
    if not has_request_context():
        return SOURCE
    if len(known) == 1:
        return str(known[0])
    of_account = str(getattr(current_user, "language", None))
    return of_account if of_account in known else of_browser()


def remember(response: Response, language: str) -> None:
    """Set the cookie of the language that a visitor chose."""
    settings = current_app.config
    flags = {"secure": settings["SESSION_COOKIE_SECURE"], "httponly": True, "samesite": "Lax"}
    path = settings["SESSION_COOKIE_PATH"]
    response.set_cookie(settings["LANGUAGE_COOKIE_NAME"], language, max_age=LIFETIME, path=path, **flags)


def init_app(app: Flask) -> None:
    languages.init_app(app, _selected, _zone)
    for in_words in IN_WORDS:
        app.add_template_filter(in_words)  # {{ user.created_at | day }}
    if len(app.config["LANGUAGES"]) > 1:
        app.after_request(_vary)


def _selected() -> Locale:
    return locale(of_request())


def _zone() -> tzinfo:
    """Return the time zone of the user's account; UTC for visitors and on the command line."""
    return languages.zone(getattr(current_user, "time_zone", None)) or UTC


def _vary(response: Response) -> Response:
    """Tell caches that a page depends on the language."""
    if response.mimetype in {"text/html", "application/json"}:
        response.vary.update(["Accept-Language", "Cookie"])
    return response

"""The language and time zone of a request: those that the user chose, or else those of the browser."""

from datetime import UTC, tzinfo
from functools import lru_cache

from babel import Locale, negotiate_locale
from flask import Flask, Response, current_app, has_request_context, request, session
from flask_login import current_user
from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header

from app import formats, languages, time_zones
from app.languages import locale
from app.models import User
from app.request_state import SessionKey
from app.templating import fill_in
from settings.languages import SOURCE

MAX_ACCEPTED = 200  # characters of Accept-Language; browsers send fewer
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
    formats.city,
)


def of_browser() -> str:
    """Return the language of the cookie, or the best one of Accept-Language, or the first of LANGUAGES."""
    known = current_app.config["LANGUAGES"]
    chosen = request.cookies.get(current_app.config["LANGUAGE_COOKIE_NAME"], "")
    if chosen in known:
        return chosen
    return _negotiated(request.headers.get("Accept-Language", "")[:MAX_ACCEPTED], tuple(known))


def of_request() -> str:
    """Return the language of the user's account, or that of the browser; English on the command line."""
    known = current_app.config["LANGUAGES"]
    if not has_request_context():
        return SOURCE
    if len(known) == 1:
        return str(known[0])
    of_account = str(getattr(current_user, "language", None))
    return of_account if of_account in known else of_browser()


def of_visitor() -> dict[str, str | None]:
    """Return what is known about a new user: the language, where several are offered, and the time zone."""
    is_known = len(current_app.config["LANGUAGES"]) > 1
    return {
        "language": of_browser() if is_known else None,
        "time_zone": _sent_zone() or session.get(SessionKey.TIME_ZONE),
    }


def complete(user: User) -> None:
    """Store the language and the time zone of the browser with an account that has none."""
    for name, value in of_visitor().items():
        if getattr(user, name) is None and value:
            setattr(user, name, value)


def keep_time_zone() -> None:
    """Keep the time zone of a form until a later page completes the login."""
    if name := _sent_zone():
        session[SessionKey.TIME_ZONE] = name


def init_app(app: Flask) -> None:
    languages.init_app(app, _selected, _zone)
    in_pages = {"language_name": languages.name, "moment_pattern": formats.moment_pattern}
    app.jinja_env.globals.update(in_pages)
    fill_in(app, *in_pages)
    for in_words in IN_WORDS:
        app.add_template_filter(in_words)  # {{ user.created_at | day }}
    if len(app.config["LANGUAGES"]) > 1:
        app.after_request(_vary)


@lru_cache(1024)
def _negotiated(accept_language: str, known: tuple[str, ...]) -> str:
    """Return the known language that a browser prefers, or else the first."""
    accepted = parse_accept_header(accept_language, LanguageAccept)
    found = negotiate_locale([tag for tag, quality in accepted if quality], known, sep="-") or ""
    return next((tag for tag in known if tag.lower() == found.lower()), known[0])


def _selected() -> Locale:
    return locale(of_request())


def _zone() -> tzinfo:
    """Return the time zone of the user's account; UTC for visitors and on the command line."""
    return time_zones.find(getattr(current_user, "time_zone", None)) or UTC


def _sent_zone() -> str | None:
    """Return the time zone in the form, which app.js has filled in; None if it is unknown."""
    return time_zones.normal(request.form.get("time_zone", ""))


def _vary(response: Response) -> Response:
    """Tell caches that a page depends on the language, and so does an error in plain text."""
    if response.mimetype in {"text/html", "application/json"} or response.status_code >= 400:
        response.vary.update(["Accept-Language", "Cookie"])
    return response

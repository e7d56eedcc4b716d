"""The page on which users choose their language and time zone, and visitors their language."""

from collections.abc import Callable

from flask import Response, current_app, flash, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import current_user

from app import clock, languages, time_zones
from app.extensions import db, login_manager
from app.main.views import bp
from app.web import cookies
from app.web.own_urls import safe_next_url


@bp.route("/language", methods=["GET", "POST"])
def language() -> ResponseReturnValue:
    checks, next_url = _checks(), safe_next_url(request.values.get("next"))
    if not checks:
        return login_manager.unauthorized()
    wrong = set()
    if request.method == "POST":
        chosen = {name: check(request.form.get(name, "")) for name, check in checks.items()}
        wrong = {name for name, value in chosen.items() if value is None}
        if not wrong:
            return _save(chosen, next_url or url_for("main.language"))
    regions = time_zones.by_region(languages.locale(languages.current()), clock.now()) if "time_zone" in checks else ()
    page = render_template("main/language.html", asked=checks, wrong=wrong, regions=regions, next_url=next_url)
    return page, 422 if wrong else 200


def _checks() -> dict[str, Callable[[str], str | None]]:
    """Return what is asked: the columns, each with a function that returns None for an unknown value."""
    asked: dict[str, Callable[[str], str | None]] = {}
    if len(current_app.config["LANGUAGES"]) > 1:
        asked["language"] = languages.offered
    if current_user.is_authenticated:
        asked["time_zone"] = lambda name: name and time_zones.normal(name)
    return asked


def _save(chosen: dict[str, str | None], next_url: str) -> Response:
    """Store the choice with the account, and the language in a cookie, too; say so in that language."""
    response, tag = make_response(redirect(next_url)), chosen.get("language") or languages.current()
    if "language" in chosen:
        cookies.remember(response, "LANGUAGE_COOKIE_NAME", tag)
    if current_user.is_authenticated:
        for column, value in chosen.items():
            setattr(current_user, column, value or getattr(current_user, column))
        db.session.commit()
    with languages.speaking(tag):
        flash(_("Your choice is saved."), "success")
    return response

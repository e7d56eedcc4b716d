"""Answer a refused form with a page that keeps its fields and can send it again.

A form is refused without a valid CSRF token (400) or over a rate limit (429). auth/access.py uses the same page for
a form that waited for its user to reauthenticate.
"""

import re
from collections.abc import Iterable

from flask import Flask, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import lazy_gettext as _l
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException

from app.security import audit, rate_limits
from app.switches import is_on
from app.web import csrf
from app.web.errors import error_page
from app.web.negotiation import wants_json

Fields = list[tuple[str, str]]

# The names of fields that are never kept. Their types are unknown here, where no form object exists.
SECRET = re.compile(r"passw|passphrase|secret|token|credential|captcha|^((factor_|recovery_)?code|otp|pin|cvc)$", re.I)
PREFIX = "held-"  # of the fields that the reauthentication page keeps for another form
MAX_FIELDS = 50
MAX_LENGTH = 8 * 1024  # characters of all names and values; HTML escaping can multiply them by six


def refuse_without_token(error: CSRFError) -> ResponseReturnValue:
    audit.refused("no token of this form", why=error.description)
    return _refuse(error, csrf.reason(error))


def refuse_over_limit(error: rate_limits.Exceeded) -> ResponseReturnValue:
    audit.refused("too many attempts", limit=error.policy)
    reason = csrf.Reason(_l("Too many attempts"), error.message, error.message)
    return _refuse(error, reason, offers_login_link=is_on("magic_link") and error.policy.startswith("login"))


def send_again_page(
    title: str, advice: str, fields: Fields, action: str = "", offers_login_link: bool = False, wait: int = 0
) -> str:
    """Render a page whose button sends these fields to `action` (default: the current URL) with a fresh token.

    Args:
        wait: the seconds after which the button works, where JavaScript runs.
    """
    has_files = any(file.filename for file in request.files.values())
    context = {"fields": fields, "action": action, "has_files": has_files, "wait": wait}
    context |= {"title": title, "advice": advice, "offers_login_link": offers_login_link}
    return render_template("errors/send_again.html", **context)


def fields_to_hold() -> Fields | None:
    """Return the fields of the submitted form without its secrets, or None if they are too long to keep."""
    return _bounded(_fields_without_secrets())


def held_fields() -> Fields | None:
    """Return the fields that the reauthentication page keeps for another form, or None if they are too long."""
    fields = request.form.items(multi=True)
    return _bounded((name.removeprefix(PREFIX), value) for name, value in fields if name and name.startswith(PREFIX))


def init_app(app: Flask) -> None:
    app.register_error_handler(CSRFError, refuse_without_token)
    app.register_error_handler(rate_limits.Exceeded, refuse_over_limit)


def _refuse(error: HTTPException, reason: csrf.Reason, offers_login_link: bool = False) -> ResponseReturnValue:
    """Answer a form with the page that sends it again, and any other request with an error page.

    For a form from another site, the page shows no fields and sets no session cookie: browsers don't send the user's
    cookie with such a form, so a new one would replace it and log the user out.
    """
    if _is_from_elsewhere():
        return error_page(error, reason[:2], asks_nothing=True)
    if wants_json() or request.method != "POST":
        return error_page(error, reason[:2])
    fields = list(_fields_without_secrets())
    wait = getattr(error, "retry_after", None) or 0
    page = send_again_page(reason.title, reason.send_again, fields, offers_login_link=offers_login_link, wait=wait)
    return page, error.code or 400, [header for header in error.get_headers() if header[0] == "Retry-After"]


def _is_from_elsewhere() -> bool:
    """Return whether the browser says that a page of another origin sent this form. Old browsers send a Referer."""
    if request.headers.get("Sec-Fetch-Site") == "same-origin":
        return False
    source = request.headers.get("Origin") or request.headers.get("Referer")
    return not csrf.is_ours(source) if source else False


def _fields_without_secrets() -> Iterable[tuple[str, str]]:
    for name, value in request.form.items(multi=True):
        if name and not SECRET.search(name):
            yield name, value


def _bounded(fields: Iterable[tuple[str, str]]) -> Fields | None:
    found = list(fields)
    length = sum(len(name) + len(value) for name, value in found)
    return found if len(found) <= MAX_FIELDS and length <= MAX_LENGTH else None

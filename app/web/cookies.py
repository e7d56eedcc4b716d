"""Cookies that outlive sessions: of the device, and of what a visitor has chosen."""

from datetime import timedelta

from flask import current_app
from werkzeug.wrappers import Response

YEAR = timedelta(days=365)


def remember(response: Response, setting: str, value: str, lifetime: timedelta = YEAR) -> None:
    """Set a cookie, or delete it if `value` is empty. Its name is the value of a setting."""
    settings = current_app.config
    response.set_cookie(
        settings[setting],
        value,
        max_age=lifetime if value else 0,
        path=settings["SESSION_COOKIE_PATH"],
        secure=settings["SESSION_COOKIE_SECURE"],
        httponly=True,
        samesite="Lax",
    )

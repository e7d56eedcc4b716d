"""The scheme that a user has chosen for the pages, light or dark, in a cookie. By default the system decides."""

from flask import Flask, Response, current_app, request

from app.web import cookies

SCHEMES = ("light", "dark")


def chosen_scheme() -> str:
    """Return the scheme that the user has chosen, or "" if the system decides."""
    scheme = request.cookies.get(current_app.config["APPEARANCE_COOKIE_NAME"], "")
    return scheme if scheme in SCHEMES else ""


def remember(response: Response, scheme: str) -> None:
    """Set the cookie, or delete it if `scheme` is not light or dark."""
    cookies.remember(response, "APPEARANCE_COOKIE_NAME", scheme if scheme in SCHEMES else "")


def init_app(app: Flask) -> None:
    app.jinja_env.globals.update(chosen_scheme=chosen_scheme)

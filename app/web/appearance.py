"""The scheme that a user has chosen for the pages, light or dark, in a cookie. By default the system decides."""

from flask import Flask, Response, current_app, request, url_for

LIFETIME = 365 * 24 * 3600  # seconds
SCHEMES = ("light", "dark")


def chosen_scheme() -> str:
    """Return the scheme that the user has chosen, or "" if the system decides."""
    scheme = request.cookies.get(current_app.config["APPEARANCE_COOKIE_NAME"], "")
    return scheme if scheme in SCHEMES else ""


def remember(response: Response, scheme: str) -> None:
    """Set the cookie, or delete it if `scheme` is not light or dark."""
    settings = current_app.config
    name, path = settings["APPEARANCE_COOKIE_NAME"], settings["SESSION_COOKIE_PATH"]
    flags = {"secure": settings["SESSION_COOKIE_SECURE"], "httponly": True, "samesite": "Lax"}
    if scheme in SCHEMES:
        response.set_cookie(name, scheme, max_age=LIFETIME, path=path, **flags)
    else:
        response.delete_cookie(name, path=path, **flags)


def appearance_url() -> str:
    """Return the URL of the page with the choice, which leads back to this page unless its URL may hold a token."""
    can_return = request.method == "GET" and request.endpoint not in {None, "main.appearance"} and not request.view_args
    return url_for("main.appearance", next=request.script_root + request.path if can_return else None)


def init_app(app: Flask) -> None:
    app.jinja_env.globals.update(chosen_scheme=chosen_scheme, appearance_url=appearance_url)

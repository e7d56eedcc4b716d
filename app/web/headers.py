"""The security and caching headers of every response, and the session cookie."""

from collections.abc import Callable
from typing import Any, TypeVar

from flask import Flask, Response, current_app, get_flashed_messages, request, session
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import URLSafeTimedSerializer

from app.request_state import IMPERSONAL, SessionKey, state
from app.security import captcha
from app.web import site_files, static_assets
from app.web.hosts import PROBES

Place = TypeVar("Place")

POLICY = {  # Content-Security-Policy
    "default-src": "'self'",
    "img-src": "'self' data:",
    "object-src": "'none'",
    "base-uri": "'none'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}
DEFAULT_POLICY = "; ".join(f"{directive} {origins}" for directive, origins in POLICY.items())
HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "same-origin",  # old browsers name the origin of a form only by Referer
    "X-Content-Type-Options": "nosniff",
}
KEPT = {*static_assets.ENDPOINTS, *site_files.ENDPOINTS}  # files that browsers may cache
HSTS = "max-age=31536000"  # a year


class SessionInterface(SecureCookieSessionInterface):
    """Flask's session cookie, bound to PUBLIC_URL: another instance with the same SECRET_KEY can't read it."""

    keys: tuple[object, ...] = ()
    serializer_of_keys: URLSafeTimedSerializer | None = None

    def get_signing_serializer(self, app: Flask) -> URLSafeTimedSerializer | None:
        self.salt = f"session of {app.config['PUBLIC_URL']}"
        keys = (self.salt, app.secret_key, *(app.config["SECRET_KEY_FALLBACKS"] or ()))
        if keys != self.keys:
            self.keys, self.serializer_of_keys = keys, super().get_signing_serializer(app)
        return self.serializer_of_keys


def csp(**sources: str) -> Callable[[Place], Place]:
    """Allow the pages of a view, or of a blueprint, more sources: `csp(script_src="https://js.stripe.com")`."""

    def allow(place: Place) -> Place:
        marked: Any = place
        marked.csp = getattr(place, "csp", {}) | {name.replace("_", "-"): value for name, value in sources.items()}
        return place

    return allow


def init_app(app: Flask) -> None:
    app.session_interface = SessionInterface()
    app.after_request(add_headers)


def add_headers(response: Response) -> Response:
    """Add the headers that the view has not set. Browsers must not store personal pages."""
    wanted = {"Content-Security-Policy": _policy(), **HEADERS}
    if request.is_secure:
        wanted["Strict-Transport-Security"] = HSTS
    if request.endpoint in PROBES:
        response.headers["Cache-Control"] = "no-store"
    elif request.endpoint not in KEPT or response.status_code >= 400:  # an error page names a logged-in user
        wanted["Cache-Control"] = "no-store" if _is_personal() else "no-cache"
    present = set(response.headers.keys(lower=True))
    response.headers.extend((name, value) for name, value in wanted.items() if name.lower() not in present)
    return response


def _policy() -> str:
    """Return the policy with the sources that the view, its blueprint and reCAPTCHA need."""
    view = current_app.view_functions.get(request.endpoint or "")
    more = [getattr(place, "csp", {}) for place in (view, *map(current_app.blueprints.get, request.blueprints))]
    if state.has_recaptcha:
        more.append(dict.fromkeys(("script-src", "frame-src", "connect-src"), " ".join(captcha.origins())))
    return _with_sources(more) if any(more) else DEFAULT_POLICY


def _with_sources(more: list[dict[str, str]]) -> str:
    policy = dict(POLICY)
    for sources in more:
        for directive, origins in sources.items():
            policy[directive] = f"{policy.get(directive, POLICY['default-src'])} {origins}".removeprefix("'none' ")
    return "; ".join(f"{directive} {origins}" for directive, origins in policy.items())


def _is_personal() -> bool:
    """Return whether a page belongs to a logged-in user, was opened with a token, or shows a visitor's input.

    Earlier input is in the session, such as the recipient of an email, or in a flashed message of category `success`.
    """
    is_submitted = request.method not in {"GET", "HEAD", "OPTIONS"}
    is_of_user = bool(session.keys() - IMPERSONAL) or "token" in (request.view_args or {})
    is_flashed = SessionKey.FLASHES not in session and bool(get_flashed_messages(category_filter=["success"]))
    return is_submitted or is_of_user or is_flashed

"""The security and caching headers of every response, and the session cookie."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from flask import Flask, Request, Response, current_app, get_flashed_messages, session
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import URLSafeTimedSerializer

from app.request_state import IMPERSONAL, SessionKey, current_request, state
from app.security import captcha
from app.web import site_files, static_assets
from app.web.hosts import PROBES

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

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
HEADERS = [
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ("Referrer-Policy", "same-origin"),  # old browsers name the origin of a form only by Referer
    ("X-Content-Type-Options", "nosniff"),
]
SECURE_HEADERS = [*HEADERS, ("Strict-Transport-Security", "max-age=31536000")]  # over HTTPS; in seconds: a year
KEPT = {*static_assets.ENDPOINTS, *site_files.ENDPOINTS}  # files that browsers may cache


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


class ConstantHeaders:
    """WSGI middleware that adds the headers that every response has, unless the response has them."""

    def __init__(self, wsgi_app: "WSGIApplication") -> None:
        self.wsgi_app = wsgi_app

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Callable[[bytes], object]:
            wanted = SECURE_HEADERS if environ["wsgi.url_scheme"] == "https" else HEADERS
            present = {name.lower() for name, _ in headers}
            more = [header for header in wanted if header[0].lower() not in present]
            return start_response(status, [*headers, *more], *error)

        return self.wsgi_app(environ, start)


def init_app(app: Flask) -> None:
    app.session_interface = SessionInterface()
    app.wsgi_app = ConstantHeaders(app.wsgi_app)  # type: ignore[method-assign]
    app.after_request(add_headers)


def add_headers(response: Response) -> Response:
    """Add the headers that the view has not set. Browsers must not store personal pages."""
    request, headers = current_request(), response.headers
    if "Content-Security-Policy" not in headers:
        headers.add("Content-Security-Policy", _policy(request))
    if request.endpoint in PROBES:
        headers["Cache-Control"] = "no-store"
    elif "Cache-Control" not in headers and (request.endpoint not in KEPT or response.status_code >= 400):
        headers.add("Cache-Control", "no-store" if _is_personal(request) else "no-cache")
    return response


def _policy(request: Request) -> str:
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


def _is_personal(request: Request) -> bool:
    """Return whether a page belongs to a user, was opened with a token, or shows a visitor's input.

    Error pages name a logged-in user, too. Earlier input is in the session, such as the recipient of an email, or in a
    flashed message of category `success`.
    """
    is_submitted = request.method not in {"GET", "HEAD", "OPTIONS"}
    is_of_user = bool(session.keys() - IMPERSONAL) or "token" in (request.view_args or {})
    is_flashed = SessionKey.FLASHES not in session and bool(get_flashed_messages(category_filter=["success"]))
    return is_submitted or is_of_user or is_flashed

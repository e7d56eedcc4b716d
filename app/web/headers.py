# mypy: ignore-errors
"""What every answer says to browsers about what they may do with it."""

from flask import get_flashed_messages, request, session

from app.request_state import IMPERSONAL, SessionKey, state
from app.security import captcha
from app.web.hosts import PROBES
from app.web.static_assets import ENDPOINTS

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "same-origin",  # not no-referrer: old browsers would not say where a form comes from
    "X-Content-Type-Options": "nosniff",
}
HSTS = "max-age=31536000"  # a year


def add_headers(response):
    """Add what a view has not said itself. Pages that belong to one visitor are kept nowhere."""
    if state.has_captcha:
        response.headers.setdefault("Content-Security-Policy", _with_captcha())
    said = set(response.headers.keys(lower=True))
    response.headers.extend((name, value) for name, value in HEADERS.items() if name.lower() not in said)
    if request.is_secure:
        response.headers.setdefault("Strict-Transport-Security", HSTS)
    if request.endpoint in PROBES:
        response.headers["Cache-Control"] = "no-store"
    elif request.endpoint not in ENDPOINTS or response.status_code >= 400:  # an error page names a logged-in user
        response.headers.setdefault("Cache-Control", "no-store" if _is_private() else "no-cache")
    return response


def _is_private():
    """Say whether a page is of a logged-in user or opened by a token, or shows what its visitor typed, here or before.

    What they typed before is in the session, such as the address that an email went to. What was done for them may be
    told on the next page, by a message of the category `success`.
    """
    is_typed = request.method not in {"GET", "HEAD", "OPTIONS"}
    is_of_one = bool(session.keys() - IMPERSONAL) or "token" in (request.view_args or {})
    is_told = SessionKey.FLASHES not in session and bool(get_flashed_messages(category_filter=["success"]))
    return is_typed or is_of_one or is_told


def _with_captcha():
    """The policy of a page that shows the CAPTCHA's box: its scripts and its frame, and no more."""
    theirs = " ".join(captcha.origins())
    opened = "; ".join(f"{kind} 'self' {theirs}" for kind in ("script-src", "frame-src", "connect-src"))
    return f"{HEADERS['Content-Security-Policy']}; {opened}"


def init_app(app):
    app.after_request(add_headers)

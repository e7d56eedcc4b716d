"""Account state: users who must do something first, such as confirm their email address, are redirected there."""

from typing import Any

from flask import current_app, flash, has_request_context, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user, logout_user
from sqlalchemy.exc import OperationalError

from app import switches
from app.accounts import sessions, two_factor
from app.auth import login_flow, passkey_offer
from app.auth.blueprint import bp
from app.auth.next_url import is_of_application, store_location, this_page
from app.extensions import db, login_manager
from app.models import Permission, User, UserSession
from app.request_state import SessionKey, current_state, state
from app.web import csrf
from app.web.headers import KEPT
from app.web.negotiation import lead_to
from app.web.own_urls import next_query, page_to_return_to, safe_next_url

WITHOUT_SESSION = {*KEPT, "main.healthz", "main.readyz", "main.metrics"}  # endpoints that never load the user
ALWAYS_OPEN = {"auth.cancel_deletion", "auth.logout", "auth.secure_account", "main.appearance", "main.language"}
DEVELOPMENT = "dev"  # the blueprint of the development mailbox, whose pages are always open
OUTSIDE_A_REQUEST = {
    "current_user": current_user,
    "last_method": "",
    "held_back": None,
    "next_page": None,
    "return_query": "",
}
# The page that a user must open first, and the endpoints that stay available until then.
OPEN_ENDPOINTS = {
    "auth.cancel_deletion": ALWAYS_OPEN,
    "auth.unconfirmed": ALWAYS_OPEN
    | {"auth.unconfirmed", "auth.confirm", "auth.send_again", "auth.reauthenticate", "auth.delete"},
    "auth.two_factor": ALWAYS_OPEN
    | {"auth.two_factor", "auth.remove_authenticator", "auth.renew_codes", "auth.reauthenticate", "auth.delete"}
    | {"auth.set_up_authenticator", "auth.require_passkey", "auth.stop_requiring_passkey"}
    | {"auth.list_passkeys", "auth.add_passkey", "auth.passkey_creation_options"},
}


@bp.before_app_request
def check_account_state() -> ResponseReturnValue | None:
    """Update the session's last_seen_at, and redirect a user who must open another page first."""
    if request.endpoint in WITHOUT_SESSION:
        return None
    user, state = _reader(), current_state()  # loads the user, and fills state.held_session
    state.is_user_loaded = True
    user_session = user.current_session if user.is_authenticated else state.held_session
    if not user_session and not user.is_authenticated:
        _say_why_logged_out()
        return None
    if user_session and _touch(user_session):
        session.modified = True  # sends the cookie again, with a new date
    if not user.is_authenticated or request.endpoint is None:
        return None
    endpoint = required_page(user)
    return hold_back(endpoint) if endpoint else None


bp.add_app_template_filter(next_query)  # for links: {{ url_for("auth.login") }}{{ next_page | next_query }}


@bp.app_context_processor
def page_context() -> dict[str, Any]:
    """Pass `Permission`, `registration_open`, and what links to the login page and its form need, to all templates."""
    is_open = current_app.config["REGISTRATION_OPEN"] and switches.is_on("registration")
    of_request = _of_request() if has_request_context() else OUTSIDE_A_REQUEST
    return of_request | {
        "csrf_token": csrf.token,
        "Permission": Permission,
        "registration_open": is_open,
        "offered_passkey": passkey_offer.offered_passkey,
    }


def _of_request() -> dict[str, Any]:
    state = current_state()
    own_page = this_page() if is_of_application() else None
    return {
        # A proxy would cost each of its many uses more; the pages of errors from 500 up must not load the user.
        "current_user": _reader() if state.is_user_loaded else current_user,
        "last_method": login_flow.last_method(),
        "held_back": state.held_back,
        "next_page": safe_next_url(request.args.get("next")) or own_page,
        "return_query": next_query(page_to_return_to()),
    }


def _reader() -> Any:
    """Return the user, or a visitor.

    Flask-Login is asked only where a session or an application's loader can name a user: for each request, it hashes
    the address and the browser.
    """
    has_loader = login_manager.request_callback  # type: ignore[attr-defined]
    if session or has_loader or "Authorization" in request.headers:
        return current_user._get_current_object()
    return login_manager.anonymous_user()


def required_page(user: User) -> str | None:
    """Return the endpoint that `user` must open before this page, or None."""
    if user.deletion_due_at and not _is_open("auth.cancel_deletion"):
        return "auth.cancel_deletion"
    if not user.can_use_application and not _is_open("auth.unconfirmed"):
        return "auth.unconfirmed"
    if not _is_open("auth.two_factor") and two_factor.is_missing(user):
        return "auth.two_factor"
    return None


def hold_back(endpoint: str) -> ResponseReturnValue:
    """Redirect to the required page, and store this one as the next."""
    response = lead_to(url_for(endpoint), 403)
    if this_page():
        store_location()
    return response


def _is_open(required: str) -> bool:
    return request.blueprint == DEVELOPMENT or request.endpoint in OPEN_ENDPOINTS[required]


def _touch(user_session: UserSession) -> bool:
    """Update last_seen_at. Pages are shown even if the database is read-only."""
    try:
        return sessions.touch(user_session)
    except OperationalError:
        if request.method not in {"GET", "HEAD"}:
            raise
        db.session.rollback()
        return False


def _say_why_logged_out() -> None:
    """Tell a browser once why its session ended."""
    if SessionKey.USER_ID not in session:
        return
    ended = sessions.find_ended(session[SessionKey.USER_ID])
    if ended is None:
        return  # the session has just got a new id, which another response sets
    if ended.logout_reason:
        flash(ended.logout_reason.sentence, "warning")
        state.said_why_logged_out = True
    logout_user()

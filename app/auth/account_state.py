"""The hook before every request: it redirects users whose account needs something done first."""

from typing import Any

from flask import current_app, flash, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user, logout_user
from sqlalchemy.exc import OperationalError

from app.accounts import sessions, two_factor
from app.auth.blueprint import bp
from app.auth.next_url import safe_next_url, store_location, this_page
from app.extensions import db
from app.models import User, UserSession
from app.request_state import SessionKey, state
from app.web.negotiation import lead_to

WITHOUT_SESSION = {"static", "asset", "main.healthz", "main.readyz"}  # these never load the user
ALWAYS_OPEN = {"auth.cancel_deletion", "auth.logout", "auth.secure_account"}
MAILBOX = {"dev.mailbox", "dev.email", "dev.email_html"}
# The page where a user must go first, and the endpoints that are open to them until then.
OPEN_ENDPOINTS = {
    "auth.cancel_deletion": ALWAYS_OPEN,
    "auth.unconfirmed": ALWAYS_OPEN
    | MAILBOX
    | {"auth.unconfirmed", "auth.confirm", "auth.send_again", "auth.reauthenticate", "auth.delete"},
    "auth.two_factor": ALWAYS_OPEN
    | MAILBOX
    | {"auth.two_factor", "auth.remove_authenticator", "auth.renew_codes", "auth.reauthenticate", "auth.delete"}
    | {"auth.require_passkey", "auth.stop_requiring_passkey"}
    | {"auth.list_passkeys", "auth.add_passkey", "auth.passkey_creation_options"},
}


@bp.before_app_request
def check_account_state() -> ResponseReturnValue | None:
    """Record that the session was seen, and redirect a user who must go to another page first."""
    if request.endpoint in WITHOUT_SESSION:
        return None
    is_logged_in = current_user.is_authenticated  # loads the user, and fills `state.held_session`
    user_session = current_user.current_session if is_logged_in else state.held_session
    if not user_session and not is_logged_in:
        _say_why_logged_out()
        return None
    if user_session and _touch(user_session):
        session.modified = True  # sends the cookie again, with a new date
    if not is_logged_in or request.endpoint is None:
        return None
    endpoint = required_page(current_user)
    return hold_back(endpoint) if endpoint else None


@bp.app_context_processor
def page_context() -> dict[str, Any]:
    """Give every template `registration_open`, and `next_page`, the page to return to after a login."""
    next_page = safe_next_url(request.args.get("next")) if request else None
    return {"registration_open": current_app.config["REGISTRATION_OPEN"], "next_page": next_page}


def required_page(user: User) -> str | None:
    """Return the endpoint where `user` must go before this page; None if this page is open to them."""
    if user.deletion_due_at and not _is_open("auth.cancel_deletion"):
        return "auth.cancel_deletion"
    if not user.confirmed and not _is_open("auth.unconfirmed"):
        return "auth.unconfirmed"
    if not _is_open("auth.two_factor") and two_factor.is_missing(user):
        return "auth.two_factor"
    return None


def hold_back(endpoint: str) -> ResponseReturnValue:
    """Redirect to the page where the user must go first, and store this one as the next."""
    response = lead_to(url_for(endpoint), 403)
    if this_page():
        store_location()
    return response


def _is_open(required: str) -> bool:
    return request.endpoint in OPEN_ENDPOINTS[required]


def _touch(user_session: UserSession) -> bool:
    """Record that this session was seen. A page is shown even if the database takes no writes now."""
    try:
        return sessions.touch(user_session)
    except OperationalError:
        if request.method not in {"GET", "HEAD"}:
            raise
        db.session.rollback()
        return False


def _say_why_logged_out() -> None:
    """Tell a browser once why it was logged out from elsewhere."""
    if SessionKey.USER_ID not in session:
        return
    ended = sessions.find_ended(session[SessionKey.USER_ID])
    if ended is None:
        return  # the session was renewed, and a response on its way brings the new id: keep that
    if ended.logout_reason:
        flash(ended.logout_reason.sentence, "warning")
        state.said_why_logged_out = True
    logout_user()

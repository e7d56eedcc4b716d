# mypy: ignore-errors
"""The hook before every request: it holds back users who must do something first."""

from flask import current_app, flash, g, request, session, url_for
from flask_login import current_user, logout_user
from sqlalchemy.exc import OperationalError

from app.accounts import sessions, two_factor
from app.auth.blueprint import bp
from app.auth.next_url import safe_next_url, store_location, this_page
from app.extensions import db
from app.web.negotiation import lead_to

OPEN_TO_THE_UNCONFIRMED = {
    "auth.unconfirmed",
    "auth.confirm",
    "auth.send_again",
    "auth.logout",
    "auth.reauthenticate",
    "auth.delete",
    "auth.secure_account",
    "dev.mailbox",
    "dev.email",
    "dev.email_html",
}
OPEN_WHILE_DELETION_IS_PENDING = {"auth.cancel_deletion", "auth.logout", "auth.secure_account"}
OPEN_WITHOUT_TWO_FACTOR = {  # where one must be set up
    "auth.two_factor",
    "auth.list_passkeys",
    "auth.add_passkey",
    "auth.passkey_creation_options",
    "auth.turn_off",
    "auth.renew_codes",
    "auth.reauthenticate",
    "auth.logout",
    "auth.delete",
    "dev.mailbox",
    "dev.email",
    "dev.email_html",
}
ASKS_NOBODY = {"static", "bootstrap.static", "main.healthz", "main.readyz"}


@bp.before_app_request
def check_everyone():
    """Note that a session was seen; hold back those who have not confirmed their address."""
    if request.endpoint in ASKS_NOBODY:
        return None
    is_known = current_user.is_authenticated  # loads the user, and says who is held back
    user_session = current_user.current_session if is_known else g.get("held_session")
    if not is_known and not user_session:
        return _tell_why()
    if user_session and _is_noted(user_session):
        session.modified = True  # a new cookie, with a new date
    if not is_known or request.endpoint is None:
        return None
    endpoint = must_go_to(current_user)
    return hold_back(endpoint) if endpoint else None


@bp.app_context_processor
def page_context():
    """What every page may show: whether strangers can register, and where a person is going."""
    going = safe_next_url(request.args.get("next")) if request else None
    return {"registration_open": current_app.config["REGISTRATION_OPEN"], "next_page": going}


def must_go_to(user):
    """Return the page where a user must go first, unless this page is open to them; None if there is none."""
    if user.deletion_due_at and request.endpoint not in OPEN_WHILE_DELETION_IS_PENDING:
        return "auth.cancel_deletion"
    if not user.confirmed and request.endpoint not in OPEN_TO_THE_UNCONFIRMED | OPEN_WHILE_DELETION_IS_PENDING:
        return "auth.unconfirmed"
    if request.endpoint not in OPEN_WITHOUT_TWO_FACTOR | OPEN_WHILE_DELETION_IS_PENDING and two_factor.is_missing(user):
        return "auth.two_factor"
    return None


def hold_back(endpoint):
    """Lead to the page where a person must go first, and from there on to this one."""
    going = lead_to(url_for(endpoint), 403)
    if this_page():
        store_location()
    return going


def _is_noted(user_session):
    """Note that this browser was seen. No page is refused because the database takes no writing now."""
    try:
        return sessions.touch(user_session)
    except OperationalError:
        if request.method not in {"GET", "HEAD"}:
            raise
        db.session.rollback()
        return False


def _tell_why():
    """Tell a browser that was logged out elsewhere why, once."""
    if "_user_id" not in session:
        return
    reason = sessions.revoked_reason(session["_user_id"])
    if reason is None:
        return  # it has another id by now, which an answer on its way brings: this one must not undo that
    if reason:
        flash(reason.sentence, "warning")
        g.told_why = True
    logout_user()

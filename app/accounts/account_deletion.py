"""Account deletion: request it, cancel it within a grace period of 14 days, and carry it out."""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, select, update

from app import clock, signals
from app.accounts import personal_data, sessions
from app.email import outbox
from app.email.templates import Email
from app.extensions import db, rows_changed
from app.models import AuditAction, AuditEvent, LogoutReason, User
from app.models.logins import NO_ADDRESS
from app.security import audit

GRACE = timedelta(days=14)
KEPT = {"by", "acting_user"}  # of the details of what administrators did


def request(user: User) -> datetime:
    """Schedule the deletion of the account, revoke its sessions, and return the time of the deletion.

    The email address and the username stay taken until then.
    """
    old, due = user.deletion_due_at, clock.now() + GRACE
    user.deletion_due_at = due
    sessions.revoke_all(user, reason=LogoutReason.DELETION)
    event = audit.record(user, AuditAction.DELETION_REQUESTED, old=old and old.isoformat(), new=due.isoformat())
    if user.can_use_application:  # otherwise the address may belong to another person
        outbox.enqueue(Email.DELETION_REQUESTED, user, event=event, due=due.isoformat())
    return due


def cancel(user: User) -> None:
    """Cancel the scheduled deletion of the account, if there is one."""
    if user.deletion_due_at:
        old, user.deletion_due_at = user.deletion_due_at, None
        event = audit.record(user, AuditAction.DELETION_CANCELLED, old=old.isoformat(), new=None)
        if user.can_use_application:
            outbox.enqueue(Email.DELETION_CANCELLED, user, event=event)


def is_due() -> list[ColumnElement[bool]]:
    """Return the conditions for an account to be deleted: deactivated users can't cancel, so they are exempt."""
    return [User.deletion_due_at <= clock.now(), User.deactivated_at.is_(None)]


def purge(user: User, *conditions: ColumnElement[bool], send_notice: bool = True) -> bool:
    """Delete the account and its personal data now; return False if it no longer meets `conditions`.

    Args:
        send_notice: email a notice, unless the address still has to be confirmed. It is deleted once it is sent.
    """
    email, language, is_told = user.email, user.language, send_notice and user.can_use_application
    signal = {"user_id": user.id, "email": email, "username": user.username}
    same = update(User).where(User.id == user.id, *conditions)
    if not rows_changed(same.values(login_count=User.login_count)):  # locks the row
        return False
    _keep_what_administrators_did(user)
    personal_data.erase(user)
    audit.record(None, AuditAction.ACCOUNT_DELETED, former_id=signal["user_id"])
    if not email.endswith(NO_ADDRESS):
        signals.send_after_commit(db.session(), signals.user_deleted, **signal)
    if is_told:
        outbox.enqueue(Email.ACCOUNT_DELETED, None, to=email, language=language)
    return True


def _keep_what_administrators_did(user: User) -> None:
    """Detach these events from the account, without addresses and names: otherwise a deletion would hide the rest."""
    done = select(AuditEvent).where(AuditEvent.user_id == user.id, AuditEvent.by_administrator)
    for event in db.session.scalars(done):
        kept = KEPT | ({"old", "new"} if event.action == AuditAction.ROLE_CHANGED else set())
        event.detail = {name: value for name, value in event.detail.items() if name in kept} | {"former_id": user.id}
        event.user_id, event.session = None, ""
    db.session.flush()

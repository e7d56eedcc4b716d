"""Account deletion: requested, cancelled within a grace period of 14 days, or carried out."""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, update

from app import clock, signals
from app.accounts import personal_data, sessions
from app.email import outbox
from app.email.templates import Email
from app.extensions import db, rows_changed
from app.models import AuditAction, LogoutReason, User
from app.security import audit

GRACE = timedelta(days=14)


def request(user: User) -> datetime:
    """Schedule the deletion of the account, revoke its sessions, and return when it will be deleted.

    Its email address and username stay taken until then.
    """
    old, due = user.deletion_due_at, clock.now() + GRACE
    user.deletion_due_at = due
    sessions.revoke_all(user, reason=LogoutReason.DELETION)
    event = audit.record(user, AuditAction.DELETION_REQUESTED, old=old and old.isoformat(), new=due.isoformat())
    if user.confirmed:  # an unconfirmed address may belong to somebody else
        outbox.enqueue(Email.DELETION_REQUESTED, user, event=event, due=clock.day(due))
    return due


def cancel(user: User) -> None:
    """Cancel the deletion of the account, if there is one scheduled."""
    if user.deletion_due_at:
        old, user.deletion_due_at = user.deletion_due_at, None
        event = audit.record(user, AuditAction.DELETION_CANCELLED, old=old.isoformat(), new=None)
        if user.confirmed:
            outbox.enqueue(Email.DELETION_CANCELLED, user, event=event)


def is_due() -> list[ColumnElement[bool]]:
    """Return the conditions of an account whose grace period is over. A deactivated user could not cancel."""
    return [User.deletion_due_at <= clock.now(), User.deactivated_at.is_(None)]


def purge(user: User, *conditions: ColumnElement[bool], send_notice: bool = True) -> bool:
    """Delete the account and its personal data now; return False if it no longer meets `conditions`.

    Args:
        send_notice: send a last email to a confirmed address, which is deleted once it is sent.
    """
    email, is_confirmed = user.email, user.confirmed
    signal = {"user_id": user.id, "email": email, "username": user.username}
    same = update(User).where(User.id == user.id, *conditions)
    if not rows_changed(same.values(login_count=User.login_count)):  # locks the row
        return False
    personal_data.erase(user)
    audit.record(None, AuditAction.ACCOUNT_DELETED)
    signals.send_after_commit(db.session(), signals.user_deleted, **signal)
    if send_notice and is_confirmed:
        outbox.enqueue(Email.ACCOUNT_DELETED, None, to=email)
    return True

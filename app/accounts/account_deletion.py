"""Accounts that are shut and opened again, and those that go for good."""

from datetime import timedelta

from sqlalchemy import ColumnElement, update

from app import clock, signals
from app.accounts import personal_data, sessions
from app.email import outbox
from app.extensions import db, rows_changed
from app.models import AuditAction, LogoutReason, User
from app.security import audit

GRACE = timedelta(days=14)


def deactivate(user: User) -> None:
    """Keep a person out, from the next request on. Nothing is lost."""
    if user.is_active:
        user.deactivated_at = clock.now()
        sessions.revoke_all(user, reason=LogoutReason.DEACTIVATED)
        audit.record(user, AuditAction.DEACTIVATED)


def activate(user: User) -> None:
    """Let a person in again."""
    if not user.is_active:
        user.deactivated_at = None
        audit.record(user, AuditAction.ACTIVATED)


def request_deletion(user: User) -> None:
    """Have the account deleted after 14 days, in which its address and name stay taken; sign it out everywhere."""
    user.deletion_due_at = clock.now() + GRACE
    sessions.revoke_all(user, reason=LogoutReason.DELETION)
    event = audit.record(user, AuditAction.DELETION_REQUESTED)
    if user.confirmed:  # else strangers could be written to
        outbox.enqueue("deletion_requested", user, event=event, due=clock.day(user.deletion_due_at))


def cancel(user: User) -> None:
    """Take that back."""
    if user.deletion_due_at:
        user.deletion_due_at = None
        event = audit.record(user, AuditAction.DELETION_CANCELLED)
        if user.confirmed:
            outbox.enqueue("deletion_cancelled", user, event=event)


def is_due() -> list[ColumnElement[bool]]:
    """Return the conditions that an account meets whose grace is over: not one that its owner could not keep."""
    return [User.deletion_due_at <= clock.now(), User.deactivated_at.is_(None)]


def purge(user: User, *conditions: ColumnElement[bool], send_notice: bool = True) -> bool:
    """Delete an account and all that hangs on it, if it meets `conditions` still; say whether it did.

    A last email goes to its address, and leaves nothing behind.
    """
    email, is_proved = user.email, user.confirmed
    gone = {"user_id": user.id, "email": email, "username": user.username}
    mine = update(User).where(User.id == user.id, *conditions)
    if not rows_changed(mine.values(login_count=User.login_count)):  # the row is ours from here on
        return False
    personal_data.erase(user)
    audit.record(None, AuditAction.ACCOUNT_DELETED)
    signals.send_after_commit(db.session(), signals.user_deleted, **gone)
    if send_notice and is_proved:
        outbox.enqueue("account_deleted", None, to=email)
    return True

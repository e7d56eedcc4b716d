"""Change the email address: the user requests it, and the link that is emailed to the new address makes the change."""

from sqlalchemy import select, update

from app import clock, signals
from app.accounts import sessions
from app.email import budgets, outbox
from app.email.templates import Email
from app.extensions import db, rows_changed
from app.models import AuditAction, AuditEvent, EmailChange, LogoutReason, User, UserSession
from app.models.logins import email_key
from app.security import audit
from app.security.tokens import Token


def request(user: User, email: str) -> bool:
    """Email the link to the new address, and a notice to the present one.

    If the new address has an account, its owner gets an email that says so. Return False if the new address has had
    too many emails.
    """
    owner = User.find(email)
    event = audit.record(user, AuditAction.EMAIL_CHANGE_REQUESTED, old=user.email, new=email)
    if not budgets.budget_for(email):
        return False
    if owner in {None, user}:
        outbox.enqueue(Email.CHANGE_EMAIL, user, to=email, claims={"email": email}, new_email=email)
    else:
        outbox.enqueue(Email.ACCOUNT_EXISTS, owner)
    outbox.enqueue(Email.EMAIL_CHANGE_REQUESTED, user, event=event, new_email=email)
    return True


def change(token: Token, keep: UserSession | None = None) -> bool:
    """Change to the address in the token, revoke all sessions but `keep` and notify the old address.

    Return False if the address is not available, or another request was faster.
    """
    user, old = token.user, token.user.email
    if not user.take_email(token.claims.purpose, token.claims.extra["email"]):
        return False
    sessions.revoke_all(user, keep, reason=LogoutReason.EMAIL_CHANGED)
    event = audit.record(user, AuditAction.EMAIL_CHANGED, old=old, new=user.email)
    signals.send_after_commit(db.session(), signals.email_changed, user=user, old_email=old)
    if _release_reservation(user):
        outbox.enqueue(Email.EMAIL_REMOVED, user, to=old)
    else:
        _reserve(user, old, event)
        outbox.enqueue(Email.EMAIL_CHANGED, user, to=old, event=event, new_email=user.email)
    return True


def _release_reservation(user: User) -> bool:
    """Return whether the user has returned to an address that was reserved for them.

    If so, release it and every address since, and revoke the links "This wasn't me" in the emails to those.
    """
    mine = (EmailChange.user_id == user.id, EmailChange.old_email_key == user.email_key)
    first = db.session.scalar(select(EmailChange).where(*mine, *EmailChange.reserving()).order_by(EmailChange.id))
    if first is None:
        return False
    since = update(EmailChange).where(EmailChange.user_id == user.id, EmailChange.id >= first.id)
    rows_changed(since.values(released_at=clock.now()))
    between = update(AuditEvent).where(AuditEvent.user_id == user.id, AuditEvent.id > first.event_id)
    rows_changed(between.values(link_revoked_at=clock.now()))
    return True


def _reserve(user: User, old: str, event: AuditEvent) -> None:
    db.session.flush()  # the event gets its id
    change = EmailChange(user_id=user.id, old_email=old, old_email_key=email_key(old), new_email=user.email)
    change.event_id = event.id
    db.session.add(change)

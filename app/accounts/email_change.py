"""Changes of email addresses: a user requests one, and a link emailed to the new address completes it."""

from sqlalchemy import select, update

from app import clock, signals
from app.accounts import blocks, sessions
from app.email import budgets, outbox
from app.email.templates import Email
from app.extensions import db, rows_changed
from app.models import AuditAction, AuditEvent, EmailChange, LogoutReason, User, UserSession
from app.models.logins import email_key
from app.security import audit
from app.security.token_purposes import TokenPurpose
from app.security.tokens import Token


def request(user: User, email: str) -> bool:
    """Email the link to the new address and a notice to the present one; return False if the new one has had too many.

    If another account has the new address, its owner gets an email about that instead of the link.
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
    """Change to the email address in the token, revoke all sessions but `keep` and notify the old address.

    Return False if the address is not available or blocked, or another request was faster.
    """
    user, old, was_confirmed = token.user, token.user.email, token.user.confirmed
    email = token.claims.extra["email"]
    if blocks.is_blocked(email) or not user.take_email(token.claims.purpose, email):
        return False
    event = _record(user, old, keep)
    if was_confirmed:
        _tell_old_address(user, old, event)
    else:  # nobody has proved that the old address is theirs, so it gives no way back
        user.confirmed = True
        audit.record(user, AuditAction.CONFIRMED, old=False, new=True)
        outbox.enqueue(Email.EMAIL_REMOVED, user, to=old, ip="")
    return True


def replace(user: User, email: str) -> bool:
    """Change the address without a link, on an administrator's request; otherwise as change() does.

    Return False if the address is not available.
    """
    old = user.email
    if not user.take_email(TokenPurpose.CHANGE_EMAIL, email):
        return False
    event = _record(user, old)
    if user.confirmed:
        _tell_old_address(user, old, event)
    else:
        outbox.enqueue(Email.EMAIL_REMOVED, user, to=old)
    return True


def _record(user: User, old: str, keep: UserSession | None = None) -> AuditEvent:
    sessions.revoke_all(user, keep, reason=LogoutReason.EMAIL_CHANGED)
    signals.send_after_commit(db.session(), signals.email_changed, user=user, old_email=old)
    return audit.record(user, AuditAction.EMAIL_CHANGED, old=old, new=user.email)


def _tell_old_address(user: User, old: str, event: AuditEvent) -> None:
    """Email the old address a way back, unless the user has just returned from it to an earlier one."""
    if _release_reservation(user):
        outbox.enqueue(Email.EMAIL_REMOVED, user, to=old)
    else:
        _reserve(user, old, event)
        outbox.enqueue(Email.EMAIL_CHANGED, user, to=old, event=event, new_email=user.email)


def _release_reservation(user: User) -> bool:
    """If the user has returned to a reserved address, release it and all later ones; return whether that is so.

    The "This wasn't me" links that were emailed to the later addresses are revoked.
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
    new = {"new_email": user.email, "event_id": event.id}
    db.session.add(EmailChange(user_id=user.id, old_email=old, old_email_key=email_key(old), **new))

"""“This wasn't me”: take an account back to what it was before a security event.

Every email about such an event carries a link that is bound to it. The link is good for seven days and works once. It
covers everything since its event, and what the session that caused the event had changed before.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, exists, func, select, update

from app import clock, signals
from app.accounts import credentials, devices, email_ownership, registration, sessions, two_factor
from app.email import outbox
from app.email.templates import Email
from app.extensions import db, rows_changed
from app.models import AuditAction, AuditEvent, EmailChange, LogoutReason, User
from app.security import audit, tokens
from app.security.token_purposes import TokenPurpose

LINK_LIFETIME = timedelta(seconds=TokenPurpose.SECURE_ACCOUNT.lifetime)
PASSWORD_WITHIN = timedelta(hours=1)  # after the account was taken back; later, the user asks for a reset link

# What changed a credential, the email address, or the life of the account.
CHANGES = (
    AuditAction.DELETION_REQUESTED,
    AuditAction.EMAIL_CHANGED,
    AuditAction.IDENTITY_LINKED,
    AuditAction.IDENTITY_UNLINKED,
    AuditAction.PASSWORD_CHANGED,
    AuditAction.PASSWORD_REMOVED,
    AuditAction.PASSWORD_RESET,
    AuditAction.RECOVERY_CODES_MADE,
    AuditAction.TWO_FACTOR_OFF,
    AuditAction.TWO_FACTOR_ON,
    AuditAction.TWO_FACTOR_RESET,
)


@dataclass(frozen=True)
class Link:
    """What a valid link is about.

    `start`: the id of the first event that it undoes. `email`: the address that the account gets back.
    `secured`: the event of its use; then it only sets the new password.
    """

    user: User
    event: AuditEvent
    start: int
    email: str
    secured: AuditEvent | None = None


def find(token: str, everything: bool = False) -> Link | None:
    """Return what this link is about, or None if it cannot be used.

    `everything`: undo every change of the last seven days that the same address was told of, not only what was changed
    since the event and in its session.
    """
    resolved = tokens.resolve(token, TokenPurpose.SECURE_ACCOUNT)
    if not resolved:
        return None
    user, claims = resolved.user, resolved.claims
    event = db.session.get(AuditEvent, claims.extra.get("event") or 0)
    if not event or event.user_id != user.id or not clock.is_within(event.at, LINK_LIFETIME):
        return None
    if event.link_revoked_at is not None:
        return _find_used(user, event)
    start = _start(user, event, everything)
    link = Link(user, event, start, _email_before(user, start))
    return link if claims.extra.get("to") == outbox.recipient_hash(link.email) else None


def changes(link: Link) -> list[AuditEvent]:
    """Return what taking the account back would undo, the latest first."""
    mine = (AuditEvent.user_id == link.user.id, AuditEvent.id >= link.start, AuditEvent.action.in_(CHANGES))
    return list(db.session.scalars(select(AuditEvent).where(*mine).order_by(AuditEvent.id.desc())))


def earlier_changes(link: Link) -> list[AuditEvent]:
    """Return what it would undo besides with `everything`, the latest first."""
    mine = (*_can_be_undone(link.user, link.event), AuditEvent.id < link.start)
    return list(db.session.scalars(select(AuditEvent).where(*mine).order_by(AuditEvent.id.desc())))


def take_back(link: Link) -> bool:
    """Undo everything since the event; return False if another request was faster.

    The email address, the credentials and two-factor authentication are what they were before. All sessions are
    revoked, devices forgotten, outstanding links void, and the password is removed. A deletion requested since then is
    cancelled.
    """
    user, event, start, lost = link.user, link.event, link.start, link.user.email
    user.lock()
    if link.email != user.email and registration.is_taken(link.email, user):
        return False
    if not rows_changed(
        update(AuditEvent).where(AuditEvent.id == event.id, AuditEvent.link_revoked_at.is_(None)).values(_revoked())
    ):
        return False
    had_two_factor = two_factor.was_on(user, before=start)
    if not user.confirmed:
        email_ownership.clear(user)
    if link.email != lost:  # the model would refuse an address of a domain that is no longer accepted
        user.email = link.email
    _void_email_changes(user, start)
    _cancel_deletion(user, start)
    credentials.roll_back(user, start)
    two_factor.follow_factors(user)
    if had_two_factor and user.confirmed and not two_factor.is_on(user):
        return False  # a factor could not be restored: two-factor authentication never goes off by this
    user.password_hash, user.password_version, user.confirmed = None, user.password_version + 1, True
    rows_changed(update(AuditEvent).where(AuditEvent.user_id == user.id, AuditEvent.id >= start).values(_revoked()))
    sessions.revoke_all(user, reason=LogoutReason.ACCOUNT_SECURED)
    devices.forget_all(user)
    outbox.drop(user, since=start)
    if link.email != lost:
        signals.send_after_commit(db.session(), signals.email_changed, user=user, old_email=lost)
    _record(user, event, lost)
    return True


def choose_password(user: User, password: str) -> bool:
    """Set the new password of an account that was just taken back; return False if another request was faster."""
    if not user.consume(TokenPurpose.RESET, User.password_hash.is_(None), **user.new_password(password)):
        return False
    audit.record(user, AuditAction.PASSWORD_RESET)
    return True


def _find_used(user: User, event: AuditEvent) -> Link | None:
    """Return the link if it has just taken the account back, and no password was chosen since."""
    used = select(AuditEvent).where(AuditEvent.user_id == user.id, AuditEvent.action == AuditAction.ACCOUNT_SECURED)
    secured = db.session.scalar(used.order_by(AuditEvent.id.desc()).limit(1))
    if not secured or secured.detail["event"] != event.id or not clock.is_within(secured.at, PASSWORD_WITHIN):
        return None
    is_open = secured.detail["version"] == user.password_version
    return Link(user, event, secured.id, user.email, secured) if is_open else None


def _start(user: User, event: AuditEvent, everything: bool) -> int:
    """Return the id of the first event to undo.

    If the session that caused the event was not the owner's, neither was anything else that it changed. But two-factor
    authentication that was on before the event stays on: a change before which it was off is undone only if the user
    asks for `everything`, since a link may be opened by somebody who only reads the mailbox.
    """
    candidates = db.session.scalars(
        select(AuditEvent).where(*_can_be_undone(user, event)).order_by(AuditEvent.id)
    ).all()
    if everything:
        return min([event.id, *(candidate.id for candidate in candidates)])
    was_on = two_factor.was_on(user, before=event.id)
    for candidate in candidates:
        is_same = event.session and candidate.session == event.session
        if is_same and (not was_on or two_factor.was_on(user, before=candidate.id)):
            return candidate.id
    return event.id


def _can_be_undone(user: User, event: AuditEvent) -> list[ColumnElement[bool]]:
    """Return the conditions of the changes within the last week before this event that the same address was told of."""
    changed = (EmailChange.user_id == user.id, EmailChange.event_id < event.id)
    newest = select(func.coalesce(func.max(EmailChange.event_id), 0)).where(*changed).scalar_subquery()
    recent = (AuditEvent.at > clock.now() - LINK_LIFETIME, AuditEvent.link_revoked_at.is_(None))
    return [
        AuditEvent.user_id == user.id,
        AuditEvent.action.in_(CHANGES),
        *recent,
        AuditEvent.id < event.id,
        AuditEvent.id > newest,
    ]


def _email_before(user: User, start: int) -> str:
    """Return the email address before the first change since then; the present one if there was no change."""
    changed = (EmailChange.user_id == user.id, EmailChange.event_id >= start, EmailChange.released_at.is_(None))
    first = select(EmailChange.old_email).where(*changed).order_by(EmailChange.id).limit(1)
    return db.session.scalar(first) or user.email


def _void_email_changes(user: User, start: int) -> None:
    changed = update(EmailChange).where(EmailChange.user_id == user.id, EmailChange.event_id >= start)
    rows_changed(changed.values(released_at=clock.now()))


def _cancel_deletion(user: User, start: int) -> None:
    requested = (
        AuditEvent.user_id == user.id,
        AuditEvent.id >= start,
        AuditEvent.action == AuditAction.DELETION_REQUESTED,
    )
    if db.session.scalar(select(exists().where(*requested))):
        user.deletion_due_at = None


def _record(user: User, event: AuditEvent, lost: str) -> None:
    """Record the use of the link and notify the user, at the address that the account lost, too."""
    changed = {"old": lost, "new": user.email} if lost != user.email else {}
    audit.record(user, AuditAction.ACCOUNT_SECURED, event=event.id, version=user.password_version, **changed)
    outbox.enqueue(Email.ACCOUNT_SECURED, user)
    if changed:
        outbox.enqueue(Email.EMAIL_REMOVED, user, to=lost)


def _revoked() -> dict[str, datetime]:
    return {"link_revoked_at": clock.now()}

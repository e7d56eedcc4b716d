"""“This wasn't me”: restore an account to its state before a security event.

Every email about a security event contains a link that is bound to the event, works once and expires after seven days.
It undoes all changes since the event, and earlier changes of the session that caused the event.
"""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, exists, func, select, update

from app import clock, signals
from app.accounts import credentials, devices, email_ownership, invitations, registration, sessions, two_factor
from app.email import outbox
from app.email.templates import Email
from app.extensions import db, rows_changed
from app.models import AuditAction, AuditEvent, EmailChange, LogoutReason, User
from app.models.audit_action import Action
from app.security import audit, tokens
from app.security.token_purposes import TokenPurpose

LINK_LIFETIME = timedelta(seconds=TokenPurpose.SECURE_ACCOUNT.lifetime)
PASSWORD_WINDOW = timedelta(hours=1)  # to choose a password after the recovery; later, the user needs a reset link

# Changes of a credential or the email address, requests to delete the account, and invitations by it.
CHANGES: list[Action] = [
    AuditAction.DELETION_REQUESTED,
    AuditAction.EMAIL_CHANGED,
    AuditAction.IDENTITY_LINKED,
    AuditAction.IDENTITY_UNLINKED,
    AuditAction.INVITED,
    AuditAction.PASSKEY_ADDED,
    AuditAction.PASSKEY_REMOVED,
    AuditAction.PASSWORD_CHANGED,
    AuditAction.PASSWORD_REMOVED,
    AuditAction.PASSWORD_RESET,
    AuditAction.RECOVERY_CODES_MADE,
    AuditAction.TWO_FACTOR_OFF,
    AuditAction.TWO_FACTOR_ON,
    AuditAction.TWO_FACTOR_RESET,
]


@dataclass(frozen=True)
class Link:
    """A valid link.

    Attributes:
        start: the id of the first event that the link undoes.
        email: the email address that the account gets back.
        secured: the event of the recovery, after which the link only sets the new password.
    """

    user: User
    event: AuditEvent
    start: int
    email: str
    secured: AuditEvent | None = None


def find(token: str, everything: bool = False) -> Link | None:
    """Return the link of a token, or None if it is invalid.

    Args:
        everything: also undo changes of the last seven days whose notices went to the same address, not only changes
            since the event or by its session.
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
    """Return the changes that the link undoes, the latest first."""
    return _latest_first(
        AuditEvent.user_id == link.user.id, AuditEvent.id >= link.start, AuditEvent.action.in_(CHANGES)
    )


def earlier_changes(link: Link) -> list[AuditEvent]:
    """Return the changes that only `everything` undoes, the latest first."""
    return _latest_first(*_undoable(link.user, link.event), AuditEvent.id < link.start)


def take_back(link: Link) -> Link | None:
    """Undo the changes, remove the password, and return the used link, which sets the new password.

    The email address, the credentials and two-factor authentication are restored. Sessions, devices and outstanding
    links are revoked. A deletion requested since the event is cancelled, and invitations sent since are withdrawn.

    Return None if the address is taken, another request was faster, or two-factor authentication can't be restored.
    The caller must then roll back.
    """
    user, start, lost = link.user, link.start, link.user.email
    user.lock()
    if (link.email != lost and registration.is_taken(link.email, user)) or not _consume(link):
        return None
    had_two_factor = two_factor.was_on(user, before=start)
    _restore(link)
    if had_two_factor and user.confirmed and not two_factor.is_on(user):
        return None
    _lock_out(user, start)
    secured = _record(link, lost)
    outbox.enqueue(Email.ACCOUNT_SECURED, user)
    if link.email != lost:
        signals.send_after_commit(db.session(), signals.email_changed, user=user, old_email=lost)
        outbox.enqueue(Email.EMAIL_REMOVED, user, to=lost)
    return Link(user, link.event, secured.id, user.email, secured)


def choose_password(user: User, password: str) -> bool:
    """Set the new password of a recovered account; return False if another request was faster."""
    if not user.consume(TokenPurpose.RESET, User.password_hash.is_(None), **user.new_password(password)):
        return False
    audit.record(user, AuditAction.PASSWORD_RESET)
    return True


def _latest_first(*conditions: ColumnElement[bool]) -> list[AuditEvent]:
    return list(db.session.scalars(select(AuditEvent).where(*conditions).order_by(AuditEvent.id.desc())))


def _find_used(user: User, event: AuditEvent) -> Link | None:
    """Return the link if it has just been used, and no password was chosen since."""
    used = select(AuditEvent).where(AuditEvent.user_id == user.id, AuditEvent.action == AuditAction.ACCOUNT_SECURED)
    secured = db.session.scalar(used.order_by(AuditEvent.id.desc()).limit(1))
    if not secured or secured.detail["event"] != event.id or not clock.is_within(secured.at, PASSWORD_WINDOW):
        return None
    is_open = secured.detail["version"] == user.password_version
    return Link(user, event, secured.id, user.email, secured) if is_open else None


def _start(user: User, event: AuditEvent, everything: bool) -> int:
    """Return the id of the first event to undo.

    If an attacker's session caused the event, its earlier changes are undone, too. But two-factor authentication that
    was on before the event stays on, since an attacker who only reads the user's email could open the link: a change
    that turned it on is undone only with `everything`.
    """
    undoable = select(AuditEvent).where(*_undoable(user, event)).order_by(AuditEvent.id)
    candidates = db.session.scalars(undoable).all()
    if everything:
        return min([event.id, *(candidate.id for candidate in candidates)])
    was_on = two_factor.was_on(user, before=event.id)
    for candidate in candidates:
        is_same = event.session and candidate.session == event.session
        if is_same and (not was_on or two_factor.was_on(user, before=candidate.id)):
            return candidate.id
    return event.id


def _undoable(user: User, event: AuditEvent) -> list[ColumnElement[bool]]:
    """Return the conditions for changes of the last seven days before `event` that were notified to its address."""
    changed = (EmailChange.user_id == user.id, EmailChange.event_id < event.id)
    newest = select(func.coalesce(func.max(EmailChange.event_id), 0)).where(*changed).scalar_subquery()
    return [
        AuditEvent.user_id == user.id,
        AuditEvent.action.in_(CHANGES),
        AuditEvent.at > clock.now() - LINK_LIFETIME,
        AuditEvent.link_revoked_at.is_(None),
        AuditEvent.id < event.id,
        AuditEvent.id > newest,
    ]


def _email_before(user: User, start: int) -> str:
    """Return the email address before the first change since `start`; the present one if there was no change."""
    changed = (EmailChange.user_id == user.id, EmailChange.event_id >= start, EmailChange.released_at.is_(None))
    first = select(EmailChange.old_email).where(*changed).order_by(EmailChange.id).limit(1)
    return db.session.scalar(first) or user.email


def _consume(link: Link) -> bool:
    unused = update(AuditEvent).where(AuditEvent.id == link.event.id, AuditEvent.link_revoked_at.is_(None))
    return rows_changed(unused.values(link_revoked_at=clock.now())) == 1


def _restore(link: Link) -> None:
    user, start = link.user, link.start
    if not user.confirmed:
        email_ownership.prove(user)
    if link.email != user.email:  # assigning it again could fail, since the model validates it
        user.email = link.email
    changed = update(EmailChange).where(EmailChange.user_id == user.id, EmailChange.event_id >= start)
    rows_changed(changed.values(released_at=clock.now()))
    since = (AuditEvent.user_id == user.id, AuditEvent.id >= start)
    if db.session.scalar(select(exists().where(*since, AuditEvent.action == AuditAction.DELETION_REQUESTED))):
        user.deletion_due_at = None
    credentials.roll_back(user, start)
    two_factor.follow_factors(user)


def _lock_out(user: User, start: int) -> None:
    user.password_hash, user.password_version, user.confirmed = None, user.password_version + 1, True
    since = update(AuditEvent).where(AuditEvent.user_id == user.id, AuditEvent.id >= start)
    rows_changed(since.values(link_revoked_at=clock.now()))
    sessions.revoke_all(user, reason=LogoutReason.ACCOUNT_SECURED)
    devices.forget_all(user)
    invitations.withdraw_all(user, since=db.session.get_one(AuditEvent, start).at)
    outbox.drop(user, since=start)


def _record(link: Link, lost: str) -> AuditEvent:
    user = link.user
    emails = {"old": lost, "new": user.email} if lost != user.email else {}
    detail = {"event": link.event.id, "version": user.password_version, **emails}
    secured = audit.record(user, AuditAction.ACCOUNT_SECURED, **detail)
    db.session.flush()  # the event gets its id
    return secured

"""“This wasn't me”: take an account back to what it was before a security event.

Every email about such an event carries a link that is bound to it. The link is good for seven days and works once. It
covers everything since its event, and what the session that caused the event had changed before.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import exists, func, select, update

from app import audit, clock, mail, signals, tokens
from app.accounts import credentials, first_proof, registration, sessions, two_factor
from app.extensions import db, rows_changed
from app.models import EmailChange, Event, User

LINK_LIFETIME = timedelta(seconds=tokens.LIFETIMES["secure_account"])
PASSWORD_WITHIN = timedelta(hours=1)  # after the account was taken back; later, the user asks for a reset link

# What changed a credential, the email address, or the life of the account.
CHANGES = (
    "deletion_asked email_changed identity_linked identity_unlinked password_changed password_removed password_reset "
    "recovery_codes_made second_factor_off second_factor_on second_factor_reset".split()
)
SECURED = "account_secured"


@dataclass(frozen=True)
class Link:
    """What a valid link is about. `secured`: the event of its use; then it only sets the new password."""

    user: User
    event: Event
    secured: Event | None = None


def find(token: str) -> Link | None:
    """Return what this link is about, or None if it cannot be used."""
    claims = tokens.read("secure_account", token)
    event = claims and db.session.get(Event, claims.extra.get("event") or 0)
    if not claims or not event or event.user_id != claims.subject or not clock.is_within(event.at, LINK_LIFETIME):
        return None
    user = db.session.get_one(User, event.user_id)
    if event.link_revoked_at is None:
        return Link(user, event)
    secured = _last_use(user)
    if not secured or secured.detail["event"] != event.id or not clock.is_within(secured.at, PASSWORD_WITHIN):
        return None
    return Link(user, event, secured) if secured.detail["version"] == user.password_version else None


def changes(link: Link) -> list[Event]:
    """Return what taking the account back would undo, the latest first."""
    mine = (Event.user_id == link.user.id, Event.id >= _start(link), Event.action.in_(CHANGES))
    return list(db.session.scalars(select(Event).where(*mine).order_by(Event.id.desc())))


def email_before(link: Link) -> str:
    """Return the email address that the account had before the event, and gets back."""
    return _first_email(link.user, _start(link)) or link.user.email


def take_back(link: Link) -> bool:
    """Undo everything since the event; return False if another request was faster.

    The email address, the credentials and two-factor authentication are what they were before. All sessions are
    revoked, devices forgotten, outstanding links void, and the password is removed. A deletion requested since then is
    cancelled.
    """
    user, event = link.user, link.event
    user.lock()
    start, lost, former = _start(link), user.email, email_before(link)
    if former != lost and registration.is_taken(former, user):
        return False
    if not rows_changed(update(Event).where(Event.id == event.id, Event.link_revoked_at.is_(None)).values(_revoked())):
        return False
    if not user.confirmed:
        first_proof.clear(user)
    user.email = former
    _void_email_changes(user, start)
    _cancel_deletion(user, start)
    credentials.roll_back(user, start)
    two_factor.follow_factors(user)
    user.password_hash, user.password_version, user.confirmed = None, user.password_version + 1, True
    rows_changed(update(Event).where(Event.user_id == user.id, Event.id >= start).values(_revoked()))
    sessions.end_others(user, reason=SECURED)
    sessions.forget_devices(user)
    mail.drop(user, since=start)
    if former != lost:
        signals.send_after_commit(db.session(), signals.email_changed, user=user, old_email=lost)
    _record(user, event, lost)
    return True


def choose_password(user: User, password: str) -> bool:
    """Set the new password of an account that was just taken back; return False if another request was faster."""
    if not user.spend("reset", User.password_hash.is_(None), **user.new_password(password)):
        return False
    audit.record(user, "password_reset")
    return True


def _start(link: Link) -> int:
    """Return the id of the first event to undo.

    If the session that caused the event was not the owner's, neither was anything else that it changed. But two-factor
    authentication that was on before the event stays on: where it would not, only what followed the event is undone.
    """
    event, user = link.event, link.user
    same = (Event.user_id == user.id, Event.session == event.session, Event.action.in_(CHANGES))
    recent = (Event.at > clock.now() - LINK_LIFETIME, Event.link_revoked_at.is_(None), Event.id < event.id)
    first = db.session.scalar(select(func.min(Event.id)).where(*same, *recent)) if event.session else None
    if first is None:
        return event.id
    is_weaker = two_factor.was_on(user, before=event.id) and not two_factor.was_on(user, before=first)
    return event.id if is_weaker else first


def _first_email(user: User, start: int) -> str | None:
    """Return the email address before the first change since then; None if there was no change."""
    changed = (EmailChange.user_id == user.id, EmailChange.event_id >= start, EmailChange.undone_at.is_(None))
    return db.session.scalar(select(EmailChange.old_email).where(*changed).order_by(EmailChange.id).limit(1))


def _void_email_changes(user: User, start: int) -> None:
    changed = update(EmailChange).where(EmailChange.user_id == user.id, EmailChange.event_id >= start)
    rows_changed(changed.values(undone_at=clock.now()))


def _cancel_deletion(user: User, start: int) -> None:
    requested = (Event.user_id == user.id, Event.id >= start, Event.action == "deletion_asked")
    if db.session.scalar(select(exists().where(*requested))):
        user.deletion_due_at = None


def _record(user: User, event: Event, lost: str) -> None:
    """Record the use of the link and notify the user, at the address that the account lost, too."""
    changed = {"old": lost, "new": user.email} if lost != user.email else {}
    audit.record(user, SECURED, event=event.id, version=user.password_version, **changed)
    mail.send("account_secured", user)
    if changed:
        mail.send("email_undone", user, to=lost)


def _last_use(user: User) -> Event | None:
    mine = (Event.user_id == user.id, Event.action == SECURED)
    return db.session.scalar(select(Event).where(*mine).order_by(Event.id.desc()).limit(1))


def _revoked() -> dict[str, datetime]:
    return {"link_revoked_at": clock.now()}

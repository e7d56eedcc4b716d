"""Having another address: asked for, made by the link that goes there, and undone from the old one for a week."""

from sqlalchemy import select, update

from app import audit, clock, mail, tokens
from app.accounts import sessions, ways_in
from app.extensions import db, rows_changed
from app.models import EmailChange, User, UserSession
from app.models.email_change import UNDO_WITHIN
from app.models.user import email_key


def ask(user: User, email: str) -> bool:
    """Queue the letter to the new address, and the notice to the old; say whether one can be sent there.

    If the new one belongs to somebody, they get a letter that says so.
    """
    owner = User.find(email)
    may_write = mail.may_write_to(email)
    if not may_write:
        return False
    audit.record(user, "email_change_asked", new=email)
    if owner in {None, user}:
        mail.send("change_email", user, to=email, claims={"email": email}, new_email=email)
    else:
        mail.send("account_exists", owner)
    mail.send("email_change_asked", user, new_email=email)
    return True


def change(user: User, token: str, keep: UserSession | None = None) -> bool:
    """Take the address that the token carries, if it is nobody's; tell the old one, and how to undo it."""
    old = user.email
    if not user.change_email(token):
        return False
    made = EmailChange(user_id=user.id, old_email=old, old_email_key=email_key(old), new_email=user.email)
    db.session.add(made)
    db.session.flush()
    sessions.end_others(user, keep, reason="email_changed")
    audit.record(user, "email_changed", old=old, new=user.email)
    undo_until = f"{made.changed_at + UNDO_WITHIN:%-d %B %Y at %H:%M} UTC"
    mail.send("email_changed", user, to=old, claims={"change": made.id}, new_email=user.email, undo_until=undo_until)
    return True


def find_to_undo(token: str) -> EmailChange | None:
    """Return the change that this token can undo."""
    claims = tokens.read("undo_email", token)
    if not claims:
        return None
    mine = (EmailChange.id == claims.extra.get("change"), EmailChange.user_id == claims.subject)
    return db.session.scalar(select(EmailChange).where(*mine, *EmailChange.can_be_undone()))


def undo(change: EmailChange) -> bool:
    """Put the old address back, whatever became of the account since; say whether nobody was faster.

    Nobody who is in stays in: no browser, no password. The undo of later changes is void.
    """
    since = update(EmailChange).where(EmailChange.user_id == change.user_id, EmailChange.undone_at.is_(None))
    if not rows_changed(since.where(EmailChange.id == change.id).values(undone_at=clock.now())):
        return False
    rows_changed(since.where(EmailChange.id > change.id).values(undone_at=clock.now()))
    user = db.session.get_one(User, change.user_id, with_for_update=True)
    lost = user.email
    user.email, user.confirmed, user.password_hash = change.old_email, True, None
    user.password_version += 1
    db.session.flush()
    ways_in.remove(user, "email_undone")
    audit.record(user, "email_undone", old=lost, new=user.email)
    mail.send("email_undone", user, to=lost)
    mail.send("email_restored", user)
    return True

"""Having another address: asked for, made by the link that goes there, and undone from the old one for a week."""

from sqlalchemy import ColumnElement, func, select, update

from app import audit, clock, mail, tokens
from app.accounts import sessions, ways_in
from app.extensions import db, rows_changed
from app.models import EmailChange, User, UserSession
from app.models.email_change import UNDO_WITHIN
from app.models.user import email_key


def ask(user: User, email: str) -> bool:
    """Queue the letter to the new address, and the notice to the old; say whether the new one may get a letter.

    If the new one belongs to somebody, they get a letter that says so.
    """
    owner = User.find(email)
    audit.record(user, "email_change_asked", new=email)
    if not mail.budget_for(email):
        return False
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
    sessions.end_others(user, keep, reason="email_changed")
    audit.record(user, "email_changed", old=old, new=user.email)
    if _take_back(user):
        mail.send("email_undone", user, to=old)
        return True
    made = EmailChange(user_id=user.id, old_email=old, old_email_key=email_key(old), new_email=user.email)
    db.session.add(made)
    db.session.flush()
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
    change_id, user_id, email, key = change.id, change.user_id, change.old_email, change.old_email_key
    # First the account's own row: whoever changes it at this moment is done, or finds it changed.
    locked = update(User).where(User.id == user_id)
    rows_changed(locked.values(password_hash=None, password_version=User.password_version + 1, confirmed=True))
    if not _void(EmailChange.id == change_id):
        return False
    _void(EmailChange.user_id == user_id, EmailChange.id > change_id)
    user = db.session.get_one(User, user_id, populate_existing=True)
    lost = user.email
    if not user.take_email("undo_email", email, key):
        return False
    ways_in.remove(user, "email_undone")
    mail.drop_undo_letters(user, after=change_id)
    user.deletion_due_at = None  # whoever asked for that, it was not who undoes the change
    audit.record(user, "email_undone", old=lost, new=email)
    mail.send("email_undone", user, to=lost)
    mail.send("email_restored", user)
    return True


def _take_back(user: User) -> bool:
    """Say whether this address is one that could be put back still: then it is, and no later change can be undone."""
    mine = (EmailChange.user_id == user.id, EmailChange.old_email_key == user.email_key)
    first = db.session.scalar(select(func.min(EmailChange.id)).where(*mine, *EmailChange.can_be_undone()))
    return first is not None and _void(EmailChange.user_id == user.id, EmailChange.id >= first)


def _void(*which: ColumnElement[bool]) -> bool:
    """Let no undo of these changes be made any more; say whether one could be."""
    open_ones = update(EmailChange).where(*which, EmailChange.undone_at.is_(None))
    return rows_changed(open_ones.values(undone_at=clock.now())) > 0

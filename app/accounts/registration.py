"""Becoming a member: which names and addresses will do, and the letter that confirms the address."""

import math
import re
from datetime import timedelta

from email_validator import EmailNotValidError, validate_email
from sqlalchemy import func, or_, select, update

from app import audit, clock, mail
from app.extensions import db, rows_changed
from app.models import Event, Letter, User
from app.models.user import ascii_email
from config import setting

RESEND_EVERY = timedelta(seconds=60)  # the first letter counts
RESENDS, RESENDS_WITHIN = 5, timedelta(hours=6)
RESENT = "confirmation_resent"  # the history lines that are counted

USERNAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")
RESERVED = frozenset(
    "abuse account accounts admin administrator auth help hostmaster info login logout mail me moderator null operator "
    "postmaster register root security settings signup staff static support system undefined webmaster www".split()
)


def register(email: str, username: str, password: str, confirmed: bool = False) -> User:
    """Make an account, and queue the letter that confirms its address. Raises IntegrityError if one is taken."""
    user = User(email=email, username=username, password=password, confirmed=confirmed)
    db.session.add(user)
    db.session.flush()
    audit.record(user, "registered")
    if not confirmed:
        _send_letter(user)
    return user


def confirm(user: User, token: str) -> bool:
    """Confirm the address that the token speaks of, and say whether it was good."""
    if not user.confirm(token):
        return False
    audit.record(user, "confirmed")
    return True


def confirm_unproved(user: User) -> None:
    """Take an address as confirmed on an operator's word."""
    user.confirmed = True
    audit.record(user, "confirmed")


def send_again(user: User) -> bool:
    """Queue another confirmation letter, if it is time; one conditional UPDATE, so that two clicks send one."""
    now = clock.now()
    if seconds_to_wait(user):
        return False
    earlier = or_(User.confirmation_sent_at.is_(None), User.confirmation_sent_at <= now - RESEND_EVERY)
    unconfirmed = update(User).where(User.id == user.id, User.confirmed.is_(False), earlier)
    if not rows_changed(unconfirmed.values(confirmation_sent_at=now)):
        return False
    audit.record(user, RESENT)
    _send_letter(user)
    return True


def last_letter(user: User) -> Letter | None:
    """Return the newest confirmation letter to the address that the account has now."""
    mine = (Letter.user_id == user.id, Letter.name == "confirm", Letter.recipient == ascii_email(user.email))
    return db.session.scalar(select(Letter).where(*mine).order_by(Letter.id.desc()).limit(1))


def seconds_to_wait(user: User) -> int:
    """Return how long until another confirmation letter can be asked for."""
    now = clock.now()
    resent = select(func.count(), func.min(Event.at)).where(
        Event.user_id == user.id, Event.action == RESENT, Event.at > now - RESENDS_WITHIN
    )
    count, first = db.session.execute(resent).one()
    waits = [now] if user.confirmation_sent_at is None else [user.confirmation_sent_at + RESEND_EVERY]
    if count >= RESENDS:
        waits.append(first + RESENDS_WITHIN)
    return max(0, math.ceil((max(waits) - now).total_seconds()))


def normal_email(address: str) -> str:
    """Return an address in its normal form. Raises ValueError, with a reason in words, if it can't be one."""
    try:
        parsed = validate_email(address, check_deliverability=False, allow_smtputf8=False)
    except EmailNotValidError as error:
        plain = str(error).replace("is not valid", "can't be right").replace("contains invalid", "has unusable")
        raise ValueError(plain) from error
    if len(parsed.local_part) > 64:
        raise ValueError("The part before the @ can have 64 characters at most.")
    return parsed.normalized


def check_username(username: str, by_operator: bool = False) -> None:
    """Raise ValueError, with a reason in words, if a username won't do. Reserved names are for operators to give."""
    if not USERNAME.fullmatch(username):
        raise ValueError("Use letters, digits, dots, dashes and underscores, beginning with a letter: 64 at most.")
    if not by_operator and username.lower() in RESERVED | {setting("APP_NAME").lower()}:
        raise ValueError("This name is reserved. Choose another.")


def _send_letter(user: User) -> None:
    user.confirmation_sent_at = clock.now()
    mail.send("confirm", user)

"""Becoming a member: which names and addresses will do, and the email that confirms the address."""

import math
import secrets
from datetime import timedelta
from difflib import get_close_matches
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, insert, literal, or_, select, true, update
from sqlalchemy.exc import IntegrityError

from app import clock, signals
from app.database import broken_rule, is_duplicate
from app.email import budgets, outbox
from app.extensions import db, rows_changed
from app.models import AuditAction, AuditEvent, EmailChallenge, OutboxEmail, User
from app.models.logins import ascii_email, email_key
from app.models.logins import normal_email as normal_email  # for those who call these verbs
from app.models.user import is_free
from app.security import audit, rate_limits
from app.security.hashing import hash_password
from app.security.token_purposes import TokenPurpose
from app.security.tokens import Token

RESEND_EVERY = timedelta(seconds=60)  # the first email counts
RESENDS, RESENDS_WITHIN = 5, timedelta(hours=6)

CORRECTIONS, CORRECTIONS_WITHIN = 5, timedelta(hours=1)

# For "did you mean": where many mailboxes are, what is no slip of those, and slips of "com".
PROVIDERS = "fastmail gmail googlemail hotmail icloud outlook protonmail yahoo".split()
OTHERS = "email hushmail mail mailo rocketmail tutamail ymail zmail".split()
SLIPS_OF_COM = "cim cm cmo co comm con coom cpm ocm om vom xom".split()

USERS = User.metadata.tables["users"]
KEYS = ("users.email_key", "users.username_key")


class Taken(Exception):
    """Somebody else has this address or this name."""


class Refused(Exception):
    """The database takes no such account: its row breaks a rule that is not about the address or the name."""


def register(email: str, username: str, password: str | None, confirmed: bool = False) -> User:
    """Make an account, and queue the email that confirms its address, or asks for its first password.

    Raises Taken if somebody has the address, may get it back, or has the name; Refused if the row breaks another rule.
    """
    user, is_new = _add(email, username, password, confirmed)
    if not user or not is_new:
        raise Taken
    audit.record(user, AuditAction.REGISTERED)
    if confirmed:
        signals.send_after_commit(db.session(), signals.user_confirmed, user=user)
    if password is None:
        outbox.enqueue("first_password", user)
    elif not confirmed:
        _send_email(user)
    return user


def join(email: str, username: str, confirmed: bool) -> User:
    """Make an account for who has another way in than a password, and queue the email that confirms its address.

    Raises Taken as register() does.
    """
    user, is_new = _add(email, username, None, confirmed)
    if not user or not is_new:
        raise Taken
    audit.record(user, AuditAction.REGISTERED)
    if confirmed:
        signals.send_after_commit(db.session(), signals.user_confirmed, user=user)
    if not confirmed:
        _send_email(user)
    return user


def register_unseen(email: str, username: str, password: str) -> None:
    """Register with the same work and no answer, whether or not the address has an account: its owner is told.

    Raises Taken if somebody has the name.
    """
    user, is_new = _add(email, username, password, confirmed=False, is_unseen=True)
    budget = budgets.budget_for(email)
    audit.record(user, AuditAction.REGISTERED if is_new else AuditAction.REGISTERED_AGAIN)
    if not budget:
        return
    if user and is_new:
        outbox.enqueue("confirm", user, budget=budget)
    else:
        outbox.enqueue("account_exists", user, to=user.email if user else email, budget=budget)


def confirm(token: Token) -> bool:
    """Confirm the email address by a mailed link. Return False if another request was faster."""
    if not token.consume(confirmed=True):
        return False
    audit.record(token.user, AuditAction.CONFIRMED)
    return True


def confirm_by_code(user: User, code: str) -> bool:
    """Confirm the address by the code in the email, and say whether it was right."""
    challenge = _challenge(user)
    if not challenge or not challenge.use(code) or not user.consume(TokenPurpose.CONFIRM, confirmed=True):
        audit.note_attempt(audit.Attempt.CODE_FAILED)
        return False
    audit.record(user, AuditAction.CONFIRMED)
    return True


def correct(user: User, email: str) -> bool:
    """Have another address instead of one that was never confirmed, and say whether it was free; the email goes there.

    Raises ValueError, with a reason in words, after five within the hour, or if the address gets too many emails.
    """
    hour = (
        AuditEvent.user_id == user.id,
        AuditEvent.action == AuditAction.EMAIL_CORRECTED,
        AuditEvent.at > clock.now() - CORRECTIONS_WITHIN,
    )
    if (db.session.scalar(select(func.count()).where(*hour)) or 0) >= CORRECTIONS:
        raise ValueError("You have changed it often. Wait an hour, then try again.")
    if not budgets.budget_for(email):
        raise ValueError("Many emails went there lately. Wait an hour, then try again.")
    old = user.email
    if not user.take_email(TokenPurpose.CONFIRM, email):
        return False
    audit.record(user, AuditAction.EMAIL_CORRECTED, old=old, new=email)
    _send_email(user)
    return True


def near_miss(email: str) -> str | None:
    """Return the address that may have been meant, if the domain looks like a slip in a well-known one."""
    local, _, domain = email.rpartition("@")
    name, _, ending = domain.lower().partition(".")
    likely = [name] if name in OTHERS else get_close_matches(name, PROVIDERS, n=1, cutoff=0.8)
    meant = f"{likely[0]}.{'com' if ending in SLIPS_OF_COM else ending}" if likely else domain.lower()
    return f"{local}@{meant}" if meant != domain.lower() else None


def confirm_manually(user: User) -> None:
    """Take an address as confirmed on an administrator's word."""
    user.confirmed = True
    audit.record(user, AuditAction.CONFIRMED)


def send_again(user: User) -> bool:
    """Queue another confirmation email, if it is time; one conditional UPDATE, so that two clicks send one."""
    now = clock.now()
    if seconds_to_wait(user):
        return False
    earlier = or_(User.confirmation_sent_at.is_(None), User.confirmation_sent_at <= now - RESEND_EVERY)
    unconfirmed = update(User).where(User.id == user.id, User.confirmed.is_(False), earlier)
    if not rows_changed(unconfirmed.values(confirmation_sent_at=now)):
        return False
    audit.record(user, AuditAction.CONFIRMATION_RESENT)
    _send_email(user)
    return True


def last_email(user: User) -> OutboxEmail | None:
    """Return the newest confirmation email to the address that the account has now."""
    mine = (
        OutboxEmail.user_id == user.id,
        OutboxEmail.name == "confirm",
        OutboxEmail.recipient == ascii_email(user.email),
    )
    return db.session.scalar(select(OutboxEmail).where(*mine).order_by(OutboxEmail.id.desc()).limit(1))


def seconds_to_wait(user: User) -> int:
    """Return how long until another confirmation email can be asked for."""
    now = clock.now()
    resent = select(func.count(), func.min(AuditEvent.at)).where(
        AuditEvent.user_id == user.id,
        AuditEvent.action == AuditAction.CONFIRMATION_RESENT,
        AuditEvent.at > now - RESENDS_WITHIN,
    )
    count, first = db.session.execute(resent).one()
    waits = [now] if user.confirmation_sent_at is None else [user.confirmation_sent_at + RESEND_EVERY]
    if count >= RESENDS:
        waits.append(first + RESENDS_WITHIN)
    return max(0, math.ceil((max(waits) - now).total_seconds()))


def is_taken(email: str, user: User | None = None) -> bool:
    """Say whether somebody but `user` has this address, or may get it back."""
    return not db.session.scalar(select(and_(*is_free(email_key(email), user.id if user else None))))


def _add(
    email: str, username: str, password: str | None, confirmed: bool, is_unseen: bool = False
) -> tuple[User | None, bool]:
    """Insert an account, if the address is free; return whose it is now, and whether that is the new one.

    One statement decides, and is the same whoever has the address. `is_unseen`: if it is not free, the name is taken
    all the same, by an account that nobody can have: else it would tell. Raises rate_limits.Exceeded if too many people
    registered from this network, by whichever form, button or provider.
    """
    rate_limits.hit("registration")
    new: dict[str, Any] = {
        "email": email,
        "email_key": email_key(email),
        "username": username,
        "username_key": username.lower(),
        "password_hash": None if password is None else hash_password(password),
        "password_version": 1,
        "confirmed": confirmed,
        "confirmation_sent_at": None if confirmed else clock.now(),
    }
    values: dict[str, ColumnElement[Any]] = {name: literal(value, USERS.c[name].type) for name, value in new.items()}
    free = and_(*is_free(new["email_key"]))
    if is_unseen:
        nobody = f"{secrets.token_hex(16)}@invalid"
        for name, value in {"email": nobody, "email_key": nobody, "password_hash": None}.items():
            values[name] = case((free, values[name]), else_=literal(value, USERS.c[name].type))
    row = select(*values.values()).where(true() if is_unseen else free)
    adding = insert(USERS).from_select(list(values), row).execution_options(preserve_rowcount=True)
    try:
        added = rows_changed(adding)
    except IntegrityError as error:
        if not is_duplicate(error, *KEYS):
            raise Refused(f"The account can't be made: {broken_rule(error)}") from None  # which would show the row
        raise Taken from error  # the name, or the address at this moment
    owner = User.find(email)
    return owner, added == 1 and owner is not None and owner.username == username


def _challenge(user: User) -> EmailChallenge | None:
    """The newest code by which this account can be confirmed."""
    mine = (EmailChallenge.user_id == user.id, EmailChallenge.purpose == TokenPurpose.CONFIRM)
    newest = db.session.scalar(select(EmailChallenge).where(*mine).order_by(EmailChallenge.asked_at.desc()).limit(1))
    return newest if newest and newest.is_open else None


def _send_email(user: User) -> None:
    """Queue the email with link and code, the code of the one before if that can still be typed.

    No email, no code: else it could be guessed without end.
    """
    user.confirmation_sent_at = clock.now()
    budget = budgets.budget_for(user.email)
    if not budget:
        return
    challenge = _challenge(user)
    if not challenge:
        challenge = EmailChallenge(
            purpose=TokenPurpose.CONFIRM, email=user.email, user=user, state=user.state(TokenPurpose.CONFIRM)
        )
        db.session.add(challenge)
        db.session.flush()
    challenge.asked_at = clock.now()
    outbox.enqueue("confirm", user, claims={"challenge": challenge.id}, budget=budget)

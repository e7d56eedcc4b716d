"""Registration: creating an account, and confirming its email address by a link, a code or an administrator."""

import logging
import math
import secrets
from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import Any

from sqlalchemy import Column, ColumnElement, and_, case, func, insert, inspect, literal, or_, select, true, update
from sqlalchemy.exc import IntegrityError

from app import clock, signals
from app.database import is_duplicate, violated_constraint
from app.email import budgets, outbox
from app.email.templates import Email
from app.extensions import db, rows_changed
from app.models import AuditAction, AuditEvent, EmailChallenge, OutboxEmail, User
from app.models.logins import ascii_email, email_key
from app.models.logins import normal_email as normal_email  # part of this service's interface
from app.models.user import is_free
from app.security import audit, rate_limits
from app.security.token_purposes import TokenPurpose
from app.security.tokens import Token

RESEND_INTERVAL = timedelta(seconds=60)  # also after the first email
MAX_RESENDS, RESEND_WINDOW = 5, timedelta(hours=6)

MAX_CORRECTIONS, CORRECTION_WINDOW = 5, timedelta(hours=1)

USERS = User.metadata.tables["users"]

log = logging.getLogger(__name__)


class Taken(Exception):
    """Another account has the email address or the username, or may get the address back."""


class ConstraintViolated(Exception):
    """The new row violates a constraint of `users` that is not about the email address or the username."""


@dataclass(frozen=True)
class NewAccount:
    """What an account is created from, whichever page, provider or command asks for it."""

    email: str
    username: str
    password: str | None = field(default=None, repr=False)
    confirmed: bool = False
    invited: bool = False  # an administrator creates it: without a password, the email asks the user to choose one
    profile: dict[str, Any] = field(default_factory=dict)  # columns that an application adds to User, see below


def profile_columns() -> dict[str, Column[Any]]:
    """Return the columns of User that a profile can have, by attribute: all that NewAccount does not name itself."""
    own = {field.name for field in fields(NewAccount)}
    return {name: column for name, column in inspect(User).columns.items() if name not in own}


def create(new: NewAccount) -> User:
    """Create an account, and enqueue the email that confirms its address or asks for its first password.

    Raises:
        Taken: another account has the address or the username.
        ConstraintViolated: the row violates another constraint, such as an application's own.
        rate_limits.Exceeded: too many accounts were created from this network.
    """
    user = User.find(new.email) if _insert(new) else None
    if user is None:
        raise Taken
    audit.record(user, AuditAction.REGISTERED)
    if new.confirmed:
        signals.send_after_commit(db.session(), signals.user_confirmed, user=user)
    if new.invited and new.password is None:
        outbox.enqueue(Email.FIRST_PASSWORD, user)
    elif not new.confirmed:
        _send_email(user)
    return user


def create_concealed(new: NewAccount) -> None:
    """Create an account, or notify the owner of the address, with the same work and no answer.

    Raises what create() raises; Taken only for the username.
    """
    _insert(new, is_concealed=True)
    user = User.find(new.email)
    budget = budgets.budget_for(new.email)
    is_new = user is not None and user.username == new.username
    audit.record(user, AuditAction.REGISTERED if is_new else AuditAction.REGISTERED_AGAIN)
    if not budget:
        return
    if user and is_new:
        outbox.enqueue(Email.CONFIRM, user, budget=budget)
    else:
        outbox.enqueue(Email.ACCOUNT_EXISTS, user, to=user.email if user else new.email, budget=budget)


def is_taken(email: str, user: User | None = None) -> bool:
    """Say whether an account other than `user` has this address, or may get it back."""
    return not db.session.scalar(select(and_(*is_free(email_key(email), user.id if user else None))))


def confirm(token: Token) -> bool:
    """Confirm the email address that the token was issued for; return False if another request was faster."""
    if not token.consume(confirmed=True):
        return False
    audit.record(token.user, AuditAction.CONFIRMED, old=False, new=True)
    return True


def confirm_by_code(user: User, code: str) -> bool:
    """Confirm the email address by the code of the newest email; return False if the code is wrong."""
    challenge = EmailChallenge.newest(TokenPurpose.CONFIRM, user)
    if not challenge or not challenge.use(code) or not user.consume(TokenPurpose.CONFIRM, confirmed=True):
        audit.note_attempt(audit.Attempt.CODE_FAILED)
        return False
    audit.record(user, AuditAction.CONFIRMED, old=False, new=True)
    return True


def confirm_manually(user: User) -> None:
    """Confirm the email address without proof, for an administrator."""
    audit.record(user, AuditAction.CONFIRMED, old=user.confirmed, new=True)
    user.confirmed = True


def correct(user: User, email: str) -> bool:
    """Replace an email address that was never confirmed, and send the confirmation there; return False if it is taken.

    Raises:
        ValueError: a limit is reached; its message is for the user.
    """
    recent = (
        AuditEvent.user_id == user.id,
        AuditEvent.action == AuditAction.EMAIL_CORRECTED,
        AuditEvent.at > clock.now() - CORRECTION_WINDOW,
    )
    if (db.session.scalar(select(func.count()).where(*recent)) or 0) >= MAX_CORRECTIONS:
        raise ValueError("You have changed it often. Wait an hour, then try again.")
    if not budgets.budget_for(email):
        raise ValueError("Many emails went there lately. Wait an hour, then try again.")
    old = user.email
    if not user.take_email(TokenPurpose.CONFIRM, email):
        return False
    audit.record(user, AuditAction.EMAIL_CORRECTED, old=old, new=email)
    _send_email(user)
    return True


def send_again(user: User) -> bool:
    """Enqueue another confirmation email; return False if it is too early.

    One conditional UPDATE decides, so that two clicks send one email.
    """
    now = clock.now()
    if seconds_to_wait(user):
        return False
    earlier = or_(User.confirmation_sent_at.is_(None), User.confirmation_sent_at <= now - RESEND_INTERVAL)
    unconfirmed = update(User).where(User.id == user.id, User.confirmed.is_(False), earlier)
    if not rows_changed(unconfirmed.values(confirmation_sent_at=now)):
        return False
    audit.record(user, AuditAction.CONFIRMATION_RESENT)
    _send_email(user)
    return True


def seconds_to_wait(user: User) -> int:
    """Return the seconds until the user may ask for another confirmation email."""
    now = clock.now()
    resent = select(func.count(), func.min(AuditEvent.at)).where(
        AuditEvent.user_id == user.id,
        AuditEvent.action == AuditAction.CONFIRMATION_RESENT,
        AuditEvent.at > now - RESEND_WINDOW,
    )
    count, first = db.session.execute(resent).one()
    waits = [now] if user.confirmation_sent_at is None else [user.confirmation_sent_at + RESEND_INTERVAL]
    if count >= MAX_RESENDS:
        waits.append(first + RESEND_WINDOW)
    return max(0, math.ceil((max(waits) - now).total_seconds()))


def last_email(user: User) -> OutboxEmail | None:
    """Return the newest confirmation email to the account's present address."""
    mine = (
        OutboxEmail.user_id == user.id,
        OutboxEmail.name == Email.CONFIRM,
        OutboxEmail.recipient == ascii_email(user.email),
    )
    return db.session.scalar(select(OutboxEmail).where(*mine).order_by(OutboxEmail.id.desc()).limit(1))


def _insert(new: NewAccount, is_concealed: bool = False) -> bool:
    """Insert the account if its address is free, and say whether a row was inserted: always, if `is_concealed`.

    One statement does the same work whether or not the address is free. A concealed row whose address is not free
    gets an address that nobody can have and no password. It reserves the username, as the row of a free address would:
    otherwise a second registration with that name would tell the two cases apart.
    """
    rate_limits.hit("registration")
    values = _values(new)
    is_address_free = and_(*is_free(email_key(new.email)))
    if is_concealed:
        nobody = f"{secrets.token_hex(16)}@invalid"
        for name, value in {"email": nobody, "email_key": nobody, "password_hash": None}.items():
            values[name] = case((is_address_free, values[name]), else_=literal(value, USERS.c[name].type))
    row = select(*values.values()).where(true() if is_concealed else is_address_free)
    try:
        return rows_changed(insert(USERS).from_select(list(values), row).execution_options(preserve_rowcount=True)) == 1
    except IntegrityError as error:
        if is_duplicate(error, "users.email_key", "users.username_key"):
            raise Taken from error
        log.error("The database refused a new account: %s", violated_constraint(error))
        raise ConstraintViolated(
            violated_constraint(error)
        ) from None  # the error itself would show the row with its hash


def _values(new: NewAccount) -> dict[str, ColumnElement[Any]]:
    """Return the columns of the new row. The model validates them and derives the others; it is never added itself."""
    user = User(email=new.email, username=new.username, confirmed=new.confirmed, **new.profile)
    if new.password is not None:
        user.password = new.password
    if not new.confirmed:
        user.confirmation_sent_at = clock.now()
    given = inspect(user).dict
    columns = {name: column for name, column in inspect(User).columns.items() if name in given}
    return {column.name: literal(given[name], USERS.c[column.name].type) for name, column in columns.items()}


def _send_email(user: User) -> None:
    """Enqueue the email with link and code; it repeats the code of the last email if that can still be entered.

    A code that no email carries is not made: it could be guessed without end.
    """
    user.confirmation_sent_at = clock.now()
    budget = budgets.budget_for(user.email)
    if not budget:
        return
    earlier = EmailChallenge.newest(TokenPurpose.CONFIRM, user)
    challenge = EmailChallenge.issue(TokenPurpose.CONFIRM, user, earlier)
    outbox.enqueue(Email.CONFIRM, user, claims={"challenge": challenge.id}, budget=budget)

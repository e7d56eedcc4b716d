"""Registration: create an account, and confirm its email address by a link, a code or an administrator."""

import logging
import math
import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import Column, ColumnElement, and_, case, func, insert, inspect, literal, or_, select, true, update
from sqlalchemy.exc import IntegrityError

from app import clock, signals
from app.accounts import blocks, email_ownership
from app.database import is_duplicate, violated_constraint
from app.email import budgets, outbox
from app.email.templates import Email
from app.extensions import db, rows_changed
from app.models import AuditAction, AuditEvent, EmailChallenge, OutboxEmail, User
from app.models.email_challenge import RESEND_INTERVAL
from app.models.logins import NO_ADDRESS, ascii_email, email_key
from app.models.logins import normal_email as normal_email  # part of this service's interface
from app.models.outbox_email import Budget
from app.models.user import is_free
from app.security import audit, rate_limits
from app.security.token_purposes import TokenPurpose
from app.security.tokens import Token
from app.switches import is_on

MAX_RESENDS, RESEND_WINDOW = 5, timedelta(hours=6)
MAX_CORRECTIONS, CORRECTION_WINDOW = 5, timedelta(hours=1)

USERS = User.metadata.tables["users"]

log = logging.getLogger(__name__)


class Taken(Exception):
    """Another account has the username, or has or reserves the email address."""


class ConstraintViolated(Exception):
    """The new row violates another constraint of `users`, such as one of your own."""


@dataclass(frozen=True)
class NewAccount:
    """The values of a new account, from a page, a provider or a command."""

    email: str
    username: str
    password: str | None = field(default=None, repr=False)
    confirmed: bool = False
    invited: bool = False  # by an administrator: without a password, an email leads to a first login
    profile: dict[str, Any] = field(default_factory=dict)  # see profile_columns()


def profile_columns() -> dict[str, Column[Any]]:
    """Return the columns of User that a profile can set, by attribute: language, time zone, and your own columns."""
    ours = {*email_ownership.KEPT, *email_ownership.CLEARED_COLUMNS} - {"language", "time_zone"}
    return {name: column for name, column in inspect(User).columns.items() if name not in ours}


def create(new: NewAccount) -> User:
    """Create an account, and email a link that confirms its address or leads to the first login, if one is needed.

    Raises:
        Taken, ConstraintViolated
        rate_limits.Exceeded: too many accounts were created from this network.
        ValueError: the address is blocked.
    """
    user = User.find(new.email) if _insert(new) else None
    if user is None:
        raise Taken
    audit.record(user, AuditAction.REGISTERED)
    if new.confirmed:
        signals.send_after_commit(db.session(), signals.user_confirmed, user=user)
    if new.invited and new.password is None:
        outbox.enqueue(Email.FIRST_PASSWORD if is_on("password") else Email.FIRST_LOGIN, user)
    elif not new.confirmed and is_on("confirmation"):
        _send_email(user, budgets.budget_for(user.email))
    return user


def unsaved(new: NewAccount) -> User:
    """Return the model of a new account; raise ValueError if a value is invalid."""
    user = User(email=new.email, username=new.username, confirmed=new.confirmed, **new.profile)
    if new.password is not None:
        user.password = new.password
    if not new.confirmed:
        user.confirmation_sent_at = clock.now()
    return user


def create_concealed(new: NewAccount) -> None:
    """Create an account, or email the owner of the address instead. Both take the same work.

    Raises what create() raises, but Taken only for the username.
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
    """Return whether an account other than `user` has or reserves this email address."""
    return not db.session.scalar(select(and_(*is_free(email_key(email), user.id if user else None))))


def confirm(token: Token) -> bool:
    """Confirm the email address of the token's user; return False if another request was faster."""
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
    """Confirm the email address without a proof, on an administrator's request."""
    audit.record(user, AuditAction.CONFIRMED, old=user.confirmed, new=True)
    user.confirmed, user.email_bounced_at = True, None


def correct(user: User, email: str) -> bool:
    """Replace an unconfirmed email address and send the confirmation to the new one; return False if it is taken.

    Raises:
        ValueError: a limit is reached. The message is for the user.
    """
    count, _last = _recent(user, AuditAction.EMAIL_CORRECTED, CORRECTION_WINDOW)
    if count >= MAX_CORRECTIONS:
        raise ValueError(_("You've changed your email address too often. Try again in an hour."))
    budget = budgets.budget_for(email)
    if not budget:
        raise ValueError(_("Too many emails were sent to this address. Try again in an hour."))
    old = user.email
    if not user.take_email(TokenPurpose.CONFIRM, email):
        return False
    audit.record(user, AuditAction.EMAIL_CORRECTED, old=old, new=email)
    signals.send_after_commit(db.session(), signals.email_changed, user=user, old_email=old)
    _send_email(user, budget)
    return True


def send_again(user: User) -> bool:
    """Send another confirmation email; return False if it is too early.

    A conditional UPDATE decides, so that two clicks send one email.
    """
    now = clock.now()
    if seconds_to_wait(user):
        return False
    earlier = or_(User.confirmation_sent_at.is_(None), User.confirmation_sent_at <= now - RESEND_INTERVAL)
    unconfirmed = update(User).where(User.id == user.id, User.confirmed.is_(False), earlier)
    if not rows_changed(unconfirmed.values(confirmation_sent_at=now)):
        return False
    audit.record(user, AuditAction.CONFIRMATION_RESENT)
    _send_email(user, budgets.budget_for(user.email))
    return True


def seconds_to_wait(user: User) -> int:
    """Return the seconds until the user can request another confirmation email."""
    now = clock.now()
    count, first = _recent(user, AuditAction.CONFIRMATION_RESENT, RESEND_WINDOW)
    waits = [now] if user.confirmation_sent_at is None else [user.confirmation_sent_at + RESEND_INTERVAL]
    if count >= MAX_RESENDS:
        waits.append(first + RESEND_WINDOW)
    return max(0, math.ceil((max(waits) - now).total_seconds()))


def last_email(user: User) -> OutboxEmail | None:
    """Return the newest confirmation email to the user's present address."""
    mine = (OutboxEmail.user_id == user.id, OutboxEmail.name == Email.CONFIRM)
    same = OutboxEmail.recipient == ascii_email(user.email)
    return db.session.scalar(select(OutboxEmail).where(*mine, same).order_by(OutboxEmail.id.desc()).limit(1))


def _insert(new: NewAccount, is_concealed: bool = False) -> bool:
    """Insert the account if its address is free, and return whether a row was inserted: always, if `is_concealed`.

    One statement does the same work whether or not the address is free. A concealed row whose address is not free gets
    an invalid address and no password. It takes the username, as the row of a free address would: otherwise, a second
    registration with the same username would reveal whether the address was free.
    """
    blocks.check(new.email)
    rate_limits.hit("registration")
    values = _values(new)
    is_address_free = and_(*is_free(email_key(new.email)))
    if is_concealed:
        budgets.lock_address(email_key(new.email))  # else the slower of two finds out that the address was free
        nobody = f"{secrets.token_hex(16)}{NO_ADDRESS}"
        hidden = {"email": nobody, "email_key": nobody, "password_hash": None}
        for name, value in ((name, hidden[name]) for name in hidden.keys() & values.keys()):
            values[name] = case((is_address_free, values[name]), else_=literal(value, USERS.c[name].type))
    row = select(*values.values()).where(true() if is_concealed else is_address_free)
    try:
        return rows_changed(insert(USERS).from_select(list(values), row).execution_options(preserve_rowcount=True)) == 1
    except IntegrityError as error:
        if is_duplicate(error, "users.email_key", "users.username_key"):
            raise Taken from error
        log.error("The database refused a new account: %s", violated_constraint(error))
        raise ConstraintViolated(violated_constraint(error)) from None  # the error contains the password hash


def _values(new: NewAccount) -> dict[str, ColumnElement[Any]]:
    """Return the columns of the new row, validated and derived by a model that is never added to the session."""
    user = unsaved(new)
    given = inspect(user).dict
    columns = {name: column for name, column in inspect(User).columns.items() if name in given}
    return {column.name: literal(given[name], USERS.c[column.name].type) for name, column in columns.items()}


def _recent(user: User, action: AuditAction, window: timedelta) -> tuple[int, Any]:
    """Return the number of these events within `window`, and the time of the first one."""
    mine = (AuditEvent.user_id == user.id, AuditEvent.action == action, AuditEvent.at > clock.now() - window)
    count, first = db.session.execute(select(func.count(), func.min(AuditEvent.at)).where(*mine)).one()
    return count, first


def _send_email(user: User, budget: Budget | None) -> None:
    """Email the link and a code, the previous one while it is valid.

    No code is created if it can't be emailed: an attacker would have unlimited time to guess it.
    """
    user.confirmation_sent_at = clock.now()
    if not budget:
        return
    challenge = EmailChallenge.issue(TokenPurpose.CONFIRM, user, EmailChallenge.newest(TokenPurpose.CONFIRM, user))
    outbox.enqueue(Email.CONFIRM, user, claims={"challenge": challenge.id}, budget=budget)

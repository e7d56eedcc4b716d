"""How many emails one address gets, whoever asks for them."""

from datetime import datetime, timedelta

from flask import has_request_context
from sqlalchemy import ColumnElement, case, func, select, update

from app import clock
from app.extensions import db
from app.models import Device, OutboxEmail
from app.models.logins import email_key
from app.models.outbox_email import Budget
from app.security import audit, rate_limits

HOURLY, DAILY = 10, 30  # emails that strangers can have sent to one address
DEVICE_HOURLY, DEVICE_DAILY = 3, 10  # and a device that the account recognises, when those are used up
RESET_EVERY = timedelta(minutes=55)  # a reset goes when the hour's are used up: the one before works until then


def budget_for(email: str, lets_in: bool = False, is_reset: bool = False) -> Budget | None:
    """Return the budget that an email which anybody can ask for comes out of; None if it is not to be sent.

    An address has so many an hour and a day, of all kinds together; one without an account, too. No stranger who uses
    them up keeps the owner from resetting: within the hour a reset goes every RESET_EVERY, to an account also when the
    other addresses of its mailbox used up theirs; the last email of a day is a reset, whose link works until there are
    others; and a device that the account recognises has some more of what `lets_in`: resets and magic links. Raises
    rate_limits.Exceeded as rate_limits.hit() does.
    """
    rate_limits.hit("email")
    now, key = clock.now(), email_key(email)
    _one_at_a_time(key)
    hour, day = now - timedelta(hours=1), now - timedelta(days=1)
    resets = {Budget.RESET, Budget.LAST, Budget.OWNER}
    ordinary = resets | {Budget.ASKED}
    counted = select(
        _count(ordinary, hour),
        _count(ordinary, day),
        _count({Budget.DEVICE}, hour),
        _count({Budget.DEVICE}, day),
        func.max(case((OutboxEmail.budget.in_(resets), OutboxEmail.created_at))),
    ).where(OutboxEmail.recipient_key == key, OutboxEmail.created_at > day)
    hourly, daily, device_hourly, device_daily, last_reset = db.session.execute(counted).one()
    is_repeat = is_reset and (not last_reset or last_reset <= now - RESET_EVERY)
    if (hourly < HOURLY or is_repeat) and daily < DAILY - (0 if is_reset else 1):
        if daily == DAILY - 1:
            return Budget.LAST
        if rate_limits.allows("mailbox", mailbox(email)):
            return Budget.RESET if is_reset else Budget.ASKED
        if is_repeat:
            return Budget.OWNER
    has_more = lets_in and device_hourly < DEVICE_HOURLY and device_daily < DEVICE_DAILY
    return Budget.DEVICE if has_more and _is_recognised(key) else None


def _count(budgets: set[Budget], since: datetime) -> ColumnElement[int]:
    return func.count(case((OutboxEmail.budget.in_(budgets) & (OutboxEmail.created_at > since), 1)))


def _one_at_a_time(key: str) -> None:
    if db.engine.dialect.name == "postgresql":
        db.session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(key, 0))))
    else:  # whatever is written, SQLite lets nobody else write until the end; reading alone takes no lock
        db.session.execute(update(OutboxEmail).where(OutboxEmail.id == 0).values(attempts=0))


def mailbox(email: str) -> str:
    """Return the one form of the addresses that usually share a mailbox: with a tag behind a plus, or with dots.

    It is for counting alone: two such addresses may belong to two people, and are two accounts.
    """
    local, _, domain = email_key(email).rpartition("@")
    return f"{local.partition('+')[0].replace('.', '') or local}@{domain.replace('googlemail.com', 'gmail.com')}"


def _is_recognised(key: str) -> bool:
    """Say whether the present request comes from a device that the account with this address was logged in from."""
    device = audit.device() if has_request_context() else ""
    return bool(device) and Device.is_known(device, key)

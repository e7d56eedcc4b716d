"""Limit how many emails an address gets, no matter how many people request them."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import has_request_context
from sqlalchemy import ColumnElement, case, func, select, update

from app import clock
from app.extensions import db
from app.models import Device, OutboxEmail
from app.models.logins import email_key, mailbox
from app.models.outbox_email import Budget
from app.security import origin, rate_limits

MAX_HOURLY, MAX_DAILY = 10, 30  # emails that anyone can request for one address
MAX_HOURLY_OF_DEVICES, MAX_DAILY_OF_DEVICES = 3, 10  # emails that recognised devices can request after that
RESET_INTERVAL = timedelta(minutes=55)  # between resets above MAX_HOURLY; a reset link works for 60 minutes

RESETS = {Budget.RESET, Budget.LAST, Budget.OWNER}


@dataclass(frozen=True)
class Sent:
    """The numbers of emails requested for an address within an hour and a day, and the time of the last reset."""

    hourly: int
    daily: int
    devices_hourly: int
    devices_daily: int
    last_reset: datetime | None


def budget_for(email: str, gives_access: bool = False, is_reset: bool = False) -> Budget | None:
    """Return the budget for a requested email, or None if it must not be sent. Raises rate_limits.Exceeded.

    All kinds of emails share the budgets, also for addresses without an account. An attacker who exhausts them cannot
    keep the user from a reset:

    - Above the hourly budget, a reset is sent every RESET_INTERVAL. An account gets it even if other addresses of the
      same mailbox have exhausted the mailbox's rate limit.
    - The last email of a day is a reset whose link works until more emails can be sent.
    - A device that the account recognises has a further budget for emails that give access.

    Args:
        gives_access: the email has a reset link or a magic link.
    """
    rate_limits.hit("email")
    key = email_key(email)
    lock_address(key)
    sent = _sent(key)
    is_due = is_reset and (not sent.last_reset or sent.last_reset <= clock.now() - RESET_INTERVAL)
    if (sent.hourly < MAX_HOURLY or is_due) and sent.daily < MAX_DAILY - (0 if is_reset else 1):
        if sent.daily == MAX_DAILY - 1:
            return Budget.LAST
        if rate_limits.allows("mailbox", mailbox(email)):
            return Budget.RESET if is_reset else Budget.ASKED
        if is_due:
            return Budget.OWNER
    has_more = sent.devices_hourly < MAX_HOURLY_OF_DEVICES and sent.devices_daily < MAX_DAILY_OF_DEVICES
    return Budget.DEVICE if gives_access and has_more and _is_recognised(key) else None


def lock_address(key: str) -> None:
    """Make other requests for the address with this email_key() wait for the end of this transaction."""
    if db.engine.dialect.name == "postgresql":
        db.session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(key, 0))))
    else:  # SQLite has one lock, which a write takes even if it changes no row
        db.session.execute(update(OutboxEmail).where(OutboxEmail.id == 0).values(attempts=0))


def used_up_until(email: str) -> datetime | None:
    """Return until when some requests send no email to this address; None while its budgets suffice."""
    same, ends = (OutboxEmail.recipient_key == email_key(email), OutboxEmail.budget.in_(RESETS | {Budget.ASKED})), []
    for window, most in ((timedelta(hours=1), MAX_HOURLY), (timedelta(days=1), MAX_DAILY - 1)):
        newest = select(OutboxEmail.created_at).where(*same, OutboxEmail.created_at > clock.now() - window)
        oldest = db.session.scalar(newest.order_by(OutboxEmail.created_at.desc()).offset(most - 1).limit(1))
        ends += [oldest + window] if oldest else []
    return max(ends, default=None)


def _sent(key: str) -> Sent:
    hour, day = clock.now() - timedelta(hours=1), clock.now() - timedelta(days=1)
    counts = select(
        _count(RESETS | {Budget.ASKED}, hour),
        _count(RESETS | {Budget.ASKED}, day),
        _count({Budget.DEVICE}, hour),
        _count({Budget.DEVICE}, day),
        func.max(case((OutboxEmail.budget.in_(RESETS), OutboxEmail.created_at))),
    ).where(OutboxEmail.recipient_key == key, OutboxEmail.created_at > day)
    return Sent(*db.session.execute(counts).one())


def _count(budgets: set[Budget], since: datetime) -> ColumnElement[int]:
    return func.count(case((OutboxEmail.budget.in_(budgets) & (OutboxEmail.created_at > since), 1)))


def _is_recognised(key: str) -> bool:
    """Return whether the account with this address recognises the device of this request."""
    device = origin.device_cookie() if has_request_context() else ""
    return bool(device) and Device.is_known(device, key)

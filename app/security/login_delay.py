"""A delay that grows with each wrong password for one name, whichever networks the guesses come from.

Ten wrong passwords cost nothing; then the next is looked at after 1 second, 2, 4, and so on up to an hour. The row is
written before the password is looked at, so that of many guesses at once one passes. Names without an account get the
same rows. A recognized device, an emailed link, a passkey and a provider are not delayed: rate_limits.py asks here only
for passwords from devices that the account does not know.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Row, bindparam, delete, select, text, update
from sqlalchemy.exc import SQLAlchemyError

from app import clock
from app.database import UtcDateTime
from app.extensions import counting_connection
from app.models import LoginDelay

FREE = 10  # wrong passwords before the first delay
LONGEST = 3600  # seconds
FORGET_AFTER = timedelta(days=1)  # without a wrong password
WARN_EVERY = timedelta(days=1)

# The same words for SQLite and PostgreSQL. While the name is blocked, nothing is returned.
CLAIM = text("""
    INSERT INTO login_delays (id, failures, blocked_until, warned_until, expires_at)
    VALUES (:id, 1, 0, 0, :expires_at)
    ON CONFLICT (id) DO UPDATE SET
        failures = CASE WHEN login_delays.expires_at > :now THEN login_delays.failures ELSE 0 END + 1,
        blocked_until = CASE
            WHEN login_delays.expires_at <= :now OR login_delays.failures < :free - 1 THEN 0
            WHEN login_delays.failures >= :free + 11 THEN :ms + :longest * 1000
            ELSE :ms + 1000 * (1 << (login_delays.failures - :free + 1)) END,
        expires_at = excluded.expires_at
    WHERE login_delays.blocked_until <= :ms
    RETURNING failures, blocked_until
""").bindparams(
    bindparam("now", type_=UtcDateTime()), bindparam("expires_at", type_=UtcDateTime()), free=FREE, longest=LONGEST
)


class Claim(NamedTuple):
    """One attempt at a name, counted as wrong until it is taken back."""

    name: str
    failures: int
    blocked_until: int

    @property
    def delays_the_next(self) -> bool:
        return self.failures >= FREE


class Blocked(Exception):
    """No password of this name is looked at for some seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


def claim(name: str) -> Claim | None:
    """Count an attempt at this hashed name before its password is looked at.

    Return None if the counters can't be reached: the other limits hold then. Raises Blocked.
    """
    now = clock.now()
    values = {"id": name, "now": now, "ms": _ms(now), "expires_at": now + FORGET_AFTER}
    with suppress(SQLAlchemyError), counting_connection() as connection:
        if row := connection.execute(CLAIM, values).one_or_none():
            return Claim(name, row.failures, row.blocked_until)
        until = connection.scalar(select(LoginDelay.blocked_until).where(LoginDelay.id == name))
        raise Blocked(max(0, (until or 0) - _ms(now)) / 1000)
    return None


def take_back(claim: Claim) -> None:
    """Undo a claim: no wrong password was given."""
    mine = LoginDelay.id == claim.name
    with suppress(SQLAlchemyError), counting_connection() as connection:
        if connection.execute(delete(LoginDelay).where(mine, LoginDelay.failures <= 1)).rowcount:
            return
        connection.execute(update(LoginDelay).where(mine).values(failures=LoginDelay.failures - 1))
        unchanged = LoginDelay.blocked_until == claim.blocked_until  # by an attempt that came later
        connection.execute(update(LoginDelay).where(mine, unchanged).values(blocked_until=0))


def is_warning_due(claim: Claim) -> bool:
    """Say whether the owner is to be told of the delay: once a day, and the same work for a name without an account."""
    if not claim.delays_the_next:
        return False
    now = clock.now()
    due = update(LoginDelay).where(LoginDelay.id == claim.name, LoginDelay.warned_until <= _ms(now))
    with suppress(SQLAlchemyError), counting_connection() as connection:
        return connection.execute(due.values(warned_until=_ms(now + WARN_EVERY))).rowcount == 1
    return False


def kept() -> Sequence[Row[str, int, int]]:
    """Return what is kept now: hashed names, how often each was guessed at, and until when it is blocked."""
    rows = select(LoginDelay.id, LoginDelay.failures, LoginDelay.blocked_until)
    with counting_connection() as connection:
        return connection.execute(rows.where(LoginDelay.expires_at > clock.now()).order_by(LoginDelay.id)).all()


def forget(name: str) -> None:
    """Delete what is kept about this hashed name."""
    with counting_connection() as connection:
        connection.execute(delete(LoginDelay).where(LoginDelay.id == name))


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)

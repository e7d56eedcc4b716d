"""A delay that grows with each wrong password for one name, whichever networks the attempts come from.

The first ten wrong passwords cause no delay. After that each attempt has to wait for 1, 2, 4 ... seconds, up to an
hour. An attempt is counted before its password is checked, so that only one of many concurrent attempts passes. Names
without an account get the same rows. Devices that the account knows, emailed links, passkeys and providers are not
delayed: app/security/rate_limits calls this module only for passwords from other devices.
"""

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Row, bindparam, delete, select, text, update
from sqlalchemy.exc import SQLAlchemyError

from app import clock
from app.connections import counting_connection
from app.database import UtcDateTime
from app.models import LoginDelay

FREE_ATTEMPTS = 10  # wrong passwords before the first delay
MAX_DELAY = 3600  # seconds
FORGET_AFTER = timedelta(days=1)  # without a wrong password
NOTIFY_EVERY = timedelta(days=1)

# Written for both SQLite and PostgreSQL. While the name is delayed, the statement returns no row.
START = text("""
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
    bindparam("now", type_=UtcDateTime()),
    bindparam("expires_at", type_=UtcDateTime()),
    free=FREE_ATTEMPTS,
    longest=MAX_DELAY,
)


class Attempt(NamedTuple):
    """One password attempt, which counts as wrong until undo()."""

    name: str
    failures: int
    blocked_until: int

    @property
    def delays_the_next(self) -> bool:
        return self.failures >= FREE_ATTEMPTS


@dataclass(eq=False)
class Delayed(Exception):
    """No password is checked for this name until the delay is over."""

    seconds: float


def start_attempt(name: str) -> Attempt | None:
    """Count an attempt for this hashed name before its password is checked. Raises Delayed.

    Return None if the counters can't be reached; the other rate limits still apply.
    """
    now = clock.now()
    values = {"id": name, "now": now, "ms": _ms(now), "expires_at": now + FORGET_AFTER}
    with suppress(SQLAlchemyError), counting_connection() as connection:
        if row := connection.execute(START, values).one_or_none():
            return Attempt(name, row.failures, row.blocked_until)
        until = connection.scalar(select(LoginDelay.blocked_until).where(LoginDelay.id == name))
        raise Delayed(max(0, (until or 0) - _ms(now)) / 1000)
    return None


def undo(attempt: Attempt) -> None:
    """Undo an attempt whose password was right or was not checked."""
    same_name = LoginDelay.id == attempt.name
    with suppress(SQLAlchemyError), counting_connection() as connection:
        if connection.execute(delete(LoginDelay).where(same_name, LoginDelay.failures <= 1)).rowcount:
            return
        connection.execute(update(LoginDelay).where(same_name).values(failures=LoginDelay.failures - 1))
        is_latest = LoginDelay.blocked_until == attempt.blocked_until  # a later attempt keeps its delay
        connection.execute(update(LoginDelay).where(same_name, is_latest).values(blocked_until=0))


def is_notice_due(attempt: Attempt) -> bool:
    """Return whether to notify the owner of the delay: once a day. Names without an account take the same time."""
    if not attempt.delays_the_next:
        return False
    now = clock.now()
    due = update(LoginDelay).where(LoginDelay.id == attempt.name, LoginDelay.warned_until <= _ms(now))
    with suppress(SQLAlchemyError), counting_connection() as connection:
        return connection.execute(due.values(warned_until=_ms(now + NOTIFY_EVERY))).rowcount == 1
    return False


def entries(names: Collection[str] | None = None) -> Sequence[Row[str, int, int]]:
    """Return the unexpired rows: hashed name, number of failures, end of the delay in milliseconds.

    Args:
        names: hashed; only theirs.
    """
    rows = select(LoginDelay.id, LoginDelay.failures, LoginDelay.blocked_until)
    if names is not None:
        rows = rows.where(LoginDelay.id.in_(names))
    with counting_connection() as connection:
        return connection.execute(rows.where(LoginDelay.expires_at > clock.now()).order_by(LoginDelay.id)).all()


def clear(name: str) -> None:
    with counting_connection() as connection:
        connection.execute(delete(LoginDelay).where(LoginDelay.id == name))


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)

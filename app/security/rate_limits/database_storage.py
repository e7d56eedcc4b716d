"""The counters of rate limits in the database.

Each statement is a transaction of its own on a separate connection, which waits for at most half a second.
"""

import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import CursorResult, Executable, bindparam, delete, or_, select, text
from sqlalchemy.exc import SQLAlchemyError

from app import clock
from app.connections import counting_connection
from app.database import UtcDateTime
from app.models import LoginDelay, RateLimitCounter

SWEEP_EVERY, MAX_SWEPT = 60, 1000  # seconds, and rows of a table: so many take a few milliseconds
MAX_READ = 10_000  # rows of a statement, for which there is half a second

# Both statements are written for SQLite and PostgreSQL.
ADD = """
    INSERT INTO rate_limit_counters AS counters (id, count, expires_at) VALUES {rows}
    ON CONFLICT (id) DO UPDATE SET
        count = CASE WHEN counters.expires_at > :now THEN counters.count ELSE 0 END + excluded.count,
        expires_at = CASE WHEN counters.expires_at > :now THEN counters.expires_at ELSE excluded.expires_at END
    RETURNING id, count
"""

UNDO = """
    INSERT INTO rate_limit_counters AS counters (id, count, expires_at) VALUES {rows}
    ON CONFLICT (id) DO UPDATE SET count = CASE WHEN counters.count > 0 THEN counters.count - 1 ELSE 0 END
"""


class DatabaseStorage:
    """Fixed-window counters in the table rate_limit_counters, with the methods of the storages of `limits`."""

    base_exceptions = SQLAlchemyError

    def __init__(self) -> None:
        self._next_sweep = 0.0
        self._sweeping = threading.Lock()

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Add to a counter that expires `expiry` seconds after its first increment, and return the sum."""
        return self.add({key: expiry}, amount)[key]

    def add(self, expiries: dict[str, int], amount: int = 1) -> dict[str, int]:
        """Add to several counters in one statement and return them."""
        now, rows = clock.now(), []
        values: dict[str, Any] = {"amount": amount}
        times = {"now": now}
        for number, key in enumerate(sorted(expiries)):  # in a fixed order, so that statements can't deadlock
            rows.append(f"(:key{number}, :amount, :until{number})")
            values[f"key{number}"], times[f"until{number}"] = key, now + timedelta(seconds=expiries[key])
        typed = [bindparam(name, type_=UtcDateTime()) for name in times]
        statement = text(ADD.format(rows=", ".join(rows))).bindparams(*typed)
        with counting_connection() as connection:
            counts = {row.id: int(row[1]) for row in connection.execute(statement, values | times)}
        self._sweep()
        return counts

    def undo(self, keys: Sequence[str]) -> None:
        """Subtract one from each counter in one statement, which locks rows in the order of add()."""
        rows = ", ".join(f"(:key{number}, 0, :now)" for number in range(len(keys)))
        values = {f"key{number}": key for number, key in enumerate(sorted(keys))}
        statement = text(UNDO.format(rows=rows)).bindparams(bindparam("now", type_=UtcDateTime()))
        with counting_connection() as connection:
            connection.execute(statement, values | {"now": clock.now()})

    def get(self, key: str) -> int:
        alive = (RateLimitCounter.id == key, RateLimitCounter.expires_at > clock.now())
        return self._scalar(select(RateLimitCounter.count).where(*alive)) or 0

    def get_expiry(self, key: str) -> float:
        until: datetime | None = self._scalar(select(RateLimitCounter.expires_at).where(RateLimitCounter.id == key))
        return (until or clock.now()).astimezone(UTC).timestamp()

    def check(self) -> bool:
        """Return whether the counters can be reached."""
        try:
            self._scalar(select(RateLimitCounter.id).limit(1))
        except SQLAlchemyError:
            return False
        return True

    def reset(self) -> int | None:
        return self._execute(delete(RateLimitCounter)).rowcount

    def clear(self, key: str) -> None:
        self._execute(delete(RateLimitCounter).where(RateLimitCounter.id == key))

    def keys(self) -> Iterator[str]:
        """Yield the keys of all counters that have not expired, however many there are."""
        columns = (RateLimitCounter.id, RateLimitCounter.count, RateLimitCounter.expires_at)
        rows, now, last = select(*columns).order_by(RateLimitCounter.id).limit(MAX_READ), clock.now(), ""
        while True:
            with counting_connection() as connection:
                found = connection.execute(rows.where(RateLimitCounter.id > last)).all()
            yield from (key for key, count, expires_at in found if count > 0 and expires_at > now)
            if len(found) < MAX_READ:
                return
            last = found[-1].id

    def keys_of(self, keys: Collection[str], hashes: Collection[str]) -> Sequence[str]:
        """Return those of these keys that have counters, and the keys that begin with these hashed names.

        The index finds them. Hashes are hexadecimal, so every collation of PostgreSQL has the same order.
        """
        ranges = [(f"LIMITER/{first}", f"LIMITER/{int(first, 16) + 1:0{len(first)}x}") for first in hashes]
        wanted = or_(RateLimitCounter.id.in_(keys), *(RateLimitCounter.id.between(*each) for each in ranges))
        alive = (RateLimitCounter.expires_at > clock.now(), RateLimitCounter.count > 0)
        with counting_connection() as connection:
            found = select(RateLimitCounter.id).where(wanted, *alive).order_by(RateLimitCounter.id)
            return connection.scalars(found).all()

    def _sweep(self) -> None:
        """Delete expired rows once a minute, or at once while there are more: strangers can create any number of them.

        An error waits for the next minute, because the counting has already succeeded.
        """
        with self._sweeping:
            if time.monotonic() < self._next_sweep:
                return
            self._next_sweep = time.monotonic() + SWEEP_EVERY
        for model in (RateLimitCounter, LoginDelay):
            expired = select(model.id).where(model.expires_at <= clock.now()).order_by(model.expires_at)
            # A locked row is skipped, because another process deletes it or counts with it.
            some = expired.limit(MAX_SWEPT).with_for_update(skip_locked=True)
            with suppress(SQLAlchemyError):
                if self._execute(delete(model).where(model.id.in_(some))).rowcount == MAX_SWEPT:
                    self._next_sweep = 0.0

    def _scalar(self, statement: Executable) -> Any:
        with counting_connection() as connection:
            return connection.execute(statement).scalar()

    def _execute(self, statement: Executable) -> "CursorResult[Any]":
        with counting_connection() as connection:
            return connection.execute(statement)

"""The counts behind the limits, in the application's own database, so that all its processes share them.

A storage as the `limits` library documents it. Counting and looking are one statement and one transaction of their own,
on a connection of their own, which waits for half a second at most: Flask-Limiter counts in memory then.
"""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from limits.storage import Storage
from sqlalchemy import CursorResult, Executable, bindparam, delete, select, text, update
from sqlalchemy.exc import SQLAlchemyError

from app import clock
from app.database import UtcDateTime
from app.extensions import db
from app.models import Count

SWEEP_EVERY = 60  # seconds

# The same words for SQLite and PostgreSQL.
ADD = text("""
    INSERT INTO counts (id, count, expires_at) VALUES (:key, :amount, :until)
    ON CONFLICT (id) DO UPDATE SET
        count = CASE WHEN counts.expires_at > :now THEN counts.count ELSE 0 END + excluded.count,
        expires_at = CASE WHEN counts.expires_at > :now THEN counts.expires_at ELSE excluded.expires_at END
    RETURNING count
""").bindparams(bindparam("until", type_=UtcDateTime()), bindparam("now", type_=UtcDateTime()))


class Database(Storage):
    """Flask-Limiter finds it by its scheme."""

    STORAGE_SCHEME = ["database"]

    def __init__(self, uri: str | None = None, wrap_exceptions: bool = False, **_: Any) -> None:
        super().__init__(uri, wrap_exceptions)
        self._next_sweep = 0.0
        self._sweeping = threading.Lock()

    @property
    def base_exceptions(self) -> type[Exception]:
        return SQLAlchemyError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Add to a count and return it; a negative amount takes back. It lasts for `expiry` seconds from its first."""
        if amount < 0:
            return self._take_back(key, -amount)
        self._sweep()
        now = clock.now()
        values = {"key": key, "amount": amount, "now": now, "until": now + timedelta(seconds=expiry)}
        with db.engines["counts"].connect() as connection:
            return int(connection.execute(ADD, values).scalar_one())

    def get(self, key: str) -> int:
        return self._one(select(Count.count).where(Count.id == key, Count.expires_at > clock.now())) or 0

    def get_expiry(self, key: str) -> float:
        until: datetime | None = self._one(select(Count.expires_at).where(Count.id == key))
        return (until or clock.now()).astimezone(UTC).timestamp()

    def check(self) -> bool:
        try:
            self._one(select(Count.id).limit(1))
        except SQLAlchemyError:
            return False
        return True

    def reset(self) -> int | None:
        return self._execute(delete(Count)).rowcount

    def clear(self, key: str) -> None:
        self._execute(delete(Count).where(Count.id == key))

    def keys(self) -> Iterator[str]:
        """Yield what is counted now."""
        with db.engines["counts"].connect() as connection:
            yield from connection.scalars(select(Count.id).where(Count.expires_at > clock.now()).order_by(Count.id))

    def _take_back(self, key: str, amount: int) -> int:
        """What comes to nothing goes, so that a success leaves nothing behind."""
        if not self._execute(delete(Count).where(Count.id == key, Count.count <= amount)).rowcount:
            self._execute(update(Count).where(Count.id == key).values(count=Count.count - amount))
        return 0

    def _sweep(self) -> None:
        """Once a minute, delete what has expired: strangers choose how many there are."""
        with self._sweeping:
            is_due = time.monotonic() >= self._next_sweep
            if is_due:
                self._next_sweep = time.monotonic() + SWEEP_EVERY
        if is_due:
            self._execute(delete(Count).where(Count.expires_at <= clock.now()))

    def _one(self, statement: Executable) -> Any:
        with db.engines["counts"].connect() as connection:
            return connection.execute(statement).scalar()

    def _execute(self, statement: Executable) -> "CursorResult[Any]":
        with db.engines["counts"].connect() as connection:
            return connection.execute(statement)

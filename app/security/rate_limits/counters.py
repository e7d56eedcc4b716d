"""The counters that all processes share, in the database or in Redis. Each process counts alone while that is down.

In the database, each statement is a transaction of its own on a separate connection, which waits for at most half a
second.
"""

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, cast

from flask import Flask, current_app
from limits import RateLimitItem, RateLimitItemPerHour
from limits.storage import MemoryStorage, RedisStorage, Storage
from sqlalchemy import CursorResult, Executable, bindparam, delete, select, text
from sqlalchemy.exc import SQLAlchemyError

from app import clock
from app.connections import counting_connection
from app.database import UtcDateTime
from app.models import LoginDelay, RateLimitCounter

SWEEP_EVERY = 60  # seconds

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
RETRY_EVERY = 5  # seconds between two attempts to reach a storage that is down
WARN_EVERY = 60  # seconds between two warnings in the log

log = logging.getLogger(__name__)


class DatabaseStorage(Storage):
    """Fixed-window counters in the table rate_limit_counters."""

    STORAGE_SCHEME = ["database"]

    def __init__(self, uri: str | None = None, wrap_exceptions: bool = False, **_: Any) -> None:
        super().__init__(uri, wrap_exceptions)
        self._next_sweep = 0.0
        self._sweeping = threading.Lock()

    @property
    def base_exceptions(self) -> type[Exception]:
        return SQLAlchemyError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Add to a counter that expires `expiry` seconds after its first increment, and return the sum."""
        return self.add({key: expiry}, amount)[key]

    def add(self, expiries: dict[str, int], amount: int = 1) -> dict[str, int]:
        """Add to several counters in one statement and return them."""
        self._sweep()
        now, rows = clock.now(), []
        values: dict[str, Any] = {"amount": amount}
        times = {"now": now}
        for number, key in enumerate(sorted(expiries)):  # in a fixed order, so that statements can't deadlock
            rows.append(f"(:key{number}, :amount, :until{number})")
            values[f"key{number}"], times[f"until{number}"] = key, now + timedelta(seconds=expiries[key])
        typed = [bindparam(name, type_=UtcDateTime()) for name in times]
        statement = text(ADD.format(rows=", ".join(rows))).bindparams(*typed)
        with counting_connection() as connection:
            return {row.id: int(row[1]) for row in connection.execute(statement, values | times)}

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
        """Yield the keys of all counters that have not expired."""
        alive = (RateLimitCounter.expires_at > clock.now(), RateLimitCounter.count > 0)
        with counting_connection() as connection:
            yield from connection.scalars(select(RateLimitCounter.id).where(*alive).order_by(RateLimitCounter.id))

    def _sweep(self) -> None:
        """Delete expired rows once a minute, because strangers can create any number of them."""
        with self._sweeping:
            is_due = time.monotonic() >= self._next_sweep
            if is_due:
                self._next_sweep = time.monotonic() + SWEEP_EVERY
        if is_due:
            self._execute(delete(RateLimitCounter).where(RateLimitCounter.expires_at <= clock.now()))
            self._execute(delete(LoginDelay).where(LoginDelay.expires_at <= clock.now()))

    def _scalar(self, statement: Executable) -> Any:
        with counting_connection() as connection:
            return connection.execute(statement).scalar()

    def _execute(self, statement: Executable) -> "CursorResult[Any]":
        with counting_connection() as connection:
            return connection.execute(statement)


class Counter(NamedTuple):
    """A counter of one subject for one rate of a policy."""

    policy: str
    subject: str
    rate: RateLimitItem

    @property
    def key(self) -> str:
        return self.rate.key_for(self.subject, self.policy)


class SharedCounters:
    """The storage that all processes share, with this process's memory as a fallback."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        raised = storage.base_exceptions
        self.errors: tuple[type[Exception], ...] = raised if isinstance(raised, tuple) else (raised,)
        self._memory: MemoryStorage | None = None
        self._retry_at = self._warn_at = 0.0
        self._lock = threading.RLock()

    def add(self, counters: Sequence[Counter]) -> tuple[Storage, dict[Counter, int]]:
        """Increment the counters, and return the storage that was used and the counts.

        Storages other than the database stop at the first counter that exceeds its rate.
        """
        if self._may_try():
            try:
                counts = _add(self.storage, counters)
                self._retry_at = 0.0
                return self.storage, counts
            except self.errors as error:
                self._fall_back(error)
        with self._lock:  # MemoryStorage loses some concurrent increments
            self._memory = self._memory or MemoryStorage()
            return self._memory, _add(self._memory, counters)

    def undo(self, storage: Storage, counters: Sequence[Counter]) -> None:
        """Subtract one from each counter in the storage that add() used."""
        with suppress(*self.errors):  # a counter that stays too high must not break the response
            if isinstance(storage, DatabaseStorage):
                storage.undo([counter.key for counter in counters])
                return
            for counter in counters:
                if storage.get(counter.key) > 0:  # otherwise the counter has expired
                    storage.incr(counter.key, counter.rate.get_expiry(), -1)

    def is_reached(self, counter: Counter) -> bool:
        """Return whether a counter has reached its limit; False while the storage is down."""
        if not self._retry_at:
            with suppress(*self.errors):
                return self.storage.get(counter.key) >= counter.rate.amount
        return False

    def _may_try(self) -> bool:
        """Return whether to try the shared storage. While it is down, one thread tries it every few seconds."""
        with self._lock:
            if time.monotonic() < self._retry_at:
                return False
            if self._retry_at:
                self._retry_at = time.monotonic() + RETRY_EVERY
            return True

    def _fall_back(self, error: Exception) -> None:
        with self._lock:
            now = time.monotonic()
            self._retry_at = now + RETRY_EVERY
            if now >= self._warn_at:
                self._warn_at = now + WARN_EVERY
                log.warning("The rate-limit counters can't be reached; each process counts for itself: %r", error)


def init_app(app: Flask) -> None:
    redis, options = app.config["REDIS_URL"], app.config["REDIS_OPTIONS"]
    storage = RedisStorage(redis, **options) if redis else DatabaseStorage()
    app.extensions["rate_limit_counters"] = SharedCounters(storage)


def shared_counters() -> SharedCounters:
    return cast(SharedCounters, current_app.extensions["rate_limit_counters"])


def claim(name: str) -> bool:
    """Return whether nobody claimed this name in the last hour. It also works without rate limits."""
    counter = Counter("claim", name, RateLimitItemPerHour(1))
    return shared_counters().add([counter])[1][counter] == 1


def storage_errors() -> tuple[type[Exception], ...]:
    """Return the exceptions that the storage raises when it can't be reached."""
    return shared_counters().errors


def _add(storage: Storage, counters: Sequence[Counter]) -> dict[Counter, int]:
    if isinstance(storage, DatabaseStorage):
        counts = storage.add({counter.key: counter.rate.get_expiry() for counter in counters})
        return {counter: counts[counter.key] for counter in counters}
    found = {}
    for counter in counters:
        found[counter] = storage.incr(counter.key, counter.rate.get_expiry())
        if found[counter] > counter.rate.amount:
            break  # a refused request must not fill further counters
    return found

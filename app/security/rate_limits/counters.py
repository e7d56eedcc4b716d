"""The counters that all processes share, in the database or in Redis. Each process counts alone while that is down."""

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, Union, cast

from flask import Flask, current_app
from sqlalchemy.exc import SQLAlchemyError

from app.extensions import db
from app.security.rate_limits.database_storage import DatabaseStorage

if TYPE_CHECKING:  # imported when a form is sent
    from limits import RateLimitItem
    from limits.storage import MemoryStorage, RedisStorage

Storage = Union[DatabaseStorage, "MemoryStorage", "RedisStorage"]

RETRY_EVERY = 5  # seconds between two attempts to reach a storage that is down
WARN_EVERY = 60  # seconds between two warnings in the log

log = logging.getLogger(__name__)


class Counter(NamedTuple):
    """A counter of one subject for one rate of a policy."""

    policy: str
    subject: str
    rate: "RateLimitItem"

    @property
    def key(self) -> str:
        return self.rate.key_for(self.subject, self.policy)


class SharedCounters:
    """The storage that all processes share, with this process's memory as a fallback."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        raised = storage.base_exceptions
        self.errors: tuple[type[Exception], ...] = raised if isinstance(raised, tuple) else (raised,)
        self._memory: Storage | None = None
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
            self._memory = self._memory or _in_memory()
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
    storage = _in_redis(redis, **options) if redis else DatabaseStorage()
    app.extensions["rate_limit_counters"] = SharedCounters(storage)


def shared_counters() -> SharedCounters:
    return cast(SharedCounters, current_app.extensions["rate_limit_counters"])


def claim(name: str) -> bool:
    """Return whether nobody claimed this name in the last hour. It also works without rate limits."""
    with claimed(name) as is_first:
        return is_first


@contextmanager
def claimed(name: str) -> Iterator[bool]:
    """Claim a name and yield what claim() returns. An error in the block rolls back, and gives the claim up."""
    counter = Counter("claim", name, parse("1 per hour"))
    storage, counts = shared_counters().add([counter])
    is_kept = counts[counter] == 1
    try:
        yield is_kept
    except Exception:
        with suppress(SQLAlchemyError):
            db.session.rollback()  # the transaction may hold the database's lock
        is_kept = False
        raise
    finally:
        if not is_kept:
            shared_counters().undo(storage, [counter])


def storage_errors() -> tuple[type[Exception], ...]:
    """Return the exceptions that the storage raises when it can't be reached."""
    return shared_counters().errors


@cache
def parse(rate: str) -> "RateLimitItem":
    """Return a rate in the notation of `limits`, such as "5 per 5 minutes"."""
    import limits

    return limits.parse(rate)


def _in_memory() -> Storage:
    from limits.storage import MemoryStorage

    return MemoryStorage()


def _in_redis(url: str, **options: Any) -> Storage:
    from limits.storage import RedisStorage

    return RedisStorage(url, **options)


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

"""The counters that all processes share, and each process's own while the shared storage can't be reached."""

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple, cast

from flask import Flask, current_app
from limits import RateLimitItem
from limits.storage import MemoryStorage, RedisStorage, Storage

from app.security.rate_limits.storage import DatabaseStorage

RETRY_EVERY = 5  # seconds between two attempts to reach a storage that is down
WARN_EVERY = 60  # seconds between two warnings in the log

log = logging.getLogger(__name__)


class Counter(NamedTuple):
    """How often a policy was hit by a subject, and the rate that bounds it."""

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
        """Add one to each counter, at least up to the first that exceeds its rate.

        Returns:
            The storage that was used, and the counts.
        """
        if self._may_try():
            try:
                counts = _add(self.storage, counters)
                self._retry_at = 0.0
                return self.storage, counts
            except self.errors as error:
                self._fall_back(error)
        with self._lock:  # MemoryStorage alone loses some of many concurrent increments
            self._memory = self._memory or MemoryStorage()
            return self._memory, _add(self._memory, counters)

    def undo(self, storage: Storage, counters: Sequence[Counter]) -> None:
        """Subtract one from each counter in the storage that add() used."""
        with suppress(*self.errors):  # the response is ready: a counter that stays too high must not break it
            if isinstance(storage, DatabaseStorage):
                storage.undo([counter.key for counter in counters])
                return
            for counter in counters:
                if storage.get(counter.key) > 0:  # otherwise it has expired in the meantime
                    storage.incr(counter.key, counter.rate.get_expiry(), -1)

    def is_reached(self, counter: Counter) -> bool:
        """Return whether a counter is at its limit, without counting; False while the storage is down."""
        if not self._retry_at:
            with suppress(*self.errors):
                return self.storage.get(counter.key) >= counter.rate.amount
        return False

    def _may_try(self) -> bool:
        """Return whether to use the shared storage. While it is down, one thread tries it every few seconds."""
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
    """Return the counters of the current application."""
    return cast(SharedCounters, current_app.extensions["rate_limit_counters"])


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
            break  # a request that is refused must not fill the counters of others
    return found

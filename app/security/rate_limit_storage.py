"""The counters behind the rate limits: in the application's own database or in Redis, so that all processes share them.

The database is a storage as the `limits` library documents it. Each statement is a transaction of its own on a
connection of its own, which waits for half a second at most. When the storage can't be reached, each process counts in
its own memory, and tries the storage again every few seconds.
"""

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any, NamedTuple, cast

from flask import Flask, current_app
from limits import RateLimitItem
from limits.storage import MemoryStorage, RedisStorage, Storage
from sqlalchemy import CursorResult, Executable, bindparam, delete, select, text
from sqlalchemy.exc import SQLAlchemyError

from app import clock
from app.database import UtcDateTime
from app.extensions import counting_connection
from app.models import LoginDelay, RateLimitCounter
from app.models.logins import login_key
from app.security import audit, login_delay, signing

SWEEP_EVERY = 60  # seconds
RETRY_EVERY = 5  # seconds between two attempts to reach a storage that is away
WARN_EVERY = 60  # seconds
DELAY = "login_delay"  # beside the names of the table, for administrators

# The same words for SQLite and PostgreSQL.
ADD = """
    INSERT INTO rate_limit_counters AS counters (id, count, expires_at) VALUES {rows}
    ON CONFLICT (id) DO UPDATE SET
        count = CASE WHEN counters.expires_at > :now THEN counters.count ELSE 0 END + excluded.count,
        expires_at = CASE WHEN counters.expires_at > :now THEN counters.expires_at ELSE excluded.expires_at END
    RETURNING id, count
"""

TAKE_BACK = """
    INSERT INTO rate_limit_counters AS counters (id, count, expires_at) VALUES {rows}
    ON CONFLICT (id) DO UPDATE SET count = CASE WHEN counters.count > 0 THEN counters.count - 1 ELSE 0 END
"""

log = logging.getLogger(__name__)


class Counter(NamedTuple):
    """One line of what is counted: how often `name` of the table happened for `subject`."""

    name: str
    subject: str
    rate: RateLimitItem

    @property
    def key(self) -> str:
        return self.rate.key_for(self.subject, self.name)


class Database(Storage):
    """The application's own database as a storage."""

    STORAGE_SCHEME = ["database"]

    def __init__(self, uri: str | None = None, wrap_exceptions: bool = False, **_: Any) -> None:
        super().__init__(uri, wrap_exceptions)
        self._next_sweep = 0.0
        self._sweeping = threading.Lock()

    @property
    def base_exceptions(self) -> type[Exception]:
        return SQLAlchemyError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Add to a counter and return it. It lasts for `expiry` seconds from its first."""
        return self.add({key: expiry}, amount)[key]

    def add(self, expiries: dict[str, int], amount: int = 1) -> dict[str, int]:
        """Add to several counters in one statement and return them."""
        self._sweep()
        now, rows = clock.now(), []
        values: dict[str, Any] = {"amount": amount}
        times = {"now": now}
        for number, key in enumerate(sorted(expiries)):  # one order for all, so that two statements can't deadlock
            rows.append(f"(:key{number}, :amount, :until{number})")
            values[f"key{number}"], times[f"until{number}"] = key, now + timedelta(seconds=expiries[key])
        typed = [bindparam(name, type_=UtcDateTime()) for name in times]
        statement = text(ADD.format(rows=", ".join(rows))).bindparams(*typed)
        with counting_connection() as connection:
            return {row.id: int(row[1]) for row in connection.execute(statement, values | times)}

    def take_back(self, keys: Sequence[str]) -> None:
        """Subtract one from each counter in one statement, which locks the rows in the order of add()."""
        rows = ", ".join(f"(:key{number}, 0, :now)" for number in range(len(keys)))
        values = {f"key{number}": key for number, key in enumerate(sorted(keys))}
        statement = text(TAKE_BACK.format(rows=rows)).bindparams(bindparam("now", type_=UtcDateTime()))
        with counting_connection() as connection:
            connection.execute(statement, values | {"now": clock.now()})

    def get(self, key: str) -> int:
        return (
            self._one(
                select(RateLimitCounter.count).where(
                    RateLimitCounter.id == key, RateLimitCounter.expires_at > clock.now()
                )
            )
            or 0
        )

    def get_expiry(self, key: str) -> float:
        until: datetime | None = self._one(select(RateLimitCounter.expires_at).where(RateLimitCounter.id == key))
        return (until or clock.now()).astimezone(UTC).timestamp()

    def check(self) -> bool:
        """Say whether the counters can be reached."""
        try:
            self._one(select(RateLimitCounter.id).limit(1))
        except SQLAlchemyError:
            return False
        return True

    def reset(self) -> int | None:
        return self._execute(delete(RateLimitCounter)).rowcount

    def clear(self, key: str) -> None:
        self._execute(delete(RateLimitCounter).where(RateLimitCounter.id == key))

    def keys(self) -> Iterator[str]:
        """Yield what is counted now."""
        with counting_connection() as connection:
            counted = (RateLimitCounter.expires_at > clock.now(), RateLimitCounter.count > 0)
            yield from connection.scalars(select(RateLimitCounter.id).where(*counted).order_by(RateLimitCounter.id))

    def _sweep(self) -> None:
        """Delete what has expired, once a minute: strangers choose how many counters there are."""
        with self._sweeping:
            is_due = time.monotonic() >= self._next_sweep
            if is_due:
                self._next_sweep = time.monotonic() + SWEEP_EVERY
        if is_due:
            self._execute(delete(RateLimitCounter).where(RateLimitCounter.expires_at <= clock.now()))
            self._execute(delete(LoginDelay).where(LoginDelay.expires_at <= clock.now()))

    def _one(self, statement: Executable) -> Any:
        with counting_connection() as connection:
            return connection.execute(statement).scalar()

    def _execute(self, statement: Executable) -> "CursorResult[Any]":
        with counting_connection() as connection:
            return connection.execute(statement)


class Counters:
    """The storage that all processes share, and this process's memory while that one can't be reached."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        raised = storage.base_exceptions
        self.away: tuple[type[Exception], ...] = raised if isinstance(raised, tuple) else (raised,)
        self._memory: MemoryStorage | None = None
        self._retry_at = self._warn_at = 0.0
        self._lock = threading.RLock()

    def add(self, counters: Sequence[Counter]) -> tuple[Storage, dict[Counter, int]]:
        """Add one to each counter, at least up to the first that is over its limit.

        Return the storage that did it, and the counts.
        """
        if self._is_to_be_tried():
            try:
                counts = _add(self.storage, counters)
                self._retry_at = 0.0
                return self.storage, counts
            except self.away as error:
                self._leave(error)
        with self._lock:  # the library's own memory misses some of many at once
            self._memory = self._memory or MemoryStorage()
            return self._memory, _add(self._memory, counters)

    def take_back(self, storage: Storage, counters: Sequence[Counter]) -> None:
        """Subtract one from each counter in the storage where it was added."""
        with suppress(*self.away):  # the answer is made: nobody is refused because of this
            if isinstance(storage, Database):
                storage.take_back([counter.key for counter in counters])
                return
            for counter in counters:
                if storage.get(counter.key) > 0:  # else it has expired meanwhile
                    storage.incr(counter.key, counter.rate.get_expiry(), -1)

    def is_reached(self, counter: Counter) -> bool:
        """Say whether a counter is at its limit, without counting; False while the storage is away."""
        if not self._retry_at:
            with suppress(*self.away):
                return self.storage.get(counter.key) >= counter.rate.amount
        return False

    def _is_to_be_tried(self) -> bool:
        """Say whether to use the shared storage: while it is away, one thread looks every few seconds."""
        with self._lock:
            if time.monotonic() < self._retry_at:
                return False
            if self._retry_at:
                self._retry_at = time.monotonic() + RETRY_EVERY
            return True

    def _leave(self, error: Exception) -> None:
        with self._lock:
            now = time.monotonic()
            self._retry_at = now + RETRY_EVERY
            if now >= self._warn_at:
                self._warn_at = now + WARN_EVERY
                log.warning("The counts are away, each process counts for itself: %r", error)


class Kept(NamedTuple):
    """One line of what is counted now, for administrators."""

    name: str
    subject: str
    times: int
    most: int
    expires_at: float
    key: str

    @property
    def is_full(self) -> bool:
        return self.times >= self.most and self.expires_at > clock.now().timestamp()

    def forget(self) -> None:
        if self.name == DELAY:
            login_delay.forget(self.key)
        else:
            counters().storage.clear(self.key)


def init_app(app: Flask) -> None:
    redis, options = app.config["REDIS_URL"], app.config["REDIS_OPTIONS"]
    app.extensions["counters"] = Counters(RedisStorage(redis, **options) if redis else Database())


def counters() -> Counters:
    """Return the counters of the current application."""
    return cast(Counters, current_app.extensions["counters"])


def kept() -> Iterator[Kept]:
    """Yield what is counted now, by all processes. Raises one of away() if that is out of reach."""
    if not current_app.config["RATELIMIT_ENABLED"]:
        return
    storage = counters().storage
    for key in _keys(storage):
        subject, name, most, *_ = key.partition("/")[2].rsplit("/", 4)
        yield Kept(name, subject, storage.get(key), int(most), storage.get_expiry(key), key)
    for delay in login_delay.kept():
        yield Kept(DELAY, delay.id, delay.failures, login_delay.FREE, delay.blocked_until / 1000, delay.id)


def about(*whom: str) -> list[Kept]:
    """Return what is counted now of these: networks, addresses of some, names."""
    wanted = {subject for who in whom for subject in _subjects(who)}
    return [found for found in kept() if wanted & set(found.subject.split())]


def hashed(login: str) -> str:
    """Return what stands for an address or a username in the counters, however it is spelled."""
    with suppress(ValueError):
        login = login_key(login.strip())
    return signing.fingerprint(login)


def away() -> tuple[type[Exception], ...]:
    """Return what is raised when the counters are out of reach."""
    return counters().away


def _add(storage: Storage, counters: Sequence[Counter]) -> dict[Counter, int]:
    if isinstance(storage, Database):
        counts = storage.add({counter.key: counter.rate.get_expiry() for counter in counters})
        return {counter: counts[counter.key] for counter in counters}
    found = {}
    for counter in counters:
        found[counter] = storage.incr(counter.key, counter.rate.get_expiry())
        if found[counter] > counter.rate.amount:
            break  # a request that is refused must not fill the counters of others
    return found


def _keys(storage: Storage) -> list[str]:
    if isinstance(storage, Database):
        return list(storage.keys())
    found = cast(RedisStorage, storage).storage.scan_iter(f"{RedisStorage.PREFIX}:*")
    return sorted(key.decode().partition(":")[2] for key in found)


def _subjects(who: str) -> list[str]:
    with suppress(ValueError):
        return audit.networks(str(ip_network(who, strict=False).network_address))
    return [hashed(who)]

"""The counts behind the limits, in the application's own database or in Redis, so that all its processes share them.

The database is a storage as the `limits` library documents it. Counting and looking are one statement and one
transaction of their own, on a connection of their own, which waits for half a second at most: Flask-Limiter counts in
memory then.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any, NamedTuple, cast

from flask import current_app
from limits import RateLimitItem, parse
from limits.storage import RedisStorage, Storage
from sqlalchemy import CursorResult, Executable, bindparam, delete, select, text, update
from sqlalchemy.exc import SQLAlchemyError

from app import audit, clock, tokens
from app.database import UtcDateTime
from app.extensions import db, limiter
from app.models import Count
from app.models.user import login_key

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
        self._next_sweep = self._away_until = 0.0
        self._sweeping = threading.Lock()

    @property
    def base_exceptions(self) -> type[Exception]:
        return SQLAlchemyError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Add to a count and return it; a negative amount takes back. It lasts for `expiry` seconds from its first."""
        if amount < 0:
            return self._take_back(key, -amount)
        now = clock.now()
        values = {"key": key, "amount": amount, "now": now, "until": now + timedelta(seconds=expiry)}
        try:
            self._sweep()
            with db.engines["counts"].connect() as connection:
                return int(connection.execute(ADD, values).scalar_one())
        except SQLAlchemyError:
            self._away_until = time.monotonic() + 1
            raise

    def get(self, key: str) -> int:
        return self._one(select(Count.count).where(Count.id == key, Count.expires_at > clock.now())) or 0

    def get_expiry(self, key: str) -> float:
        until: datetime | None = self._one(select(Count.expires_at).where(Count.id == key))
        return (until or clock.now()).astimezone(UTC).timestamp()

    def check(self) -> bool:
        """Say whether to count here again: not at once, since what can be read may be locked for writing."""
        if time.monotonic() < self._away_until:
            return False
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


class Kept(NamedTuple):
    key: str
    subject: str  # who or what is counted
    name: str  # of the table
    rate: RateLimitItem
    times: int
    expires_at: float

    @property
    def is_full(self) -> bool:
        return self.times >= self.rate.amount


def kept() -> Iterator[Kept]:
    """Yield what is counted now, by all processes. Raises one of away() if that is out of reach."""
    if not current_app.config["RATELIMIT_ENABLED"]:
        return
    storage = limiter.storage
    for key in _keys():
        subject, name, *rate = key.partition("/")[2].rsplit("/", 4)
        item = parse(f"{rate[0]} per {rate[1]} {rate[2]}")
        yield Kept(key, subject, name, item, storage.get(key), storage.get_expiry(key))


def about(*whom: str) -> list[Kept]:
    """Return what is counted now of these: networks, addresses of some, names."""
    wanted = {_subject(who) for who in whom}
    return [found for found in kept() if wanted & set(found.subject.split())]


def hashed(login: str) -> str:
    """What stands for an address or a username in the counts, however it is spelled."""
    with suppress(ValueError):
        login = login_key(login.strip())
    return tokens.fingerprint(login)


def away() -> tuple[type[Exception], ...]:
    """Return what is raised when the counts are out of reach."""
    if not current_app.config["RATELIMIT_ENABLED"]:
        return ()
    raised = limiter.storage.base_exceptions
    return raised if isinstance(raised, tuple) else (raised,)


def _keys() -> list[str]:
    storage = limiter.storage
    if isinstance(storage, Database):
        return list(storage.keys())
    found = cast(RedisStorage, storage).storage.scan_iter(f"{RedisStorage.PREFIX}:*")
    return sorted(key.decode().partition(":")[2] for key in found)


def _subject(who: str) -> str:
    with suppress(ValueError):
        return audit.network(str(ip_network(who, strict=False).network_address))
    return hashed(who)

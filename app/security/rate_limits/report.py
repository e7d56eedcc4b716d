"""List and clear the counters of rate limits, for administrators."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_network
from typing import TYPE_CHECKING, cast

from flask import current_app
from sqlalchemy import Row

from app import clock
from app.security import login_delay, origin
from app.security.rate_limits.counters import Counter, Storage, parse, shared_counters
from app.security.rate_limits.database_storage import DatabaseStorage
from app.security.rate_limits.policies import POLICIES, hashed

if TYPE_CHECKING:
    from limits.storage import RedisStorage

LOGIN_DELAY = "login_delay"  # listed beside the policies


@dataclass(frozen=True)
class Entry:
    """A counter that has not expired."""

    policy: str
    subject: str
    count: int
    limit: int
    expires_at: float  # seconds since 1970; of a login delay its end, 0 if none has begun
    key: str

    @property
    def is_full(self) -> bool:
        return self.count >= self.limit and self.expires_at > clock.now().timestamp()

    def clear(self) -> None:
        if self.policy == LOGIN_DELAY:
            login_delay.clear(self.key)
        else:
            shared_counters().storage.clear(self.key)


def entries(wanted: set[str] | None = None) -> Iterator[Entry]:
    """Yield all counters, or those of a wanted subject.

    Raises one of counters.storage_errors() if they can't be reached.
    """
    if not current_app.config["RATELIMIT_ENABLED"]:
        return
    storage = shared_counters().storage
    yield from _entries(storage, _keys(storage), wanted)
    yield from _delays(login_delay.entries(), wanted)


def entries_beginning(names: set[str], networks: set[str]) -> Iterator[Entry]:
    """Yield the counters of hashed names, wherever they were used, and of networks alone, without reading all others.

    Raises as entries() does.
    """
    if not current_app.config["RATELIMIT_ENABLED"]:
        return
    storage, wanted = shared_counters().storage, names | networks
    rates = [(policy, parse(rate)) for policy, (rates, *_) in POLICIES.items() for rate in rates.values()]
    exact = {Counter(policy, network, rate).key for policy, rate in rates for network in networks}
    keys = storage.keys_of(exact, names) if isinstance(storage, DatabaseStorage) else _keys(storage)
    yield from (entry for entry in _entries(storage, keys, wanted) if entry.subject.split()[0] in wanted)
    yield from _delays(login_delay.entries(names), wanted)


def entries_of(*names: str) -> list[Entry]:
    """Return the counters of these networks, IP addresses, usernames or email addresses."""
    wanted = {subject for name in names for subject in _subjects(name)}
    return list(entries(wanted))


def _entries(storage: Storage, keys: Iterable[str], wanted: set[str] | None) -> Iterator[Entry]:
    for key in keys:
        subject, policy, limit, *_ = key.partition("/")[2].rsplit("/", 4)
        if policy in POLICIES and _is_wanted(subject, wanted):  # others are claims, which limit nothing
            yield Entry(policy, subject, storage.get(key), int(limit), storage.get_expiry(key), key)


def _delays(rows: Iterable[Row[str, int, int]], wanted: set[str] | None) -> Iterator[Entry]:
    for name, failures, until in rows:
        if _is_wanted(name, wanted):
            yield Entry(LOGIN_DELAY, name, failures, login_delay.FREE_ATTEMPTS, until / 1000, name)


def _is_wanted(subject: str, wanted: set[str] | None) -> bool:
    return wanted is None or not wanted.isdisjoint(subject.split())


def _keys(storage: Storage) -> Iterable[str]:
    if isinstance(storage, DatabaseStorage):
        return storage.keys()
    redis = cast("RedisStorage", storage)
    found = redis.storage.scan_iter(f"{redis.PREFIX}:*")
    return sorted(key.decode().partition(":")[2] for key in found)


def _subjects(name: str) -> list[str]:
    with suppress(ValueError):
        return origin.networks(str(ip_network(name, strict=False).network_address))
    return [hashed(name)]

"""List and clear the counters of rate limits, for administrators."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_network
from typing import TYPE_CHECKING, cast

from flask import current_app

from app import clock
from app.security import login_delay, origin
from app.security.rate_limits.counters import Storage, shared_counters
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
    expires_at: float  # seconds since 1970
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
    for key in _keys(storage):
        subject, policy, limit, *_ = key.partition("/")[2].rsplit("/", 4)
        if policy in POLICIES and _is_wanted(subject, wanted):  # others are claims, which limit nothing
            yield Entry(policy, subject, storage.get(key), int(limit), storage.get_expiry(key), key)
    for name, failures, until in login_delay.entries():
        if _is_wanted(name, wanted):
            yield Entry(LOGIN_DELAY, name, failures, login_delay.FREE_ATTEMPTS, until / 1000, name)


def entries_of(*names: str) -> list[Entry]:
    """Return the counters of these networks, IP addresses, usernames or email addresses."""
    wanted = {subject for name in names for subject in _subjects(name)}
    return list(entries(wanted))


def _is_wanted(subject: str, wanted: set[str] | None) -> bool:
    return wanted is None or not wanted.isdisjoint(subject.split())


def _keys(storage: Storage) -> list[str]:
    if isinstance(storage, DatabaseStorage):
        return list(storage.keys())
    redis = cast("RedisStorage", storage)
    found = redis.storage.scan_iter(f"{redis.PREFIX}:*")
    return sorted(key.decode().partition(":")[2] for key in found)


def _subjects(name: str) -> list[str]:
    with suppress(ValueError):
        return origin.networks(str(ip_network(name, strict=False).network_address))
    return [hashed(name)]

"""Hash passwords in a thread pool with about one thread per core, because each hash takes 16 MiB of memory.

A request that waits for a thread returns its database connection to the pool in the meantime.
"""

import os
import threading
import time
import unicodedata
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any, TypeVar

from flask import current_app
from werkzeug.exceptions import ServiceUnavailable
from werkzeug.security import check_password_hash, generate_password_hash

from app import metrics
from app.connections import released_connection
from app.security import imported_hashes

T = TypeVar("T")

MAX_PASSWORD_LENGTH = 1024  # characters
MAX_WAITING = 24  # requests per process; of its 32 threads, the others serve pages
WAIT_TIMEOUT = 5  # seconds
FULL, TIMED_OUT = "too many passwords wait to be hashed", f"the password waited {WAIT_TIMEOUT} seconds to be hashed"


def hash_password(password: str) -> str:
    """Hash a password in its composed form (NFC).

    Raises:
        ValueError: the password is empty, too long, or contains a NUL, at which scrypt stops.
        Busy: too many requests wait for the thread pool.
    """
    if not password or "\0" in password or len(password) > MAX_PASSWORD_LENGTH:
        raise ValueError(f"A password can't be empty, contain a NUL or exceed {MAX_PASSWORD_LENGTH} characters.")
    normal = unicodedata.normalize("NFC", password)
    return threads.run(generate_password_hash, normal, current_app.config["PASSWORD_HASH"])


def check_password(stored: str | None, password: str) -> bool:
    """Return whether `stored` is the hash of `password`. A missing or malformed hash takes the same time."""
    is_too_long = len(password) > MAX_PASSWORD_LENGTH
    password = unicodedata.normalize("NFC", password[:MAX_PASSWORD_LENGTH])
    dummy = f"{current_app.config['PASSWORD_HASH']}$nobody$0"
    for candidate in (stored, dummy):
        try:
            if candidate:
                is_right = threads.run(_verify, *imported_hashes.unsalted(candidate, password))
                return is_right and candidate is stored and "\0" not in password and not is_too_long
        except (ValueError, TypeError, OverflowError):
            continue
    return False


def _verify(stored: str, password: str) -> bool:
    ours = imported_hashes.is_ours(stored)
    return check_password_hash(stored, password) if ours else imported_hashes.verify(stored, password)


class Busy(ServiceUnavailable):
    """Too many requests wait for the thread pool. The log names the reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(retry_after=WAIT_TIMEOUT)
        self.reason = reason
        metrics.hash_refusals.inc()


class Threads:
    """A fixed thread pool with a bounded FIFO queue."""

    def __init__(self, count: int, max_waiting: int = MAX_WAITING, timeout: float = WAIT_TIMEOUT) -> None:
        self.count, self.max_waiting, self.timeout = count, max_waiting, timeout
        self.inside = 0  # calls that run or wait
        self._counting = threading.Lock()
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="hash")

    def run(self, work: Callable[..., T], *args: object) -> T:
        """Run `work` and return its result. Raises Busy if too many calls wait, or this one waits too long."""
        with self._counting:
            if self.inside >= self.count + self.max_waiting:
                raise Busy(FULL)
            self.inside += 1
            metrics.hashes.inc()
            has_to_wait = self.inside > self.count
        began = time.perf_counter()

        def begin() -> T:
            metrics.hash_wait.observe(time.perf_counter() - began)
            return work(*args)

        future = self._pool.submit(begin)
        future.add_done_callback(self._leave)
        with released_connection() if has_to_wait else nullcontext():
            try:
                return future.result(self.timeout)
            except TimeoutError:
                if future.cancel():
                    raise Busy(TIMED_OUT) from None
                return future.result()  # the work has begun

    def _leave(self, _: "Future[Any]") -> None:
        with self._counting:
            self.inside -= 1
            metrics.hashes.dec()


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share(processes: int) -> None:
    """Divide the cores among the worker processes of a server. Each process calls this once.

    Each process gets one thread more than its share, because requests are not spread evenly over processes. In
    measurements a fifth more logins succeeded.
    """
    global threads
    threads = Threads(max(1, cores() // processes) + 1)


threads = Threads(cores())

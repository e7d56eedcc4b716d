"""Passwords are hashed by about as many threads as there are cores, whose memory stays theirs: a hash takes 16 MiB.

Who waits for one of them holds no connection to the database meanwhile.
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any, TypeVar

from werkzeug.exceptions import ServiceUnavailable

from app.extensions import connection_given_back

T = TypeVar("T")

ROOM = 24  # who may wait in a process: of a server's 32 threads some are left for pages
PATIENCE = 5  # seconds


class Busy(ServiceUnavailable):
    """Too many passwords are to be hashed at this moment."""

    def __init__(self) -> None:
        super().__init__(retry_after=PATIENCE)


class Threads:
    """So many threads, and a room for those who wait: who comes first is served first."""

    def __init__(self, count: int, room: int = ROOM, patience: float = PATIENCE) -> None:
        self.count, self.room, self.patience = count, room, patience
        self.inside = 0  # those whose turn it is, and those who wait
        self._counting = threading.Lock()
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="hash")

    def run(self, work: Callable[..., T], *args: object) -> T:
        """Return what `work` returns. Raises Busy if too many wait, or if it was not begun within 5 seconds."""
        with self._counting:
            if self.inside >= self.count + self.room:
                raise Busy
            self.inside += 1
            has_to_wait = self.inside > self.count
        future = self._pool.submit(work, *args)
        future.add_done_callback(self._leave)
        with connection_given_back() if has_to_wait else nullcontext():
            try:
                return future.result(self.patience)
            except TimeoutError:
                if future.cancel():
                    raise Busy from None
                return future.result()  # it has begun

    def _leave(self, _: "Future[Any]") -> None:
        with self._counting:
            self.inside -= 1


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share(processes: int) -> None:
    """Divide the cores among the processes of a server, which calls this in each of them.

    One thread more than its part for each, since who comes is not spread evenly: a fifth more logins are done.
    """
    global threads
    threads = Threads(max(1, cores() // processes) + 1)


threads = Threads(cores())

"""How many passwords are hashed at once. Each takes a core and megabytes; who waits holds no connection meanwhile."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from werkzeug.exceptions import ServiceUnavailable

from app.extensions import connection_given_back

ROOM = 24  # who may wait in a process: of a server's 32 threads some are left for pages
PATIENCE = 5  # seconds


class Busy(ServiceUnavailable):
    """Too many passwords are to be hashed at this moment."""

    def __init__(self) -> None:
        super().__init__(retry_after=PATIENCE)


class Slots:
    """As many as hash at once. Who comes later waits behind those who wait already."""

    def __init__(self, count: int, room: int = ROOM, patience: float = PATIENCE) -> None:
        self.count, self.room, self.patience = count, room, patience
        self.waiting = 0
        self._free, self._counting = threading.Semaphore(count), threading.Lock()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Take one, meanwhile. Raises Busy if too many wait, or after 5 seconds of waiting."""
        if self.waiting or not self._free.acquire(blocking=False):
            self._wait()
        try:
            yield
        finally:
            self._free.release()

    def _wait(self) -> None:
        with self._counting:
            if self.waiting >= self.room:
                raise Busy
            self.waiting += 1
        try:
            with connection_given_back():
                if not self._free.acquire(timeout=self.patience):
                    raise Busy
        finally:
            with self._counting:
                self.waiting -= 1


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share(processes: int) -> None:
    """Divide the cores among the processes of a server, which calls this in each of them."""
    global slot
    slot = Slots(max(1, cores() // processes))


slot = Slots(cores())

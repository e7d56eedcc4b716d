"""The threads that hash passwords, and the queue of the calls that wait for them.

Networks take turns, so that many logins from one network don't delay those from others. A call that could not be done
in time is refused at once.
"""

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext, suppress
from functools import partial
from math import ceil
from typing import Any, TypeVar

from werkzeug.exceptions import ServiceUnavailable

from app import metrics
from app.connections import released_connection
from app.security import origin

T = TypeVar("T")

MAX_WAIT = 10  # seconds
MAX_CALLS = 52  # per process, which run or wait; of its 64 threads, the others serve pages
FIRST_GUESS = 0.2  # seconds that a call takes, until some are measured
WEIGHT = 0.1  # of the latest call in the moving average
NICENESS = 10  # of the threads, above that of the threads that answer requests: pages come first

FULL = "too many passwords wait to be hashed"
DISPLACED = "passwords of other networks wait to be hashed, too"
TIMED_OUT = f"the password waited {MAX_WAIT} seconds to be hashed"


class Busy(ServiceUnavailable):
    """The threads could not do a call in time. The log names the reason."""

    def __init__(self, reason: str, seconds: float) -> None:
        super().__init__(retry_after=max(1, ceil(seconds)))
        self.reason = reason
        metrics.hash_refusals.inc()


class Call(Future[T]):
    """A function that waits for a thread, and its result."""

    def __init__(self, work: Callable[[], T]) -> None:
        super().__init__()
        self.work, self.asked_at = work, time.perf_counter()
        self.network = origin.networks(origin.ip_address_of_request())[-1]


class Threads:
    """A fixed number of threads with a queue, which is bounded by time and by the number of calls."""

    def __init__(self, count: int, max_calls: int = MAX_CALLS, max_wait: float = MAX_WAIT) -> None:
        self.count, self.max_calls, self.max_wait = count, max_calls, max_wait
        self.inside = 0  # calls that run or wait
        self.seconds = FIRST_GUESS  # that a call takes, as a moving average
        self.queues: dict[str, deque[Call[Any]]] = {}  # the calls that wait; the networks are in the order of turns
        self._changing = threading.Lock()
        self._pool = ThreadPoolExecutor(count, "hash", _be_nice)

    def run(self, work: Callable[..., T], *args: object) -> T:
        """Run `work` and return its result.

        Raises:
            Busy: the call could not be done in time, or its place went to another network.
        """
        call = Call(partial(work, *args))
        with self._changing:
            if self._is_full():
                self._make_room(call)
            self.queues.setdefault(call.network, deque()).append(call)
            self._count(1)
            has_to_wait = self.inside > self.count
        self._pool.submit(self._run_next)
        with released_connection() if has_to_wait else nullcontext():
            try:
                return call.result(self.max_wait)
            except TimeoutError:
                self._give_up(call)
                return call.result()

    def _is_full(self) -> bool:
        is_late = self.inside >= self.count and self._seconds_for(self.inside + 1) > self.max_wait
        return is_late or self.inside >= self.max_calls

    def _seconds_for(self, calls: int) -> float:
        return calls * self.seconds / self.count

    def _make_room(self, call: Call[Any]) -> None:
        """Refuse the latest call of the network with the most calls if that has more than this one, else this call."""
        longest = max(self.queues.values(), key=len, default=deque())
        if len(longest) <= 1 + len(self.queues.get(call.network, ())):
            raise Busy(FULL, self._seconds_for(self.inside))
        self._refuse(longest.pop(), DISPLACED)

    def _refuse(self, call: Call[Any], reason: str) -> None:
        call.set_exception(Busy(reason, self._seconds_for(self.inside)))
        self._count(-1)

    def _give_up(self, call: Call[Any]) -> None:
        """Refuse a call that has waited for too long, unless it has begun."""
        with self._changing:
            if call in (queue := self.queues.get(call.network, deque())):
                queue.remove(call)
                self._refuse(call, TIMED_OUT)

    def _run_next(self) -> None:
        with self._changing:
            call = self._next()
        if not call:  # it was refused
            return
        began = time.perf_counter()
        metrics.hash_wait.observe(began - call.asked_at)
        try:
            finish = partial(call.set_result, call.work())
        except BaseException as error:
            finish = partial(call.set_exception, error)
        with self._changing:
            self._count(-1)
            self.seconds += WEIGHT * (time.perf_counter() - began - self.seconds)
        finish()

    def _next(self) -> Call[Any] | None:
        """Return the first call of the network whose turn it is, which then gets its next turn after the others."""
        for network in list(self.queues):
            queue = self.queues.pop(network)
            if queue:
                self.queues[network] = queue
                return queue.popleft()
        return None

    def _count(self, change: int) -> None:
        self.inside += change
        metrics.hashes.inc(change)


def _be_nice() -> None:
    """Lower the priority of this thread, where the system has one for each thread."""
    if sys.platform == "linux":
        with suppress(OSError):  # a sandbox may forbid it
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), os.getpriority(os.PRIO_PROCESS, 0) + NICENESS)

"""The background threads that deliver emails and run cleanup jobs, in each server process or in `flask mail worker`."""

import logging
import threading
import time
from collections.abc import Callable

from flask import Flask

from app.email import delivery, outbox

POLL_INTERVAL = 5  # seconds between two queries of the outbox, unless a commit wakes the thread
CLEANUP_INTERVAL = 60  # seconds between two checks for due cleanup jobs
CLEANUP_STOP_TIMEOUT = 1  # seconds for the current batch when the process stops, before it is rolled back

log = logging.getLogger(__name__)


class Delivery:
    """The two threads, which the server or its first request starts, and other commands never do."""

    def __init__(self, app: Flask, cleanup: Callable[[threading.Event], object]) -> None:
        self.app, self.cleanup = app, cleanup
        self.stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._cleanup_thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def start(self) -> None:
        """Start both threads if they don't run yet."""
        with self._starting:
            if self._thread is None:
                self._thread = self._start(self._deliver, "delivery")
                self._cleanup_thread = self._start(self._clean_up, "cleanup")

    def run(self) -> None:
        """Deliver in this thread, and clean up in another, until stopped."""
        self._cleanup_thread = self._start(self._clean_up, "cleanup")
        try:
            self._deliver()
        finally:  # after stop(), or Ctrl-C
            self.stopped.set()
            self._cleanup_thread.join(CLEANUP_STOP_TIMEOUT)

    def stop(self, wait: float = 0) -> None:
        """Stop after the current email and the current batch, and wait for them for at most `wait` seconds."""
        self.stopped.set()
        outbox.queued.set()
        until = time.monotonic() + wait
        for thread, seconds in ((self._cleanup_thread, min(wait, CLEANUP_STOP_TIMEOUT)), (self._thread, wait)):
            if thread and wait:
                thread.join(min(seconds, max(until - time.monotonic(), 0)))

    def _start(self, target: Callable[[], None], name: str) -> threading.Thread:
        thread = threading.Thread(target=target, name=name, daemon=True)
        thread.start()
        return thread

    def _deliver(self) -> None:
        while not self.stopped.is_set():
            outbox.queued.clear()
            try:
                with self.app.app_context():
                    delivery.deliver(self.stopped)
            except Exception:
                log.exception("Delivery failed; trying again in %s seconds", POLL_INTERVAL)
            if not self.stopped.is_set():
                outbox.queued.wait(POLL_INTERVAL)

    def _clean_up(self) -> None:
        while not self.stopped.is_set():
            try:
                with self.app.app_context():
                    self.cleanup(self.stopped)
            except Exception:
                log.exception("Cleanup failed; trying again in %s seconds", CLEANUP_INTERVAL)
            self.stopped.wait(CLEANUP_INTERVAL)

"""What runs in the background: delivery and cleanup, a thread each, in each serving process or `flask mail worker`."""

import logging
import threading
import time
from collections.abc import Callable

from flask import Flask

from app.email import delivery, outbox

PAUSE = 5  # seconds between two looks at the outbox, when nothing announces an email
LOOK_EVERY = 60  # seconds between two looks at the cleanup jobs
PATIENCE = (
    1  # seconds that the batch of a cleanup job may take when the process ends; its transaction is rolled back then
)

log = logging.getLogger(__name__)


class Delivery:
    """The threads that deliver and clean up, started with the server or at its first request, never by a command."""

    def __init__(self, app: Flask, cleanup: Callable[[threading.Event], object]) -> None:
        self.app, self.cleanup = app, cleanup
        self.stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._cleanup_thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def start(self) -> None:
        """Start both threads, once in this process."""
        with self._starting:
            if self._thread is None:
                self._thread = self._start(self._deliver, "delivery")
                self._cleanup_thread = self._start(self._clean_up, "cleanup")

    def run(self) -> None:
        """Deliver in this thread, and clean up in another, until stopped."""
        self._cleanup_thread = self._start(self._clean_up, "cleanup")
        try:
            self._deliver()
        finally:  # by stop(), or by Ctrl-C
            self.stopped.set()
            self._cleanup_thread.join(PATIENCE)

    def stop(self, wait: float = 0) -> None:
        """End after the email in hand and the batch in hand; wait for these, in seconds."""
        self.stopped.set()
        outbox.queued.set()
        until = time.monotonic() + wait
        for thread, seconds in ((self._cleanup_thread, min(wait, PATIENCE)), (self._thread, wait)):
            if thread and wait:
                thread.join(min(seconds, max(until - time.monotonic(), 0)))

    def _start(self, target: Callable[[], None], name: str) -> threading.Thread:
        thread = threading.Thread(target=target, name=name, daemon=True)
        thread.start()
        return thread

    def _deliver(self) -> None:
        """Deliver what is due, again and again, until stopped."""
        while not self.stopped.is_set():
            outbox.queued.clear()
            try:
                with self.app.app_context():
                    delivery.deliver(self.stopped)
            except Exception:
                log.exception("Delivery failed; trying again in %s seconds", PAUSE)
            if not self.stopped.is_set():
                outbox.queued.wait(PAUSE)

    def _clean_up(self) -> None:
        """Run the cleanup jobs that are due, again and again, until stopped."""
        while not self.stopped.is_set():
            try:
                with self.app.app_context():
                    self.cleanup(self.stopped)
            except Exception:
                log.exception("Cleanup failed; trying again in %s seconds", LOOK_EVERY)
            self.stopped.wait(LOOK_EVERY)

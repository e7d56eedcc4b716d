"""Who delivers, and does the daily chores: a thread in each serving process, or `flask mail work`."""

import logging
import threading
import time
from collections.abc import Callable

from flask import Flask

from app import mail

PAUSE = 5  # seconds between two looks at the outbox, when nothing announces a letter
HOUR = 3600  # seconds

log = logging.getLogger(__name__)


class Delivery:
    """The thread that delivers. Started with the server or at its first request, never by another command."""

    def __init__(self, app: Flask, chores: Callable[[], None]) -> None:
        self.app, self.chores = app, chores
        self.stopped = threading.Event()
        self._next_chores = 0.0
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def start(self) -> None:
        """Start the thread, once in this process."""
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self.run, name="delivery", daemon=True)
                self._thread.start()

    def run(self) -> None:
        """Deliver what is due, again and again, until stopped."""
        while not self.stopped.is_set():
            mail.queued.clear()
            try:
                with self.app.app_context():
                    mail.deliver(self.stopped)
                    self._do_chores()
            except Exception:
                log.exception("Delivery failed; trying again in %s seconds", PAUSE)
            mail.queued.wait(PAUSE)

    def _do_chores(self) -> None:
        """See once an hour whether the day's chores are done."""
        if time.monotonic() >= self._next_chores:
            self._next_chores = time.monotonic() + HOUR
            self.chores()

    def stop(self, wait: float = 0) -> None:
        """End after the letter in hand; wait for that, in seconds."""
        self.stopped.set()
        mail.queued.set()
        if self._thread and wait:
            self._thread.join(wait)

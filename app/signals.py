"""What an application built on this is told of: signals that are sent after the commit, never before.

    @user_logged_in.connect
    def claim_cart(app, user, method, previous_session, **_):
        ...
        db.session.commit()

A receiver may use the database, and commits what it writes. An error in it is logged and breaks nothing else.
"""

import logging
from typing import Any

from blinker import NamedSignal, Namespace
from flask import current_app
from flask_sqlalchemy.session import Session

_signals = Namespace()
user_registered = _signals.signal("user-registered")  # user
user_confirmed = _signals.signal("user-confirmed")  # user: the email address is proved
user_logged_in = _signals.signal("user-logged-in")  # user, method, previous_session: what the visitor's session held
user_logged_out = _signals.signal("user-logged-out")  # user: on this device, by their own doing
password_changed = _signals.signal("password-changed")  # user: set, changed, reset or removed
email_changed = _signals.signal("email-changed")  # user, old_email
user_deleted = _signals.signal("user-deleted")  # user_id, email, username: the row is gone

WAITING = "signals"  # in the database session's info

log = logging.getLogger(__name__)


class SignalingSession(Session):
    """Flask-SQLAlchemy's session, which sends what waits for its commit."""

    def commit(self) -> None:
        super().commit()
        for signal, values in self.info.pop(WAITING, []):
            self._send(signal, values)

    def rollback(self) -> None:
        self.info.pop(WAITING, None)
        super().rollback()

    def close(self) -> None:
        self.info.pop(WAITING, None)
        super().close()

    def _send(self, signal: NamedSignal, values: dict[str, Any]) -> None:
        app = current_app._get_current_object()  # type: ignore[attr-defined]
        for receiver in signal.receivers_for(app):
            try:
                receiver(app, **values)
            except Exception:
                log.exception("A receiver of %s failed.", signal.name)
                self.rollback()


def send_after_commit(session: Session, signal: NamedSignal, **values: Any) -> None:
    """Send a signal once `session` has committed, and not at all if it is rolled back. The same is sent once."""
    waiting = session.info.setdefault(WAITING, [])
    if (signal, values) not in waiting:
        waiting.append((signal, values))

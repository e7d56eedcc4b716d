"""Signals for applications built on this one, sent after the commit.

    @user_logged_in.connect
    def claim_cart(app, user, method, previous_session, **_):
        ...
        db.session.commit()

A receiver may use the database and commits its own changes. An error in a receiver is logged and has no other effect.
The commit is that of `db.session.commit()`: the end of a `with db.session.begin():` sends nothing.
"""

import logging
from typing import Any

from blinker import NamedSignal, Namespace
from flask import current_app
from flask_sqlalchemy.session import Session
from sqlalchemy import event, orm

_signals = Namespace()
user_registered = _signals.signal("user-registered")  # user
user_confirmed = _signals.signal("user-confirmed")  # user: the email address is proved, or confirmed by a command
user_logged_in = _signals.signal("user-logged-in")  # user, method, previous_session: the visitor's session data
user_logged_out = _signals.signal("user-logged-out")  # user: logged out on this device
password_changed = _signals.signal("password-changed")  # user: the password was set, changed, reset or removed
email_changed = _signals.signal("email-changed")  # user, old_email
user_deleted = _signals.signal("user-deleted")  # user_id, email, username: the row no longer exists

PENDING = "pending"  # key in Session.info of the lists of pending()
SIGNALS = "signals"  # the name of one

log = logging.getLogger(__name__)


class SignalingSession(Session):
    """Flask-SQLAlchemy's session, which sends pending signals after its commit."""

    def commit(self) -> None:
        super().commit()
        for signal, values in self.info.pop(PENDING, {}).get(SIGNALS, []):
            self._send(signal, values)

    def rollback(self) -> None:
        self.info.pop(PENDING, None)
        super().rollback()

    def close(self) -> None:
        self.info.pop(PENDING, None)
        super().close()

    def _send(self, signal: NamedSignal, values: dict[str, Any]) -> None:
        app = current_app._get_current_object()  # type: ignore[attr-defined]
        for receiver in signal.receivers_for(app):
            try:
                receiver(app, **values)
            except Exception:
                log.exception("A receiver of %s failed.", signal.name)
                self.rollback()


@event.listens_for(orm.Session, "after_rollback")
def _forget(session: orm.Session) -> None:
    """Do what SignalingSession.rollback() does, for `with db.session.begin():`, which doesn't call it."""
    if not session.in_nested_transaction():  # a savepoint's rollback also triggers this event
        session.info.pop(PENDING, None)


def pending(session: orm.Session, kind: str) -> list[Any]:
    """Return the list of what is left to do at the commit of `session`, which a rollback empties."""
    found: list[Any] = session.info.setdefault(PENDING, {}).setdefault(kind, [])
    return found


def send_after_commit(session: Session, signal: NamedSignal, **values: Any) -> None:
    """Send a signal after the commit of `session`, unless it is rolled back. Equal signals are sent once."""
    if (signal, values) not in (signals := pending(session, SIGNALS)):
        signals.append((signal, values))

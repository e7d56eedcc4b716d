"""Once a day: what is out of date goes, accounts whose grace is over go, and secrets move to the newest key."""

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, or_, select, update

from app import clock, tokens
from app.accounts import closing
from app.extensions import Model, db, rows_changed
from app.models import (
    Authenticator,
    Chore,
    Device,
    EmailChallenge,
    EmailChange,
    Event,
    Letter,
    PasskeyChallenge,
    SsoJourney,
    User,
    UserSession,
)
from app.models.outbox import Status
from config import setting

DAY, WEEK = timedelta(days=1), timedelta(days=7)
BATCH = 1000  # rows a transaction, so that nobody waits for it

# What goes, and when.
OUT_OF_DATE: dict[type[Model], Callable[[Any], ColumnElement[bool]]] = {
    UserSession: lambda now: or_(UserSession.expires_at <= now - WEEK, UserSession.ended_at <= now - WEEK),
    EmailChallenge: lambda now: EmailChallenge.asked_at <= now - WEEK,
    SsoJourney: lambda now: SsoJourney.started_at <= now - WEEK,
    PasskeyChallenge: lambda now: PasskeyChallenge.asked_at <= now - DAY,
    EmailChange: lambda now: EmailChange.changed_at <= now - timedelta(days=30),
    Letter: lambda now: (Letter.status != Status.WAITING) & (Letter.done_at <= now - timedelta(days=30)),
    Event: lambda now: Event.at <= now - timedelta(days=365),
    Device: lambda now: Device.last_seen_at <= now - timedelta(days=365),
}

log = logging.getLogger(__name__)


def daily() -> None:
    """Do it, unless somebody has within a day."""
    if Chore.claim("housekeeping"):
        log.info("Housekeeping: %s", ", ".join(f"{count} {name}" for name, count in run().items()))


def run() -> dict[str, int]:
    """Do it now, in many small transactions; return how much went, by name."""
    counts = {
        model.__tablename__: _delete(model, out_of_date(clock.now())) for model, out_of_date in OUT_OF_DATE.items()
    }
    never_meant = (User.confirmed.is_(False), User.is_admin.is_(False), User.deactivated_at.is_(None))
    forgotten = _purge_all(*never_meant, User.created_at <= clock.now() - WEEK, say_goodbye=False)
    counts |= {"accounts never confirmed": forgotten, "accounts": purge()}
    return counts | {"secrets moved to the newest key": _move_to_newest_key()}


def purge() -> int:
    """Delete the accounts whose grace is over, and return how many there were."""
    return _purge_all(*closing.is_due())


def _delete(model: type[Model], condition: ColumnElement[bool]) -> int:
    count = 0
    key = model.__table__.c.id
    while ids := db.session.scalars(select(key).where(condition).limit(BATCH)).all():
        db.session.execute(delete(model).where(key.in_(ids)).execution_options(synchronize_session=False))
        db.session.commit()
        count += len(ids)
    db.session.rollback()
    return count


def _move_to_newest_key() -> int:
    """Encrypt anew what a key that may go soon encrypted: the secrets of authenticator apps."""
    count, last = 0, 0
    if not setting("SECRET_KEY_FALLBACKS"):  # there is but one
        return count
    rows = select(Authenticator.id, Authenticator.secret).order_by(Authenticator.id).limit(BATCH)
    while found := db.session.execute(rows.where(Authenticator.id > last)).all():
        for last, secret in found:
            if renewed := tokens.renewed("authenticator", secret):
                same = update(Authenticator).where(Authenticator.id == last, Authenticator.secret == secret)
                count += rows_changed(same.values(secret=renewed))
        db.session.commit()
    db.session.rollback()
    return count


def _purge_all(*which: ColumnElement[bool], say_goodbye: bool = True) -> int:
    """Purge the accounts that meet these conditions; one that can't be purged holds up no other."""
    count = 0
    for number in db.session.scalars(select(User.id).where(*which).order_by(User.id)).all():
        try:
            user = db.session.get(User, number)
            count += bool(user and closing.purge(user, *which, say_goodbye=say_goodbye))
            db.session.commit()
        except Exception:
            log.exception("Account %s can't be deleted", number)
            db.session.rollback()
    return count

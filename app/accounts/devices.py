"""Devices: browsers that an account was logged in with, recognised by their cookie."""

from sqlalchemy import delete, exists, select, update

from app import clock
from app.email import outbox
from app.email.templates import Email
from app.extensions import db, rows_changed
from app.models import AuditAction, Device, User, UserSession
from app.security import audit

MAX_DEVICES = 100  # per account


def find(user: User, cookie: str) -> Device | None:
    """Return the device with this cookie, if the user was ever logged in with it."""
    mine = select(Device).where(Device.user_id == user.id, Device.key == Device.key_of(cookie))
    return db.session.scalar(mine.order_by(Device.trusted_until.is_(None), Device.id).limit(1))


def recognise(user: User, cookie: str) -> None:
    """Record a login with the device of this cookie, and notify a confirmed user of a new one, except the first."""
    key, mine = Device.key_of(cookie), Device.user_id == user.id
    same = select(Device.id).where(mine, Device.key == key).limit(1).scalar_subquery()
    known, has_others = db.session.execute(select(same, exists().where(mine))).one()
    if known:
        rows_changed(update(Device).where(Device.id == known).values(last_seen_at=clock.now()))
        return
    _forget_surplus(user)
    db.session.add(Device(user_id=user.id, key=key))
    if has_others and user.confirmed:
        outbox.enqueue(Email.NEW_DEVICE, user, event=audit.record(user, AuditAction.NEW_DEVICE))


def forget_all(user: User, keep: UserSession | None = None) -> None:
    """Forget all devices of the user except the one of the session `keep`."""
    rows_changed(delete(Device).where(Device.user_id == user.id, Device.key != (keep.device if keep else "")))


def _forget_surplus(user: User) -> None:
    """Forget the devices not seen for longest, trusted ones last, so that one more makes no more than MAX_DEVICES."""
    mine = select(Device.id).where(Device.user_id == user.id)
    surplus = mine.order_by(Device.trusted_until.is_(None), Device.last_seen_at.desc()).offset(MAX_DEVICES - 1)
    rows_changed(delete(Device).where(Device.id.in_(surplus)).execution_options(synchronize_session=False))

"""Devices: browsers on which a user has logged in, recognised by a cookie.

A trusted device is exempt from two-factor authentication for 30 days.
"""

import secrets
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import ColumnElement, delete, func, select, update

from app import clock
from app.email import outbox
from app.email.templates import Email
from app.extensions import db, rows_changed
from app.models import AuditAction, Device, User, UserSession
from app.security import audit, origin

MAX_DEVICES = 100  # per account
TRUST_LIFETIME = timedelta(days=30)


def find(user: User, cookie: str) -> Device | None:
    """Return the device with this cookie, if the user has logged in on it."""
    mine = select(Device).where(Device.user_id == user.id, Device.key == Device.key_of(cookie))
    return db.session.scalar(mine.order_by(Device.trusted_until.is_(None), Device.id).limit(1))


def recognise(user: User, cookie: str) -> bool:
    """Record a login on the device with this cookie, and return whether it is a new one, but not the first."""
    key, mine = Device.key_of(cookie), Device.user_id == user.id
    same = select(Device.id).where(mine, Device.key == key).limit(1).scalar_subquery()
    known, count = db.session.execute(select(same, select(func.count()).where(mine).scalar_subquery())).one()
    if known:
        rows_changed(update(Device).where(Device.id == known).values(last_seen_at=clock.now()))
        return False
    if count >= MAX_DEVICES:
        _forget_surplus(user)
    db.session.add(Device(user_id=user.id, key=key))
    return bool(count)


def notify_of_new(user: User) -> None:
    """Record a login on a new device, and email the user about it."""
    event = audit.record(user, AuditAction.NEW_DEVICE)
    outbox.enqueue(Email.NEW_DEVICE, user, event=event)


def forget_all(user: User, keep: UserSession | None = None) -> None:
    """Forget all devices of the user except the one of the session `keep`."""
    rows_changed(delete(Device).where(Device.user_id == user.id, Device.key != (keep.device if keep else "")))


def _forget_surplus(user: User) -> None:
    """Forget the devices not seen for the longest, untrusted ones first, to stay within MAX_DEVICES with a new one."""
    mine = select(Device.id).where(Device.user_id == user.id)
    surplus = mine.order_by(Device.trusted_until.is_(None), Device.last_seen_at.desc()).offset(MAX_DEVICES - 1)
    rows_changed(delete(Device).where(Device.id.in_(surplus)).execution_options(synchronize_session=False))


def is_trusted(user: User, cookie: str) -> bool:
    device = find(user, cookie)
    return device is not None and device.is_trusted


def trust(user: User, user_session: UserSession) -> str:
    """Trust the device of this session for 30 days.

    Return a new cookie for the device, so that a stolen copy of the old one does not become trusted.
    """
    audit.record(user, AuditAction.DEVICE_TRUSTED)
    cookie = secrets.token_urlsafe(32)
    same = update(Device).where(Device.user_id == user.id, Device.key == user_session.device)
    user_session.device = key = Device.key_of(cookie)
    until, user_agent = clock.now() + TRUST_LIFETIME, origin.of_request()["user_agent"]
    rows_changed(same.values(key=key, trusted_until=until, user_agent=user_agent))
    return cookie


def find_trusted(user: User) -> Sequence[Device]:
    """Return the user's trusted devices, the most recently trusted first."""
    mine = select(Device).where(Device.user_id == user.id, Device.trusted_until > clock.now())
    return db.session.scalars(mine.order_by(Device.trusted_until.desc())).all()


def untrust_by_handle(user: User, handle: str) -> bool:
    """Stop trusting a device; return False if the user trusts none with this handle."""
    device = next((device for device in find_trusted(user) if device.handle == handle), None)
    if device is None:
        return False
    audit.record(user, AuditAction.DEVICE_UNTRUSTED)
    return untrust(Device.user_id == user.id, Device.key == device.key)


def untrust(*conditions: ColumnElement[bool]) -> bool:
    """Stop trusting the devices that meet the conditions; return False if there is none."""
    trusted = update(Device).where(*conditions, Device.trusted_until.is_not(None))
    return rows_changed(trusted.values(trusted_until=None)) > 0

"""Trusted devices: the user exempts them from two-factor authentication for 30 days."""

import secrets
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import ColumnElement, select, update

from app import clock
from app.accounts import devices
from app.extensions import db, rows_changed
from app.models import AuditAction, Device, User, UserSession
from app.security import audit, origin

LIFETIME = timedelta(days=30)


def is_trusted(user: User, cookie: str) -> bool:
    """Return whether the user trusts the device with this cookie."""
    device = devices.find(user, cookie)
    return device is not None and device.is_trusted


def trust(user: User, user_session: UserSession) -> str:
    """Trust the device of this session for 30 days.

    Returns:
        A new cookie for the device: a stolen copy of the old one must not become trusted.
    """
    audit.record(user, AuditAction.DEVICE_TRUSTED)
    cookie = secrets.token_urlsafe(32)
    same = update(Device).where(Device.user_id == user.id, Device.key == user_session.device)
    user_session.device = key = Device.key_of(cookie)
    until, user_agent = clock.now() + LIFETIME, origin.of_request()["user_agent"]
    rows_changed(same.values(key=key, trusted_until=until, user_agent=user_agent))
    return cookie


def find_all(user: User) -> Sequence[Device]:
    """Return the user's trusted devices, the most recently trusted first."""
    mine = select(Device).where(Device.user_id == user.id, Device.trusted_until > clock.now())
    return db.session.scalars(mine.order_by(Device.trusted_until.desc())).all()


def untrust_by_handle(user: User, handle: str) -> bool:
    """Stop trusting the user's device with this handle; return False if there is no such device."""
    device = next((device for device in find_all(user) if device.handle == handle), None)
    if device is None:
        return False
    audit.record(user, AuditAction.DEVICE_UNTRUSTED)
    return untrust(Device.user_id == user.id, Device.key == device.key)


def untrust(*conditions: ColumnElement[bool]) -> bool:
    """Stop trusting the devices that meet the conditions; return whether there was one."""
    trusted = update(Device).where(*conditions, Device.trusted_until.is_not(None))
    return rows_changed(trusted.values(trusted_until=None)) > 0

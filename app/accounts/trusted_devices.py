"""Trusted devices: the user exempts them from two-factor authentication for 30 days."""

import secrets
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import ColumnElement, select, update

from app import clock
from app.extensions import db, rows_changed
from app.models import AuditAction, Device, User, UserSession
from app.security import audit

LASTS = timedelta(days=30)


def find(user: User, device: str) -> Device | None:
    """Return what is known of the browser with this cookie, if the account was ever logged in from it."""
    mine = select(Device).where(Device.user_id == user.id, Device.key == Device.key_of(device))
    return db.session.scalar(mine.order_by(Device.trusted_until.is_(None), Device.id).limit(1))


def is_trusted(user: User, device: str) -> bool:
    """Say whether this browser is trusted."""
    known = find(user, device)
    return known is not None and known.is_trusted


def trust(user: User, user_session: UserSession) -> str:
    """Trust the device of this session for 30 days, and return its new cookie: a copy of the old one is not trusted."""
    audit.record(user, AuditAction.DEVICE_TRUSTED)
    cookie = secrets.token_urlsafe(32)
    mine = update(Device).where(Device.user_id == user.id, Device.key == user_session.device)
    user_session.device = key = Device.key_of(cookie)
    rows_changed(mine.values(key=key, trusted_until=clock.now() + LASTS, user_agent=audit.origin()["user_agent"]))
    return cookie


def all_of(user: User) -> Sequence[Device]:
    """Return the browsers that are trusted, those trusted last first."""
    mine = select(Device).where(Device.user_id == user.id, Device.trusted_until > clock.now())
    return db.session.scalars(mine.order_by(Device.trusted_until.desc())).all()


def untrust_one(user: User, handle: str) -> bool:
    """Trust the browser with this handle no more; say whether it was trusted."""
    device = next((device for device in all_of(user) if device.handle == handle), None)
    if device is None:
        return False
    audit.record(user, AuditAction.DEVICE_UNTRUSTED)
    return untrust(Device.user_id == user.id, Device.key == device.key)


def untrust(*which: ColumnElement[bool]) -> bool:
    """Trust these browsers no more; say whether one was trusted."""
    ended = update(Device).where(*which, Device.trusted_until.is_not(None)).values(trusted_until=None)
    return rows_changed(ended) > 0

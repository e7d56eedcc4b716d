"""The second factor: authenticator apps here, other kinds in modules of their own; what all have in common is here.

The first factor turns two-factor authentication on and creates recovery codes. Removing the last one turns it off.
"""

import re
from hmac import compare_digest
from typing import Any

import pyotp
from flask import current_app
from sqlalchemy import exists, func, or_, select, update

from app import clock
from app.accounts import credentials, devices, recovery_codes, sessions
from app.email import outbox
from app.email.templates import Email
from app.extensions import db, rows_changed
from app.models import (
    AuditAction,
    Authenticator,
    LogoutReason,
    Passkey,
    RecoveryCode,
    RemovedCredential,
    User,
    UserSession,
)
from app.security import audit, signing
from app.security.token_purposes import TokenPurpose

# The second factors: the table of each kind, with user_id and created_at, and its name in emails.
FACTORS: dict[str, type[Any]] = {"authenticator": Authenticator, "passkey": Passkey}
IN_WORDS = {"authenticator": "an authenticator app", "passkey": "a passkey"}

STEP = 30  # seconds that a code of an app is good for (RFC 6238)
DRIFT = 1  # steps that a clock may be ahead or behind


def is_on(user: User) -> bool:
    """Say whether two-factor authentication is asked for when this person logs in."""
    return user.two_factor_enabled_at is not None


def is_missing(user: User) -> bool:
    """Say whether the account must have two-factor authentication and has none."""
    concerned = {"everybody": True, "admins": user.is_admin}.get(current_app.config["TWO_FACTOR_REQUIRED_FOR"], False)
    return concerned and not is_on(user)


def methods(user: User) -> list[str]:
    """Return the kinds of factor that an account has."""
    has = [exists().where(model.user_id == user.id) for model in FACTORS.values()]
    return [name for name, there in zip(FACTORS, db.session.execute(select(*has)).one(), strict=True) if there]


# Adding and removing a factor of any kind


def add(
    user: User, name: str, factor: Any, keep: UserSession, email: Email = Email.TWO_FACTOR_ADDED
) -> list[str] | None:
    """Add a factor, revoke all sessions but `keep`, and notify the user, with `email` if it is not the first factor.

    Return the recovery codes that come with the first one, else no codes; None if another request was faster.
    """
    is_first = not is_on(user)
    if not _change(user, since=user.two_factor_enabled_at or clock.now()):
        return None
    event = audit.record(user, AuditAction.TWO_FACTOR_ON, factor=name)
    db.session.flush()
    factor.event_id = event.id
    db.session.add(factor)
    db.session.flush()
    sessions.revoke_all(user, keep, reason=LogoutReason.TWO_FACTOR_CHANGED)
    if is_first:
        devices.forget_all(user, keep)
    outbox.enqueue(Email.TWO_FACTOR_ON if is_first else email, user, event=event, factor=IN_WORDS[name])
    return recovery_codes.make(user, event) if is_first else []


def remove(user: User, name: str, factor: Any, keep: UserSession) -> bool:
    """Remove a factor, revoke all sessions but `keep`, and notify the user; return False if another was faster."""
    is_last = _count(user) == 1
    if not _change(user, since=None if is_last else user.two_factor_enabled_at):
        return False
    event = audit.record(user, AuditAction.TWO_FACTOR_OFF, factor=name)
    credentials.remove(event, type(factor), type(factor).id == factor.id)
    if is_last:
        credentials.remove(event, RecoveryCode, RecoveryCode.user_id == user.id)
    sessions.revoke_all(user, keep, reason=LogoutReason.TWO_FACTOR_CHANGED)
    outbox.enqueue(Email.TWO_FACTOR_OFF, user, event=event, factor=IN_WORDS[name], is_last=is_last)
    return True


def reset(user: User) -> None:
    """Turn two-factor authentication off for an administrator, revoke all sessions and notify the user."""
    user.lock()
    event = audit.record(user, AuditAction.TWO_FACTOR_RESET)
    kinds: list[type[Any]] = [RecoveryCode, *FACTORS.values()]
    for model in kinds:
        credentials.remove(event, model, model.user_id == user.id)
    user.two_factor_enabled_at = None
    user.password_version = User.password_version + 1
    sessions.revoke_all(user, reason=LogoutReason.TWO_FACTOR_CHANGED)
    everything = "all that two-factor authentication was done with"
    outbox.enqueue(Email.TWO_FACTOR_OFF, user, event=event, factor=everything, is_last=True)


# For "This wasn't me"


def was_on(user: User, before: int) -> bool:
    """Return whether the account had a factor before this audit event, one that is there or can be restored."""
    old = [(model, or_(model.event_id.is_(None), model.event_id < before)) for model in FACTORS.values()]
    if any(db.session.execute(select(*(exists().where(model.user_id == user.id, was) for model, was in old))).one()):
        return True
    tables = [model.__tablename__ for model in FACTORS.values()]
    removed = (RemovedCredential.user_id == user.id, RemovedCredential.event_id >= before)
    rows = db.session.scalars(select(RemovedCredential.row).where(*removed, RemovedCredential.table.in_(tables)))
    return any((row.get("event_id") or 0) < before for row in rows)


def follow_factors(user: User) -> None:
    """Turn two-factor authentication on or off by whether the account has a factor, after some were restored."""
    user.two_factor_enabled_at = (user.two_factor_enabled_at or clock.now()) if _count(user) else None


# Authenticator apps


def new_secret() -> str:
    """Return a secret for an app: 160 bits, as 32 characters of base32."""
    return pyotp.random_base32()


def uri(user: User, secret: str) -> str:
    """Return what an app reads from the QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=user.email, issuer_name=current_app.config["APP_NAME"])


def find_authenticator(user: User) -> Authenticator | None:
    return db.session.scalar(select(Authenticator).where(Authenticator.user_id == user.id))


def turn_on(user: User, secret: str, code: str, keep: UserSession) -> list[str] | None:
    """Add an app that shows the code of `secret`, as add() does.

    Raises ValueError, with a reason in words, if the code is not right.
    """
    steps = _steps(secret, re.sub(r"\s", "", code))
    if not steps:
        raise ValueError(
            "That code is not right. Try the next one; if that won't do, see whether your phone's clock is right."
        )
    encrypted = signing.encrypt("authenticator", secret)
    app = Authenticator(user_id=user.id, secret=encrypted, last_step=steps[-1])
    return add(user, "authenticator", app, keep)


def turn_off(user: User, keep: UserSession) -> bool:
    """Remove the app, as remove() does."""
    app = find_authenticator(user)
    return app is not None and remove(user, "authenticator", app, keep)


def use_app_code(user: User, code: str) -> bool:
    """Say whether the app shows this code, and neither it nor a later one was used: one conditional UPDATE.

    The secret moves to the newest key with it.
    """
    app = find_authenticator(user)
    secret = app and signing.decrypt("authenticator", app.secret)
    if not app or not secret:
        return False
    encrypted = signing.encrypt("authenticator", secret)
    for step in _steps(secret, code):
        unused = (Authenticator.id == app.id, Authenticator.last_step < step)
        if rows_changed(update(Authenticator).where(*unused).values(last_step=step, secret=encrypted)):
            return True
    return False


def _change(user: User, since: Any) -> bool:
    """Turn two-factor authentication on or off. Pending logins start again; of two concurrent changes, one is made."""
    return user.consume(TokenPurpose.RESET, password_version=user.password_version + 1, two_factor_enabled_at=since)


def _count(user: User) -> int:
    counts = [select(func.count()).where(model.user_id == user.id).scalar_subquery() for model in FACTORS.values()]
    return sum(db.session.execute(select(*counts)).one())


def _steps(secret: str, code: str) -> list[int]:
    """The steps about now whose code this is, the earliest first."""
    totp = pyotp.TOTP(secret)
    now = totp.timecode(clock.now())
    return [
        step
        for step in range(now - DRIFT, now + DRIFT + 1)
        if compare_digest(totp.generate_otp(step).encode(), code.encode())
    ]

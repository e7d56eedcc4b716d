"""Two-factor authentication, by an authenticator app or by requiring a passkey after the password.

The first of these factors turns it on and creates recovery codes; removing the last one turns it off. A passkey alone
does not turn it on. While it is on, a login needs a code of the app, any passkey of the account, or a recovery code.
"""

from typing import Any, NamedTuple

from flask import current_app
from sqlalchemy import delete, exists, func, or_, select

from app import clock, switches
from app.accounts import credentials, devices, recovery_codes, sessions
from app.email import outbox
from app.email.templates import Email
from app.extensions import db, rows_changed
from app.models import (
    AuditAction,
    Authenticator,
    LogoutReason,
    Passkey,
    PasskeyRequirement,
    RecoveryCode,
    RemovedCredential,
    User,
    UserSession,
)
from app.security import audit
from app.security.token_purposes import TokenPurpose

# The table of each factor.
FACTORS: dict[str, type[Any]] = {"authenticator": Authenticator, "passkey": PasskeyRequirement}
# The methods that satisfy two-factor authentication, besides recovery codes.
METHODS = FACTORS | {"passkey": Passkey}


class PasskeyState(NamedTuple):
    has_passkey: bool
    is_required: bool


def is_on(user: User) -> bool:
    return user.has_two_factor


def is_missing(user: User) -> bool:
    """Return whether two-factor authentication is off although TWO_FACTOR_REQUIRED_FOR requires it.

    A passkey alone does not meet the requirement, since a password or an emailed link can still log in without it.
    """
    required_for = current_app.config["TWO_FACTOR_REQUIRED_FOR"]
    return not is_on(user) and (required_for == "everybody" or (required_for == "admins" and user.is_admin))


def methods(user: User) -> list[str]:
    known = _in_use(METHODS)
    has = [exists().where(model.user_id == user.id) for model in known.values()]
    return [name for name, found in zip(known, db.session.execute(select(*has)).one(), strict=True) if found]


def passkey_state(user: User) -> PasskeyState:
    mine = exists().where(Passkey.user_id == user.id), exists().where(PasskeyRequirement.user_id == user.id)
    has_passkey, is_required = db.session.execute(select(*mine)).one()
    return PasskeyState(has_passkey, is_required)


def passkey_requirement(user: User) -> PasskeyRequirement | None:
    if not switches.is_on("passkey"):
        return None
    return db.session.scalar(select(PasskeyRequirement).where(PasskeyRequirement.user_id == user.id))


def require_passkey(user: User, keep: UserSession | None) -> list[str] | None:
    """Require a passkey after the password; return what add() returns, or None if the account has no passkey."""
    if "passkey" not in methods(user) or passkey_requirement(user):
        return None
    return add(user, PasskeyRequirement(user_id=user.id), keep)


def stop_requiring_passkey(user: User, keep: UserSession | None) -> bool:
    """Stop requiring a passkey; return False if none was required, or another request was faster."""
    requirement = passkey_requirement(user)
    return requirement is not None and remove(user, requirement, keep)


def add(user: User, factor: Any, keep: UserSession | None) -> list[str] | None:
    """Add a factor, revoke all sessions but `keep` and notify the user.

    Return the recovery codes that are created with the first factor, or an empty list; None if another request was
    faster.
    """
    is_first, name = not is_on(user), _name(factor)
    if not _change(user, since=user.two_factor_enabled_at or clock.now()):
        return None
    event = audit.record(user, AuditAction.TWO_FACTOR_ON, factor=name)
    credentials.add(event, factor)
    sessions.revoke_all(user, keep, reason=LogoutReason.TWO_FACTOR_CHANGED)
    if is_first:
        devices.forget_all(user, keep)
    email = Email.TWO_FACTOR_ON if is_first else Email.TWO_FACTOR_ADDED
    outbox.enqueue(email, user, event=event, factor=name)
    return recovery_codes.make(user, event) if is_first else []


def remove(user: User, factor: Any, keep: UserSession | None) -> bool:
    """Remove a factor, revoke all sessions but `keep` and notify the user; return False if another request was faster.

    With the last factor, the recovery codes are removed, too.
    """
    is_last, name = _count(user) == 1, _name(factor)
    if not _change(user, since=None if is_last else user.two_factor_enabled_at):
        return False
    event = audit.record(user, AuditAction.TWO_FACTOR_OFF, factor=name)
    credentials.remove(event, type(factor), type(factor).id == factor.id)
    if is_last:
        credentials.remove(event, RecoveryCode, RecoveryCode.user_id == user.id)
    sessions.revoke_all(user, keep, reason=LogoutReason.TWO_FACTOR_CHANGED)
    outbox.enqueue(Email.TWO_FACTOR_OFF, user, event=event, factor=name, is_last=is_last)
    return True


def reset(user: User) -> None:
    """Turn two-factor authentication off and remove all passkeys, on an administrator's request."""
    user.lock()
    event = audit.record(user, AuditAction.TWO_FACTOR_RESET)
    kinds: list[type[Any]] = [RecoveryCode, Passkey, *FACTORS.values()]
    for model in kinds:
        credentials.remove(event, model, model.user_id == user.id)
    user.two_factor_enabled_at = None
    user.password_version = User.password_version + 1
    sessions.revoke_all(user, reason=LogoutReason.TWO_FACTOR_CHANGED)
    outbox.enqueue(Email.TWO_FACTOR_OFF, user, event=event, factor="", is_last=True)


def was_on(user: User, before: int) -> bool:
    """Return whether the account had a factor before this audit event, which it has or "This wasn't me" restores."""
    if not switches.is_on("two_factor"):
        return False
    old = [(model, or_(model.event_id.is_(None), model.event_id < before)) for model in _in_use(FACTORS).values()]
    if any(db.session.execute(select(*(exists().where(model.user_id == user.id, was) for model, was in old))).one()):
        return True
    tables = [model.__tablename__ for model in _in_use(FACTORS).values()]
    removed = (RemovedCredential.user_id == user.id, RemovedCredential.event_id >= before)
    rows = db.session.scalars(select(RemovedCredential.row).where(*removed, RemovedCredential.table.in_(tables)))
    return any((row.get("event_id") or 0) < before for row in rows)


def follow_factors(user: User) -> None:
    """Turn two-factor authentication on if the account has a factor, and off otherwise, after a restoration."""
    required = exists().where(PasskeyRequirement.user_id == user.id)
    if not switches.is_on("passkey") and user.two_factor_enabled_at and db.session.scalar(select(required)):
        return  # a login still needs a recovery code
    if "passkey" not in methods(user):  # the user could not meet the requirement
        rows_changed(delete(PasskeyRequirement).where(PasskeyRequirement.user_id == user.id))
    user.two_factor_enabled_at = (user.two_factor_enabled_at or clock.now()) if _count(user) else None


def _name(factor: Any) -> str:
    return next(name for name, model in FACTORS.items() if isinstance(factor, model))


def _in_use(factors: dict[str, type[Any]]) -> dict[str, type[Any]]:
    return {name: model for name, model in factors.items() if name != "passkey" or switches.is_on(name)}


def _change(user: User, since: Any) -> bool:
    """Turn two-factor authentication on or off, which restarts pending logins; return False if a request was faster."""
    return user.consume(TokenPurpose.RESET, password_version=user.password_version + 1, two_factor_enabled_at=since)


def _count(user: User) -> int:
    counts = [
        select(func.count()).where(model.user_id == user.id).scalar_subquery() for model in _in_use(FACTORS).values()
    ]
    return sum(db.session.execute(select(*counts)).one())

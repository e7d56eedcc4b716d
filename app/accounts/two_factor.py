"""The second factor: authenticator apps here, other kinds in modules of their own; what all have in common is here.

The first factor that is added turns the second step on, with recovery codes; the last one that is removed turns it off.
"""

import re
from datetime import timedelta
from hmac import compare_digest
from typing import Any

import pyotp
from sqlalchemy import delete, exists, func, select, update

from app import audit, clock, mail, tokens
from app.accounts import recovery_codes, sessions
from app.extensions import Model, db, rows_changed
from app.models import Authenticator, Passkey, RecoveryCode, User, UserSession
from config import setting

# What counts as a second factor: the table of each kind, with user_id and created_at; and its words in letters.
FACTORS: dict[str, type[Any]] = {"authenticator": Authenticator, "passkey": Passkey}
IN_WORDS = {"authenticator": "an authenticator app", "passkey": "a passkey"}

STEP = 30  # seconds that a code of an app is good for (RFC 6238)
DRIFT = 1  # steps that a clock may be ahead or behind
UNDO_WITHIN = timedelta(seconds=tokens.LIFETIMES["undo_factor"])


def is_on(user: User) -> bool:
    """Say whether a second step is asked for when this person signs in."""
    return user.second_factor_at is not None


def is_missing(user: User) -> bool:
    """Say whether the account must have a second factor and has none."""
    concerned = {"everybody": True, "admins": user.is_admin}.get(setting("SECOND_FACTOR_FOR"), False)
    return concerned and not is_on(user)


def methods(user: User) -> list[str]:
    """Return the kinds of factor that an account has."""
    has = [exists().where(model.user_id == user.id) for model in FACTORS.values()]
    return [name for name, there in zip(FACTORS, db.session.execute(select(*has)).one(), strict=True) if there]


# Adding and removing a factor of any kind


def add(user: User, name: str, factor: Any, keep: UserSession, letter: str = "second_factor_added") -> list[str] | None:
    """Add a factor, sign out every browser but `keep`, and tell the owner, by `letter` if it is not the first.

    Return the recovery codes that come with the first one, else no codes; None if the account was changed elsewhere at
    this moment.
    """
    is_first = not is_on(user)
    if not _change(user, since=user.second_factor_at or clock.now()):
        return None
    db.session.add(factor)
    db.session.flush()
    sessions.end_others(user, keep, reason="second_factor_changed")
    audit.record(user, "second_factor_on", factor=name)
    name_of_letter = "second_factor_on" if is_first else letter
    mail.send(name_of_letter, user, claims={"factor": factor.id}, factor=IN_WORDS[name])
    return recovery_codes.make(user) if is_first else []


def remove(user: User, name: str, factor: Model, keep: UserSession | None) -> bool:
    """Remove a factor, sign out every browser but `keep`, and tell the owner; say whether nobody was faster."""
    is_last = _count(user) == 1
    if not _change(user, since=None if is_last else user.second_factor_at):
        return False
    db.session.delete(factor)
    if is_last:
        _delete(user, RecoveryCode)
    sessions.end_others(user, keep, reason="second_factor_changed")
    audit.record(user, "second_factor_off", factor=name)
    mail.send("second_factor_off", user, factor=IN_WORDS[name], is_last=is_last)
    return True


def remove_all(user: User) -> None:
    """Remove all factors, and the recovery codes with them."""
    user.second_factor_at = None
    _delete(user, RecoveryCode, *FACTORS.values())


def reset(user: User) -> None:
    """Remove all of it on an operator's word, sign out every browser, and tell the owner."""
    remove_all(user)
    user.password_version = User.password_version + 1
    sessions.end_others(user, reason="second_factor_changed")
    audit.record(user, "second_factor_reset")
    mail.send("second_factor_off", user, factor="all that the second step was done with", is_last=True)


# "This was not me": the letter about the first factor can undo it for three days


def find_to_undo(token: str) -> User | None:
    """Return whose second step this token can turn off: it was turned on by that letter's cause, less than 72 h ago."""
    claims = tokens.read("undo_factor", token)
    user = claims and db.session.get(User, claims.subject)
    if not user or not user.second_factor_at or not user.owns("undo_factor", claims):
        return None
    return user if clock.is_within(user.second_factor_at, UNDO_WITHIN) else None


def undo(user: User, **changes: Any) -> bool:
    """Turn the second step off and make `changes`; say whether nobody was faster."""
    if not user.spend("undo_factor", second_factor_at=None, **changes):
        return False
    remove_all(user)
    audit.record(user, "second_factor_undone")
    return True


# Authenticator apps


def new_secret() -> str:
    """Return a secret for an app: 160 bits, as 32 characters of base32."""
    return pyotp.random_base32()


def uri(user: User, secret: str) -> str:
    """Return what an app reads from the QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=user.email, issuer_name=setting("APP_NAME"))


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
    encrypted = tokens.encrypt("authenticator", secret)
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
    secret = app and tokens.decrypt("authenticator", app.secret)
    if not app or not secret:
        return False
    encrypted = tokens.encrypt("authenticator", secret)
    for step in _steps(secret, code):
        unused = (Authenticator.id == app.id, Authenticator.last_step < step)
        if rows_changed(update(Authenticator).where(*unused).values(last_step=step, secret=encrypted)):
            return True
    return False


def _change(user: User, since: Any) -> bool:
    """Have the second step since then, or not at all: who is half-way in starts anew, and of two at once one is."""
    return user.spend("reset", password_version=user.password_version + 1, second_factor_at=since)


def _count(user: User) -> int:
    counts = [select(func.count()).where(model.user_id == user.id).scalar_subquery() for model in FACTORS.values()]
    return sum(db.session.execute(select(*counts)).one())


def _delete(user: User, *models: type[Any]) -> None:
    for model in models:
        rows_changed(delete(model).where(model.user_id == user.id))


def _steps(secret: str, code: str) -> list[int]:
    """The steps about now whose code this is, the earliest first."""
    totp = pyotp.TOTP(secret)
    now = totp.timecode(clock.now())
    return [
        step
        for step in range(now - DRIFT, now + DRIFT + 1)
        if compare_digest(totp.generate_otp(step).encode(), code.encode())
    ]

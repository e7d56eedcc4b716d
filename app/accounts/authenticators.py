"""Authenticator apps: add and remove them, and use their codes. An account has at most one."""

import re
from hmac import compare_digest

import pyotp
from flask import current_app
from flask_babel import lazy_gettext as _l
from sqlalchemy import select, update

from app import clock
from app.accounts import two_factor
from app.extensions import db, rows_changed
from app.models import Authenticator, User, UserSession
from app.security import signing

STEP = 30  # seconds for which an app shows a code (RFC 6238)
DRIFT = 1  # steps that the clock of a phone may be ahead or behind

WRONG_CODE = _l("This code is incorrect. Try the next one, and check that your phone's clock is right.")


def new_secret() -> str:
    """Return a random secret for an app: 160 bits, as 32 characters of base32."""
    return pyotp.random_base32()


def uri(user: User, secret: str) -> str:
    return pyotp.TOTP(secret).provisioning_uri(name=user.email, issuer_name=current_app.config["APP_NAME"])


def find(user: User) -> Authenticator | None:
    return db.session.scalar(select(Authenticator).where(Authenticator.user_id == user.id))


def add(user: User, secret: str, code: str, keep: UserSession | None) -> list[str] | None:
    """Add the app if it shows a right code; return what two_factor.add() returns.

    Raises:
        ValueError: the code is wrong. The message is for the user.
    """
    steps = _steps(secret, re.sub(r"\s", "", code))
    if not steps:
        raise ValueError(WRONG_CODE)
    app = Authenticator(user_id=user.id, secret=signing.encrypt("authenticator", secret), last_step=steps[-1])
    return two_factor.add(user, app, keep)


def remove(user: User, keep: UserSession | None) -> bool:
    """Remove the app; return False if there is none, or another request was faster."""
    app = find(user)
    return app is not None and two_factor.remove(user, app, keep)


def use_code(user: User, code: str) -> bool:
    """Use a code; return whether the app shows it, and neither it nor a later one was used before.

    A conditional UPDATE decides. It also encrypts the secret with the current key.
    """
    app = find(user)
    secret = app and signing.decrypt("authenticator", app.secret)
    if not app or not secret:
        return False
    encrypted = signing.encrypt("authenticator", secret)
    for step in _steps(secret, code):
        unused = (Authenticator.id == app.id, Authenticator.last_step < step)
        if rows_changed(update(Authenticator).where(*unused).values(last_step=step, secret=encrypted)):
            return True
    return False


def _steps(secret: str, code: str) -> list[int]:
    """Return the time steps around now whose code this is, the earliest first."""
    totp = pyotp.TOTP(secret)
    now = totp.timecode(clock.now())
    steps = range(now - DRIFT, now + DRIFT + 1)
    return [step for step in steps if compare_digest(totp.generate_otp(step).encode(), code.encode())]

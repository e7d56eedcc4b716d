"""Authenticator apps: set up, removed, and their codes checked. An account has one at most."""

import re
from hmac import compare_digest

import pyotp
from flask import current_app
from sqlalchemy import select, update

from app import clock
from app.accounts import two_factor
from app.extensions import db, rows_changed
from app.models import Authenticator, User, UserSession
from app.security import signing

STEP = 30  # seconds that an app shows a code (RFC 6238)
DRIFT = 1  # steps that the clock of a phone may be ahead or behind

WRONG_CODE = "That code is not right. Try the next one, and check that the clock of your phone is right."


def new_secret() -> str:
    """Return a secret for an app: 160 bits, as 32 characters of base32."""
    return pyotp.random_base32()


def uri(user: User, secret: str) -> str:
    """Return what an app reads from the QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=user.email, issuer_name=current_app.config["APP_NAME"])


def find(user: User) -> Authenticator | None:
    """Return the app of an account, or None."""
    return db.session.scalar(select(Authenticator).where(Authenticator.user_id == user.id))


def add(user: User, secret: str, code: str, keep: UserSession | None) -> list[str] | None:
    """Add the app that shows the code of `secret`, and return what two_factor.add() does.

    Raises:
        ValueError: the code is wrong. The message is for the user.
    """
    steps = _steps(secret, re.sub(r"\s", "", code))
    if not steps:
        raise ValueError(WRONG_CODE)
    encrypted = signing.encrypt("authenticator", secret)
    app = Authenticator(user_id=user.id, secret=encrypted, last_step=steps[-1])
    return two_factor.add(user, app, keep)


def remove(user: User, keep: UserSession | None) -> bool:
    """Remove the app, and return what two_factor.remove() does; False if there is none."""
    app = find(user)
    return app is not None and two_factor.remove(user, app, keep)


def use_code(user: User, code: str) -> bool:
    """Record the use of a code, and return whether the app shows it and neither it nor a later one was used.

    One conditional UPDATE decides. It also encrypts the secret with the newest key.
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
    """Return the steps around now that have this code, the earliest first."""
    totp = pyotp.TOTP(secret)
    now = totp.timecode(clock.now())
    around = range(now - DRIFT, now + DRIFT + 1)
    return [step for step in around if compare_digest(totp.generate_otp(step).encode(), code.encode())]

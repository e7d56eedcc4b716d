"""Usernames: which are allowed, proposals for new accounts, and changes."""

import re
import secrets
import unicodedata

from flask import current_app

from app.accounts import reserved_names
from app.extensions import db
from app.models import AuditAction, User
from app.models.logins import check_username
from app.security import audit


def check(username: str, by_administrator: bool = False) -> None:
    """Check that a username is allowed. Only administrators may use reserved names.

    Raises:
        ValueError: it is not; the message says why.
    """
    check_username(username)
    if not by_administrator and reserved_names.is_reserved(username, current_app.config["APP_NAME"]):
        raise ValueError("This name is reserved. Choose another.")


def propose(*wishes: str) -> str:
    """Return a free username like the first wish that makes an allowed one, with digits appended if needed."""
    plain = (unicodedata.normalize("NFKD", wish).encode("ascii", "ignore").decode() for wish in wishes)
    words = (re.sub(r"[^A-Za-z0-9_-]+", ".", wish).lstrip("0123456789._-").rstrip(".") for wish in plain)
    base = next((word.lower()[:50] for word in words if len(word) > 1 and _is_allowed(word[:50])), "member")
    candidates = [base, *(f"{base}{number}" for number in range(2, 6)), f"{base}{secrets.randbelow(10**6):06}"]
    return next((name for name in candidates if _is_allowed(name) and User.find(name) is None), candidates[-1])


def change(user: User, username: str) -> None:
    """Change the username.

    Raises:
        IntegrityError: another account has it.
    """
    old, user.username = user.username, username
    db.session.flush()
    audit.record(user, AuditAction.USERNAME_CHANGED, old=old, new=username)


def _is_allowed(username: str) -> bool:
    try:
        check(username)
    except ValueError:
        return False
    return True

"""Passwords: which will do, and whose is this one."""

import re

from zxcvbn import zxcvbn

from app.models import User
from app.models.user import check_password
from config import setting

MAX_LENGTH = 1024  # characters
SCORED_LENGTH = 32  # characters; it may take seconds over more, and who begins well need not be scored to the end


def authenticate(login: str, password: str) -> User | None:
    """Return the account with this address or username and password. An unknown name costs the same work."""
    user = User.find(login)
    if not check_password(user.password_hash if user else None, password):
        return None
    if user:
        user.renew_hash(password)
    return user


def check_new(password: str, *words: str | None) -> None:
    """Raise ValueError, with a reason in words, if a new password won't do.

    Length and guessability are all that counts: no rules on kinds of characters (NIST SP 800-63B-4, 3.1.1.2).
    `words` are the person's own, which others would try first.
    """
    shortest = setting("PASSWORD_MIN_LENGTH")
    if len(password) < shortest:
        raise ValueError(f"Use at least {shortest} characters.")
    if len(password) > MAX_LENGTH:
        raise ValueError(f"Use at most {MAX_LENGTH} characters.")
    own = [part for word in [*words, setting("APP_NAME")] if word for part in _parts(word)]
    verdict = zxcvbn(password[:SCORED_LENGTH], user_inputs=own)
    if verdict["score"] < 2:
        reason = verdict["feedback"]["warning"] or "Add another word or two. Uncommon words are better."
        raise ValueError(f"This would be guessed soon. {reason.rstrip('.')}.")


def _parts(word: str) -> list[str]:
    """The words in a name or an address: all of it, each part, and each part without its digits."""
    parts = [word, *re.split(r"[^a-zA-Z0-9]+", word)]
    return [part for found in parts for part in {found, found.strip("0123456789")} if len(part) > 2]

"""Check the length and the strength of new passwords."""

import re
import threading

from flask import current_app

from app.accounts import common_passwords
from app.security.hashing import MAX_PASSWORD_LENGTH

SCORED_LENGTH = 32  # characters; scoring time grows with the square of the length
MIN_SCORE = 2  # zxcvbn: more than 10^6 guesses
SCORING = threading.Lock()  # zxcvbn keeps the user's words in a module variable


def check(password: str, *words: str | None) -> None:
    """Check length and strength of a new password; there are no rules on kinds of characters.

    NIST SP 800-63B-4, 3.1.1.2.

    Args:
        words: words of the user's own, such as the username, which an attacker would try first.

    Raises:
        ValueError: the message says why the password is refused.
    """
    shortest = current_app.config["PASSWORD_MIN_LENGTH"]
    if len(password) < shortest:
        raise ValueError(f"Use at least {shortest} characters.")
    if len(password) > MAX_PASSWORD_LENGTH:
        raise ValueError(f"Use at most {MAX_PASSWORD_LENGTH} characters.")
    if common_passwords.is_common(password):
        raise ValueError("This would be guessed soon. Many people use such a phrase or pattern.")
    own_words = filter(None, [*words, current_app.config["APP_NAME"]])
    if reason := _weakness(password, [part for word in own_words for part in _parts(word)]):
        raise ValueError(f"This would be guessed soon. {reason.rstrip('.')}.")


def _weakness(password: str, words: list[str]) -> str | None:
    """Return why the password is easily guessed, or None if it is not. Scoring takes a few milliseconds."""
    from zxcvbn import zxcvbn  # its word lists take 12 MiB, which most commands do not need

    scored = common_passwords.with_few_substitutions(password[:SCORED_LENGTH])
    with SCORING:
        result = zxcvbn(scored, user_inputs=words)
    if result["score"] >= MIN_SCORE:
        return None
    return result["feedback"]["warning"] or "Add another word or two. Uncommon words are better."


def _parts(word: str) -> list[str]:
    """Split a name or an address: return all of it, each part, and each part without its digits."""
    parts = [word, *re.split(r"[^a-zA-Z0-9]+", word)]
    return [part for found in parts for part in {found, found.strip("0123456789")} if len(part) > 2]

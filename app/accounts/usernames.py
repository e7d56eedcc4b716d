"""Usernames: check, propose and change them."""

import re
import secrets
import unicodedata
from functools import lru_cache

from flask import current_app
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from app.extensions import db
from app.models import AuditAction, User
from app.models.logins import check_username
from app.security import audit
from app.switches import is_on

RESERVED = frozenset(
    # staff, and names that seem official
    "admin administrator admins bot community contact feedback helpdesk help legal manager management mod moderation "
    "moderator moderators official operator ops owner press root security service staff superuser support sysadmin "
    "system team verified "
    # RFC 2142, and addresses that certificate authorities and mail servers trust
    "abuse hostmaster info is it mis marketing noc postmaster sales ssladmin ssladministrator sslwebmaster trouble "
    "webmaster donotreply mailerdaemon nobody noreply bounce bounces notification notifications "
    # hosts
    "autoconfig autodiscover broadcasthost ftp imap isatap localdomain localhost mail news pop pop3 smtp usenet uucp "
    "webmail wpad www "
    # pages, and words with a meaning for programs
    "account accounts api auth authorize billing blog copyright dashboard dev docs download downloads error faq home "
    "license login logout me myaccount oauth password pay payment payments preferences pricing privacy profile "
    "register secure settings signin signout signup ssl static status store subscribe terms tos test user users "
    "anonymous deleted false guest nil none null true undefined unknown".split()
)
LOOK_ALIKES = {  # a regular expression for each character
    **{character: f"[{character}{character.upper()}]" for character in "abcdefghijklmnopqrstuvwxyz"},
    **{"a": "[aA4]", "b": "[bB8]", "e": "[eE3]", "g": "[gG69q]", "i": "[iI1l]", "l": "[lLI1]", "o": "[oO0]"},
    **{"s": "[sS5]", "t": "[tT7]", "z": "[zZ2]", "d": "(?:[dD]|cl)", "m": "(?:[mM]|rn)", "w": "(?:[wW]|vv)"},
}
SEPARATORS = re.compile(r"[._-]+")
HINT = _l("Start with a letter. Use a-z, digits, dots, dashes, and underscores.")  # below the field


def check(username: str, by_administrator: bool = False) -> None:
    """Raise ValueError, with a message for the user, if a username is invalid or one of CHECKS refuses it.

    An administrator may use reserved names.
    """
    check_username(username)
    for rule in CHECKS:
        if not (by_administrator and rule is check_reserved):
            rule(username)


def check_reserved(username: str) -> None:
    if is_reserved(username, current_app.config["APP_NAME"]):
        raise ValueError(_("This username is reserved. Choose another."))


def propose(*wishes: str) -> str:
    """Return a free username from the first of these wishes that yields an allowed one, with digits if needed."""
    if not is_on("username"):
        return opaque()
    plain = (unicodedata.normalize("NFKD", wish).encode("ascii", "ignore").decode() for wish in wishes)
    words = (re.sub(r"[^A-Za-z0-9_-]+", ".", wish).lstrip("0123456789._-").rstrip(".") for wish in plain)
    base = next((word.lower()[:50] for word in words if len(word) > 1 and _is_allowed(word[:50])), "member")
    candidates = [base, *(f"{base}{number}" for number in range(2, 6)), f"{base}{secrets.randbelow(10**6):06}"]
    return next((name for name in candidates if _is_allowed(name) and User.find(name) is None), candidates[-1])


def opaque() -> str:
    """Return a random username for an account that is known by its email address, of which it reveals nothing."""
    return f"user-{secrets.token_hex(8)}"


def change(user: User, username: str) -> None:
    """Change the username; raise IntegrityError if another account has the new one."""
    old, user.username = user.username, username
    db.session.flush()
    audit.record(user, AuditAction.USERNAME_CHANGED, old=old, new=username)


def _is_allowed(username: str) -> bool:
    try:
        check(username)
    except ValueError:
        return False
    return True


def is_reserved(username: str, app_name: str) -> bool:
    """Return whether a username looks like reserved words or the application's name."""
    pattern = _pattern(app_name)
    words = [word for word in SEPARATORS.split(username) if word]
    return bool(pattern.fullmatch("".join(words))) or all(pattern.fullmatch(word) for word in words)


@lru_cache(maxsize=8)
def _pattern(app_name: str) -> re.Pattern[str]:
    plain = unicodedata.normalize("NFKD", app_name).encode("ascii", "ignore").decode().lower()
    words = RESERVED | {re.sub("[^a-z0-9]", "", plain)} - {""}
    patterns = {word: "".join(LOOK_ALIKES.get(character, character) for character in word) for word in words}
    # admin reserves admin1, but me does not reserve me1
    return re.compile("|".join(pattern + (r"\d*" if len(word) > 3 else "") for word, pattern in patterns.items()))


# Each raises ValueError, with a message for the user. An application can add its own, and remove ours.
CHECKS = [check_reserved]

"""Ask Pwned Passwords, or a mirror, which passwords are known from data breaches.

It gets only the first five digits of a SHA-1 hash, and pads its answer, so that no size reveals them on the way:
https://haveibeenpwned.com/API/v3#PwnedPasswords
"""

import logging
import re
import unicodedata
from datetime import timedelta
from hashlib import sha1
from typing import Any

from flask import current_app
from flask_babel import gettext as _

from app import clock
from app.security.remote import fetch

TIMEOUT = 2  # seconds for the whole answer
MAX_ANSWER = 1024 * 1024  # bytes
RETRY_AFTER = timedelta(seconds=10)  # a failed service is not asked again so soon, so that few users wait for it
ANSWER = re.compile(r"([0-9A-F]{35}:\d{1,12}\s*)+")

log = logging.getLogger(__name__)


def check(password: str, own_words: object) -> None:
    if is_known(password):
        raise ValueError(_("This password has appeared in a data breach elsewhere. Choose a different one."))


def is_known(password: str) -> bool:
    """Return whether a password is known: never without PWNED_PASSWORDS_URL, nor while the service fails."""
    if not current_app.config["PWNED_PASSWORDS_URL"]:
        return False
    service: dict[str, Any] = current_app.extensions.setdefault("pwned_passwords", {"unchecked": 0})
    reason = "it failed just now"
    if service.get("retry_at", clock.now()) <= clock.now():
        text = unicodedata.normalize("NFC", password).encode(errors="replace")
        digest = sha1(text, usedforsecurity=False).hexdigest().upper()
        try:
            return digest[5:] in suffixes(digest[:5])
        except Exception as error:
            service["retry_at"] = clock.now() + RETRY_AFTER
            reason = f"{type(error).__name__} {getattr(error, 'code', '')}".strip()
    service["unchecked"] += 1
    log.error("Pwned Passwords fails (%s). Unchecked passwords in this process: %s", reason, service["unchecked"])
    return False


def suffixes(prefix: str) -> set[str]:
    """Return how the known hashes with this prefix go on. Raises an exception within TIMEOUT if the service fails."""
    url, headers = current_app.config["PWNED_PASSWORDS_URL"] + prefix, {"Add-Padding": "true", "User-Agent": "flasky"}
    answer = fetch(url, TIMEOUT, MAX_ANSWER, headers=headers).decode().upper()
    if not ANSWER.fullmatch(answer):
        raise ValueError("malformed")
    lines = (line.split(":") for line in answer.split())
    return {suffix for suffix, count in lines if int(count)}  # padding counts 0

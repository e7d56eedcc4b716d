"""Password hashes of other applications, which `flask users import` accepts. A login replaces each of them by ours.

Werkzeug verifies its own hashes, and Django's pbkdf2 and scrypt in its own notation. libpass verifies the others.
"""

import base64
import hmac
import logging
import math
import re
import unicodedata
from importlib.util import find_spec
from typing import NamedTuple

from flask import current_app

SALTED = "flask-security"  # precedes a hash of Flask-Security, which hashes an HMAC of the password


class Scheme(NamedTuple):
    limit: int  # of the cost, the product of the pattern's groups: one or two seconds of a core, and 512 MiB
    libraries: tuple[str, ...] = ()


SCHEMES = {
    r"pbkdf2:sha(?:1|256|512):(\d{1,9})\$[^$]+\$[0-9a-f]+": Scheme(2_500_000),
    r"scrypt:(\d{1,9}):(\d{1,9}):(\d{1,9})\$[^$]+\$[0-9a-f]+": Scheme(2**20),
    r"\$argon2(?:i|d|id)\$v=19\$m=(\d{1,9}),t=(\d{1,9}),p=\d{1,2}\$[^$]+\$[^$]+": Scheme(2**19, ("passlib", "argon2")),
    r"(?:bcrypt_sha256\$)?\$2[aby]\$(?P<log>\d\d)\$[./\w]{53}": Scheme(2**14, ("passlib", "bcrypt")),
    r"\$bcrypt-sha256\$v=2,t=2b,r=(?P<log>\d\d?)\$[^$]{22}\$[^$]{31}": Scheme(2**14, ("passlib", "bcrypt")),
    r"\$pbkdf2(?:-sha256|-sha512)?\$(\d{1,9})\$[^$]+\$[^$]+": Scheme(2_500_000, ("passlib",)),
    r"\$[56]\$(?:rounds=(\d{1,9})\$)?[^$]{0,16}\$[^$]+": Scheme(1_000_000, ("passlib",)),
}
DIGITS = {"sha1": 40, "sha256": 64, "sha512": 128, "scrypt": 128}  # of the digests in Werkzeug's hashes
log = logging.getLogger(__name__)
HANDLERS = "argon2 bcrypt bcrypt_sha256 django_bcrypt_sha256 pbkdf2_sha1 pbkdf2_sha256 pbkdf2_sha512 sha256_crypt"


def accept(stored: str) -> str:
    """Return a hash as it is stored here; raise ValueError, with the reason, if logins could not verify it in time."""
    hashed = _from_django(stored)
    matches = [(re.fullmatch(pattern, hashed), scheme) for pattern, scheme in SCHEMES.items()]
    match, scheme = next(((match, scheme) for match, scheme in matches if match), (None, None))
    if not match or not scheme:
        raise ValueError(f"The password hash {stored[:12]!r}… is of an unknown kind.")
    cost = math.prod(int(factor) for factor in match.groups() if factor)
    is_costly = (2**cost if "log" in match.groupdict() else cost) > scheme.limit
    if is_costly and not hashed.startswith(f"{current_app.config['PASSWORD_HASH']}$"):
        raise ValueError(f"The password hash {stored[:12]!r}… would take too long to verify.")
    if missing := [library for library in scheme.libraries if not find_spec(library)]:
        raise ValueError(f"Password hashes like {stored[:12]!r}… need {' and '.join(missing)}: see docs/importing.md.")
    return f"{SALTED}{hashed}" if current_app.config["SECURITY_PASSWORD_SALT"] and hashed[0] == "$" else hashed


def problem(stored: str) -> str | None:
    """Return why logins can't verify a stored hash; None if they can."""
    hashed = stored.removeprefix(SALTED)
    if hashed != stored and not current_app.config["SECURITY_PASSWORD_SALT"]:
        return "SECURITY_PASSWORD_SALT is not set."
    try:
        accept(hashed)
    except ValueError as error:
        return str(error)
    known = re.match(r"(?:pbkdf2:)?(sha\d+|scrypt):", hashed)
    is_whole = not known or len(hashed.rpartition("$")[2]) == DIGITS[known[1]]
    return None if is_whole else f"The password hash {stored[:12]!r}… is damaged."


def unsalted(stored: str, password: str) -> tuple[str, str]:
    """Return a stored hash and what it is the hash of: the password, or Flask-Security's HMAC of it."""
    if not stored.startswith(SALTED):
        return stored, password
    salt, normal = current_app.config["SECURITY_PASSWORD_SALT"], unicodedata.normalize("NFKD", password)
    digest = hmac.digest(salt.encode(), normal.encode(), "sha512")
    return stored.removeprefix(SALTED), base64.b64encode(digest).decode()


def is_ours(stored: str) -> bool:
    """Return whether Werkzeug can verify a hash."""
    return not stored.startswith(("$", "bcrypt_sha256$"))


def verify(stored: str, password: str) -> bool:
    """Return whether `stored` is the hash of `password`; raise ValueError if it is malformed or a library is gone."""
    secret = password.encode()
    try:
        from passlib.context import CryptContext  # installed with the first import of such hashes

        context = CryptContext([*HANDLERS.split(), "sha512_crypt"])
        return bool(context.verify(secret[:72] if stored.startswith("$2") else secret, stored))  # bcrypt reads 72 bytes
    except (ImportError, RuntimeError) as error:  # passlib's MissingBackendError is a RuntimeError
        log.error("A password can't be verified: %s. See docs/importing.md.", error)
        raise ValueError("a library is missing") from error


def _from_django(stored: str) -> str:
    kind, _, rest = stored.partition("$")
    parts = rest.split("$")
    try:
        if kind in {"pbkdf2_sha256", "pbkdf2_sha1"}:
            rounds, salt, digest = parts
            return f"{kind.replace('_', ':')}:{rounds}${salt}${base64.b64decode(digest).hex()}"
        if kind == "scrypt":
            n, salt, r, p, digest = parts
            return f"scrypt:{n}:{r}:{p}${salt}${base64.b64decode(digest).hex()}"
    except ValueError:
        return stored
    return {"argon2": f"${rest}", "bcrypt": rest}.get(kind, stored)

"""Signed, dated, purpose-bound claims: JWS compact, HS256; codes; and encryption. No other file has keys.

A token says whose it is, what it is for, until when, and a fingerprint of the state that it will change. Whoever spends
it compares that state, so a token works once and dies when what it speaks of changes.
"""

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, cast

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from flask import current_app
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import Key, KeySet, OctKey

from app import clock

LIFETIMES = {  # seconds
    "confirm": 3600,
    "reset": 3600,
    "change_email": 3600,
    "secure_account": 7 * 24 * 3600,
    "magic_link": 15 * 60,
    "reauthentication": 15 * 60,  # a code only
    "verify_device": 15 * 60,  # a code only
    "doctor": 60,  # nobody's: flask doctor asks the server with it
}
CODE_DIGITS = 8
LONGEST = 366 * 24 * 3600  # seconds
MAX_LENGTH = 2048  # characters


@dataclass(frozen=True)
class Claims:
    """What a token says, its signature verified."""

    subject: int
    state: str
    issued_at: int
    expires_at: int
    extra: dict[str, Any] = field(default_factory=dict)


def issue(purpose: str, subject: int, state: str, lifetime: int | None = None, **extra: Any) -> str:
    """Sign a token for `subject`, good for `lifetime` seconds (the purpose's own if None)."""
    now = int(clock.now().timestamp())
    payload = {
        "purpose": purpose,
        "aud": _audience(),
        "sub": subject,
        "state": state,
        "iat": now,
        "exp": now + (LIFETIMES[purpose] if lifetime is None else lifetime),
        **extra,
    }
    key = _keys(purpose).keys[0]
    header = {"alg": "HS256", "kid": key.kid, "typ": "JWS"}
    return jws.serialize_compact(header, json.dumps(payload, separators=(",", ":")), key, algorithms=["HS256"])


def read(purpose: str, token: str, max_age: int | None = None, even_expired: bool = False) -> Claims | None:
    """Return the claims of a token of this purpose, or None; why it failed is nobody's business.

    `max_age` (seconds) can only shorten a token's life. `even_expired` tells whose an old token was.
    """
    if not isinstance(token, str) or len(token) > MAX_LENGTH:
        return None
    keys = _keys(purpose)
    try:
        signed = jws.deserialize_compact(token, keys, algorithms=["HS256"])
        claims = _claims(purpose, signed.headers(), json.loads(signed.payload))
    except (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None  # joserfc lets the last five out on hostile input
    now = clock.now().timestamp()
    if claims.issued_at > now + clock.SKEW.total_seconds() or claims.expires_at > claims.issued_at + LONGEST:
        return None
    age_left = claims.expires_at - now
    if max_age is not None:
        age_left = min(age_left, claims.issued_at + max_age - now)
    return claims if age_left > 0 or even_expired else None


def code(purpose: str, about: str) -> str:
    """Return the digits that stand for `about` in an email: the same each time, and nobody else can work them out."""
    return _digits(_keys(f"code:{purpose}").keys[0], about)


def is_code(purpose: str, about: str, typed: str) -> bool:
    """Say whether these are the digits that stand for `about`, by any of the keys."""
    keys = _keys(f"code:{purpose}").keys
    return any(hmac.compare_digest(_digits(key, about).encode(), typed.encode()) for key in keys)


def encrypt(purpose: str, text: str) -> str:
    """Make `text` unreadable for who has the database and no key."""
    return _ciphers(purpose, _secret_keys()).encrypt(text.encode()).decode()


def decrypt(purpose: str, text: str) -> str | None:
    """Return what was encrypted for this purpose, by any of the keys; None if it was not."""
    try:
        return _ciphers(purpose, _secret_keys()).decrypt(text).decode()
    except InvalidToken:
        return None


def renewed(purpose: str, text: str) -> str | None:
    """Return what an earlier key encrypted, encrypted by the newest; None if there is nothing to do, or no key."""
    try:
        _ciphers(purpose, _secret_keys()[:1]).decrypt(text)
        return None
    except InvalidToken:
        secret = decrypt(purpose, text)
        return secret and encrypt(purpose, secret)


def fingerprint(*state: object) -> str:
    """Sum up `state` in 22 characters."""
    return hashlib.sha256(json.dumps(state, default=str).encode()).hexdigest()[:22]


def _claims(purpose: str, header: dict[str, Any], payload: dict[str, Any]) -> Claims:
    if "kid" not in header or header.keys() - {"alg", "kid", "typ"}:
        raise ValueError("a header that we do not write")
    if payload.pop("purpose") != purpose or payload.pop("aud") != _audience():
        raise ValueError("of another purpose or place")
    subject, issued_at, expires_at = (payload.pop(name) for name in ("sub", "iat", "exp"))
    if any(type(number) is not int for number in (subject, issued_at, expires_at)):
        raise ValueError("not a number")
    if not 0 < subject < 2**31:
        raise ValueError("no account's number")
    return Claims(subject, str(payload.pop("state")), issued_at, expires_at, payload)


def _audience() -> str:
    """Sum up PUBLIC_URL, so that a token is good there alone and no longer for a long one."""
    return fingerprint(current_app.config["PUBLIC_URL"])[:11]


def _digits(key: Key, about: str) -> str:
    digest = hmac.digest(cast("bytes", key.get_op_key("sign")), about.encode(), "sha256")
    return str(int.from_bytes(digest) % 10**CODE_DIGITS).zfill(CODE_DIGITS)


def _keys(purpose: str) -> KeySet:
    """The keys of this purpose: the newest signs, all of them verify."""
    return _derive(purpose, _secret_keys(), current_app.config["PUBLIC_URL"])


def _secret_keys() -> tuple[str, ...]:
    return (current_app.config["SECRET_KEY"], *current_app.config["SECRET_KEY_FALLBACKS"])


@lru_cache(maxsize=64)
def _derive(purpose: str, secret_keys: tuple[str, ...], public_url: str) -> KeySet:
    """Bind tokens and codes to PUBLIC_URL: another instance may have the same SECRET_KEY."""
    keys: list[Key] = []
    for secret in secret_keys:
        key = hmac.digest(secret.encode(), f"token:{purpose}:{public_url}".encode(), "sha256")
        keys.append(OctKey.import_key(key, {"kid": hashlib.sha256(key).hexdigest()[:8]}))
    return KeySet(keys)


@lru_cache(maxsize=64)
def _ciphers(purpose: str, secret_keys: tuple[str, ...]) -> MultiFernet:
    """The first encrypts, all of them decrypt. Not bound to PUBLIC_URL: what the database holds outlives a move."""
    derived = [hmac.digest(secret.encode(), f"encrypt:{purpose}".encode(), "sha256") for secret in secret_keys]
    return MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in derived])

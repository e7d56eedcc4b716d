"""Sign tokens, derive codes and encrypt secrets, with a separate key derived from SECRET_KEY for each purpose.

Tokens are compact JWS, signed with HS256. Only this module holds keys. Its libraries take 40 ms to
import, so they are imported for the first token or secret.
"""

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from flask import current_app
from joserfc.errors import JoseError

from app import clock
from app.security.token_purposes import TokenPurpose

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet
    from joserfc.jwk import Key, KeySet

CODE_DIGITS = 8
MAX_LIFETIME = 366 * 24 * 3600  # seconds
MAX_LENGTH = 2048  # characters


@dataclass(frozen=True)
class Claims:
    """The claims of a token whose signature was verified.

    `subject` is the id of the user, `state` the fingerprint of the columns that the token depends on.
    """

    purpose: TokenPurpose
    subject: int
    state: str
    issued_at: int
    expires_at: int
    extra: dict[str, Any] = field(default_factory=dict)

    def is_expired(self, max_age: int | None = None) -> bool:
        """Return whether the token has expired, or was issued more than `max_age` seconds ago."""
        ends = [self.expires_at] if max_age is None else [self.expires_at, self.issued_at + max_age]
        return min(ends) <= clock.now().timestamp()


def sign(purpose: TokenPurpose, subject: int, state: str, lifetime: int | None = None, **extra: Any) -> str:
    """Return a signed token that expires after `lifetime` seconds (default: the lifetime of its purpose)."""
    from joserfc import jws

    now = int(clock.now().timestamp())
    payload = {
        "purpose": purpose,
        "aud": _audience(),
        "sub": subject,
        "state": state,
        "iat": now,
        "exp": now + (purpose.lifetime if lifetime is None else lifetime),
        **extra,
    }
    key = keys(purpose).keys[0]
    header = {"alg": "HS256", "kid": key.kid, "typ": "JWS"}
    return jws.serialize_compact(header, json.dumps(payload, separators=(",", ":")), key, algorithms=["HS256"])


def verify(
    token: str, *purposes: TokenPurpose, max_age: int | None = None, even_if_expired: bool = False
) -> Claims | None:
    """Return the claims of a genuine token for one of these purposes, or None.

    Args:
        max_age: seconds since the token was issued; can only shorten its lifetime.
        even_if_expired: also return the claims of an expired token.
    """
    from joserfc import jws
    from joserfc.jwk import KeySet

    if not isinstance(token, str) or len(token) > MAX_LENGTH:
        return None
    candidates = KeySet([key for purpose in purposes for key in keys(purpose).keys])
    try:
        signed = jws.deserialize_compact(token, candidates, algorithms=["HS256"])
        claims = _claims(signed.headers(), json.loads(signed.payload))
    except (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None  # joserfc raises the last five on hostile input
    if claims.purpose not in purposes or claims.issued_at > clock.now().timestamp() + clock.SKEW.total_seconds():
        return None
    return claims if even_if_expired or not claims.is_expired(max_age) else None


def code(purpose: str, subject: str) -> str:
    """Derive the eight-digit code of `subject`, such as the id of a challenge, by HMAC."""
    return _digits(raw_keys(f"code:{purpose}")[0], subject)


def is_code(purpose: str, subject: str, typed: str) -> bool:
    """Return whether `typed` is the code of `subject`, derived from the current key or a fallback."""
    candidates = raw_keys(f"code:{purpose}")
    return any(hmac.compare_digest(_digits(key, subject).encode(), typed.encode()) for key in candidates)


def encrypt(purpose: str, text: str) -> str:
    """Encrypt `text` with a key derived from SECRET_KEY."""
    return _ciphers(purpose, _secret_keys()).encrypt(text.encode()).decode()


def decrypt(purpose: str, text: str) -> str | None:
    """Decrypt text that was encrypted for this purpose with the current key or a fallback; return None if none fits."""
    from cryptography.fernet import InvalidToken

    try:
        return _ciphers(purpose, _secret_keys()).decrypt(text).decode()
    except InvalidToken:
        return None


def reencrypt(purpose: str, text: str) -> str | None:
    """Encrypt text again with the current key. Return None if it is up to date, or if no key decrypts it."""
    from cryptography.fernet import InvalidToken

    try:
        _ciphers(purpose, _secret_keys()[:1]).decrypt(text)
        return None
    except InvalidToken:
        secret = decrypt(purpose, text)
        return secret and encrypt(purpose, secret)


def fingerprint(*values: object) -> str:
    """Return a hash of the values, 22 characters long."""
    return hashlib.sha256(json.dumps(values, default=str).encode()).hexdigest()[:22]


def keys(purpose: str) -> "KeySet":
    """Return the keys of a purpose. The first one signs, all of them verify."""
    return _key_set(raw_keys(purpose))


def raw_keys(purpose: str) -> tuple[bytes, ...]:
    """Return the keys of a purpose in bytes."""
    return _derive(purpose, _secret_keys(), current_app.config["PUBLIC_URL"])


def _claims(header: dict[str, Any], payload: dict[str, Any]) -> Claims:
    if header.keys() - {"alg", "kid", "typ"}:
        raise ValueError("unexpected header")
    purpose = TokenPurpose(payload.pop("purpose"))
    if header["kid"] not in {key.kid for key in keys(purpose).keys} or payload.pop("aud") != _audience():
        raise ValueError("signed for another purpose or another installation")
    subject, issued_at, expires_at = (payload.pop(name) for name in ("sub", "iat", "exp"))
    if any(type(number) is not int for number in (subject, issued_at, expires_at)):
        raise ValueError("not an integer")
    if not 0 < subject < 2**31 or expires_at > issued_at + MAX_LIFETIME:
        raise ValueError("out of range")
    return Claims(purpose, subject, str(payload.pop("state")), issued_at, expires_at, payload)


def _audience() -> str:
    """Return a short hash of PUBLIC_URL, which keeps tokens short."""
    return fingerprint(current_app.config["PUBLIC_URL"])[:11]


def _digits(key: bytes, subject: str) -> str:
    digest = hmac.digest(key, subject.encode(), "sha256")
    return str(int.from_bytes(digest) % 10**CODE_DIGITS).zfill(CODE_DIGITS)


def _secret_keys() -> tuple[str, ...]:
    return (current_app.config["SECRET_KEY"], *current_app.config["SECRET_KEY_FALLBACKS"])


@lru_cache(maxsize=64)
def _derive(purpose: str, secret_keys: tuple[str, ...], public_url: str) -> tuple[bytes, ...]:
    """Derive keys from PUBLIC_URL, too, because another installation may share SECRET_KEY."""
    name = f"token:{purpose}:{public_url}".encode()
    return tuple(hmac.digest(secret.encode(), name, "sha256") for secret in secret_keys)


@lru_cache(maxsize=64)
def _key_set(derived: tuple[bytes, ...]) -> "KeySet":
    from joserfc.jwk import KeySet, OctKey

    keys: list[Key] = [OctKey.import_key(key, {"kid": hashlib.sha256(key).hexdigest()[:8]}) for key in derived]
    return KeySet(keys)


@lru_cache(maxsize=64)
def _ciphers(purpose: str, secret_keys: tuple[str, ...]) -> "MultiFernet":
    """Derive ciphers: the first encrypts, all decrypt. Encrypted rows stay readable if PUBLIC_URL changes."""
    from cryptography.fernet import Fernet, MultiFernet

    derived = [hmac.digest(secret.encode(), f"encrypt:{purpose}".encode(), "sha256") for secret in secret_keys]
    return MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in derived])

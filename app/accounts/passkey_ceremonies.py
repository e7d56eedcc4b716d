"""Passkey ceremonies: registration and authentication by Web Authentication. Only this module imports `webauthn`.

A browser's answer is untrusted until it is verified, and the library raises many kinds of exceptions on hostile input.
Functions import it, since it is slow to load.
"""

import json
import logging
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from flask import current_app

from app.accounts import cbor
from app.models import Passkey, PasskeyChallenge, User
from app.models.passkey_challenge import LIFETIME

log = logging.getLogger(__name__)


def creation_options(
    user: User, browser: str, handle: str, existing: Sequence[Passkey], is_conditional: bool = False
) -> str:
    """Return the JSON for navigator.credentials.create(), with a new challenge.

    User verification (a fingerprint, a face or a PIN) is required, so a passkey counts as both factors.

    Args:
        browser: access.browser_id() of the browser.
        handle: the user handle, by which passkeys identify the account.
        existing: passkeys whose devices must not create another one.
        is_conditional: the browser creates it without asking, by conditional mediation.
    """
    import webauthn
    from webauthn.helpers.structs import AuthenticatorSelectionCriteria, ResidentKeyRequirement

    selection = AuthenticatorSelectionCriteria(resident_key=ResidentKeyRequirement.REQUIRED)
    selection.user_verification = _verification("preferred" if is_conditional else "required")
    options = webauthn.generate_registration_options(
        rp_id=host(),
        rp_name=current_app.config["APP_NAME"],
        user_id=handle.encode(),
        user_name=user.known_as,
        challenge=_challenge(_purpose(is_conditional), browser, user),
        timeout=int(LIFETIME.total_seconds() * 1000),
        authenticator_selection=selection,
        exclude_credentials=_descriptors(existing),
    )
    return webauthn.options_to_json(options)


def request_options(purpose: str, browser: str, user: User | None, allowed: Sequence[Passkey] | None) -> str:
    """Return the JSON for navigator.credentials.get(), with a new challenge. `allowed` is None for any passkey."""
    import webauthn

    options = webauthn.generate_authentication_options(
        rp_id=host(),
        challenge=_challenge(purpose, browser, user),
        timeout=int(LIFETIME.total_seconds() * 1000),
        allow_credentials=None if allowed is None else _descriptors(allowed),
        user_verification=_verification("required"),
    )
    return webauthn.options_to_json(options)


def verify_registration(user: User, browser: str, answer: str, is_conditional: bool = False) -> Passkey | None:
    """Return the passkey that a browser created, not yet added to the database session; None if it is invalid.

    Only conditional mediation may do without presence and verification of the user (Web Authentication Level 3, 5.1.3).
    Logging in by the passkey requires both in any case.
    """
    import webauthn

    parsed = _parse(webauthn.helpers.parse_registration_credential_json, answer)
    purpose, is_asked = _purpose(is_conditional), not is_conditional
    flags = {"require_user_presence": is_asked, "require_user_verification": is_asked}
    verified = parsed and _verify(webauthn.verify_registration_response, parsed, purpose, browser, user, **flags)
    if not verified:
        return None
    return Passkey(
        user_id=user.id,
        credential_id=webauthn.helpers.bytes_to_base64url(verified.credential_id),
        public_key=webauthn.helpers.bytes_to_base64url(verified.credential_public_key),
        sign_count=verified.sign_count,
        transports=" ".join(sorted({transport.value for transport in parsed.response.transports or ()})),
        backed_up=verified.credential_backed_up,
    )


def parse_authentication(answer: str) -> Any:
    """Parse the answer of navigator.credentials.get() without verifying it; return None if it can't be parsed."""
    import webauthn

    return _parse(webauthn.helpers.parse_authentication_credential_json, answer)


def credential_id(parsed: Any) -> str:
    import webauthn

    return webauthn.helpers.bytes_to_base64url(parsed.raw_id)


def verify_authentication(parsed: Any, passkey: Passkey | None, purpose: str, browser: str, user: User | None) -> Any:
    """Verify a parsed answer; return the library's result, or None. Without a passkey, the work is the same.

    Passkey.use() checks the sign count, in the database.
    """
    import webauthn

    key = webauthn.base64url_to_bytes(passkey.public_key) if passkey else b""
    stored = {"credential_public_key": key, "credential_current_sign_count": 0, "require_user_verification": True}
    verified = _verify(webauthn.verify_authentication_response, parsed, purpose, browser, user, **stored)
    return verified if passkey else None


def encoded_handle(handle: str) -> str:
    """Return a user handle in the encoding of the browsers' signal API."""
    import webauthn

    return webauthn.helpers.bytes_to_base64url(handle.encode())


def host() -> str:
    """Return the relying party id: the host of PUBLIC_URL."""
    return urlsplit(current_app.config["PUBLIC_URL"]).hostname or ""


def _origin() -> str:
    public = urlsplit(current_app.config["PUBLIC_URL"])
    default = {None, {"http": 80, "https": 443}[public.scheme]}
    return f"{public.scheme}://{host()}{'' if public.port in default else f':{public.port}'}"


def _challenge(purpose: str, browser: str, user: User | None) -> bytes:
    import webauthn

    return webauthn.base64url_to_bytes(PasskeyChallenge.issue(purpose, browser, user).id)


def _descriptors(passkeys: Sequence[Passkey]) -> Any:
    import webauthn
    from webauthn.helpers.structs import AuthenticatorTransport, PublicKeyCredentialDescriptor

    return [
        PublicKeyCredentialDescriptor(
            id=webauthn.base64url_to_bytes(passkey.credential_id),
            transports=[AuthenticatorTransport(transport) for transport in passkey.transports.split()] or None,
        )
        for passkey in passkeys
    ]


def _verification(requirement: str) -> Any:
    from webauthn.helpers.structs import UserVerificationRequirement

    return UserVerificationRequirement(requirement)


def _purpose(is_conditional: bool) -> str:
    """Return the purpose of a challenge, so that the answer to one kind of registration is refused in the other."""
    return "add_unasked" if is_conditional else "add"


def _parse(function: Callable[[Any], Any], answer: str) -> Any:
    """Parse a browser's answer, or return None.

    The authenticator attachment is dropped, since nothing reads it and the library refuses values that WebAuthn treats
    as null (Web Authentication Level 3, 5.1). Some password managers send an empty user handle instead of null.
    """

    def parse() -> Any:
        fields = json.loads(answer)
        fields.pop("authenticatorAttachment", None)
        if fields["response"].get("userHandle") == "":
            fields["response"]["userHandle"] = None
        return function(fields)

    return _attempt(parse)


def _verify(function: Callable[..., Any], parsed: Any, purpose: str, browser: str, user: User | None, **kw: Any) -> Any:
    """Return the library's result for a parsed answer, or None. The challenge is consumed in any case."""
    import webauthn

    client = _attempt(webauthn.helpers.parse_client_data_json, parsed.response.client_data_json)
    if not client:
        return None
    if not PasskeyChallenge.consume(webauthn.helpers.bytes_to_base64url(client.challenge), purpose, browser, user):
        return None
    expected = {"expected_challenge": client.challenge, "expected_origin": _origin(), "expected_rp_id": host()}

    def verify() -> Any:
        _check_cbor(parsed.response)
        return function(credential=parsed, **expected, **kw)

    return _attempt(verify)


def _check_cbor(response: Any) -> None:
    """Raise an error for CBOR that the library should not be given."""
    from webauthn.helpers import parse_cbor

    if (data := getattr(response, "authenticator_data", None)) is None:
        cbor.check(response.attestation_object)
        data = parse_cbor(response.attestation_object)["authData"]
    if not isinstance(data, bytes):
        raise TypeError("authenticator data is not of bytes")
    cbor.check_authenticator_data(data)


def _attempt(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    try:
        return function(*args, **kwargs)
    except Exception as error:  # of many kinds, on hostile input
        log.info("A passkey was not accepted: %s", str(error)[:200])
        return None

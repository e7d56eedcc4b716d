"""The two ceremonies of Web Authentication: registration and authentication. The one importer of `webauthn`.

A browser's answer is untrusted until it is verified, and the library raises almost any exception on hostile input. It
is imported where it is used, since it takes a while to load.
"""

import json
import logging
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from flask import current_app

from app.models import Passkey, PasskeyChallenge, User
from app.models.passkey_challenge import LIFETIME

log = logging.getLogger(__name__)


def creation_options(user: User, browser: str, handle: str, existing: Sequence[Passkey]) -> str:
    """Return the JSON for navigator.credentials.create(), with a new challenge.

    User verification (a fingerprint, a face or a PIN) is required, so a passkey counts as both factors.

    Args:
        browser: access.browser_id() of the browser that is asked.
        handle: what passkeys know the account by.
        existing: passkeys whose devices must not create another.
    """
    import webauthn
    from webauthn.helpers.structs import AuthenticatorSelectionCriteria, ResidentKeyRequirement

    selection = AuthenticatorSelectionCriteria(resident_key=ResidentKeyRequirement.REQUIRED)
    selection.user_verification = _required()
    options = webauthn.generate_registration_options(
        rp_id=host(),
        rp_name=current_app.config["APP_NAME"],
        user_id=handle.encode(),
        user_name=user.username,
        challenge=_challenge("add", browser, user),
        timeout=int(LIFETIME.total_seconds() * 1000),
        authenticator_selection=selection,
        exclude_credentials=_descriptors(existing),
    )
    return webauthn.options_to_json(options)


def request_options(purpose: str, browser: str, user: User | None, allowed: Sequence[Passkey] | None) -> str:
    """Return the JSON for navigator.credentials.get(), with a new challenge; `allowed`: None for any passkey."""
    import webauthn

    options = webauthn.generate_authentication_options(
        rp_id=host(),
        challenge=_challenge(purpose, browser, user),
        timeout=int(LIFETIME.total_seconds() * 1000),
        allow_credentials=None if allowed is None else _descriptors(allowed),
        user_verification=_required(),
    )
    return webauthn.options_to_json(options)


def verify_registration(user: User, browser: str, answer: str) -> Passkey | None:
    """Return the passkey that a browser created, not yet added to the session; None if anything is wrong."""
    import webauthn

    made = _parse(webauthn.helpers.parse_registration_credential_json, answer)
    found = made and _verify(webauthn.verify_registration_response, made, "add", browser, user)
    if not found:
        return None
    return Passkey(
        user_id=user.id,
        credential_id=webauthn.helpers.bytes_to_base64url(found.credential_id),
        public_key=webauthn.helpers.bytes_to_base64url(found.credential_public_key),
        sign_count=found.sign_count,
        transports=" ".join(sorted({transport.value for transport in made.response.transports or ()})),
        backed_up=found.credential_backed_up,
    )


def parse_authentication(answer: str) -> Any:
    """Parse the answer of navigator.credentials.get(), or return None. Nothing in it is verified."""
    import webauthn

    return _parse(webauthn.helpers.parse_authentication_credential_json, answer)


def credential_id(given: Any) -> str:
    """Return the id of the passkey that a parsed answer names."""
    import webauthn

    return webauthn.helpers.bytes_to_base64url(given.raw_id)


def verify_authentication(given: Any, passkey: Passkey | None, purpose: str, browser: str, user: User | None) -> Any:
    """Return what the library found in a parsed answer, or None; without a passkey, do the same work.

    The sign count is not checked here: Passkey.use() does it in the database.
    """
    import webauthn

    key = webauthn.base64url_to_bytes(passkey.public_key) if passkey else b""
    stored = {"credential_public_key": key, "credential_current_sign_count": 0}
    found = _verify(webauthn.verify_authentication_response, given, purpose, browser, user, **stored)
    return found if passkey else None


def encoded_handle(handle: str) -> str:
    """Return the handle of an account as the signal API of browsers writes it."""
    import webauthn

    return webauthn.helpers.bytes_to_base64url(handle.encode())


def host() -> str:
    """Return the relying party id: the host of PUBLIC_URL."""
    return urlsplit(current_app.config["PUBLIC_URL"]).hostname or ""


def _origin() -> str:
    """Return the origin of our pages as browsers write it."""
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


def _required() -> Any:
    from webauthn.helpers.structs import UserVerificationRequirement

    return UserVerificationRequirement.REQUIRED


def _parse(function: Callable[[Any], Any], answer: str) -> Any:
    """Parse a browser's answer, or return None.

    The authenticator attachment is left out: nothing reads it, and WebAuthn treats values that it does not define as
    null (Web Authentication Level 3, 5.1). Some password managers send an empty user handle where they have none.
    """

    def parse() -> Any:
        said = json.loads(answer)
        said.pop("authenticatorAttachment", None)
        if said["response"].get("userHandle") == "":
            said["response"]["userHandle"] = None
        return function(said)

    return _attempt(parse)


def _verify(
    function: Callable[..., Any], sent: Any, purpose: str, browser: str, user: User | None, **stored: Any
) -> Any:
    """Return what the library finds in a browser's answer, or None. The challenge is consumed either way."""
    import webauthn

    said = _attempt(webauthn.helpers.parse_client_data_json, sent.response.client_data_json)
    if not said:
        return None
    if not PasskeyChallenge.consume(webauthn.helpers.bytes_to_base64url(said.challenge), purpose, browser, user):
        return None
    expected = {"expected_challenge": said.challenge, "expected_origin": _origin(), "expected_rp_id": host()}
    return _attempt(function, credential=sent, require_user_verification=True, **expected, **stored)


def _attempt(function: Callable[..., Any], *sent: Any, **expected: Any) -> Any:
    try:
        return function(*sent, **expected)
    except Exception as error:  # almost any, on hostile input
        log.info("A passkey was not accepted: %s", str(error)[:200])
        return None

"""Passkeys: added, asked for, found right or wrong, removed. The one importer of webauthn, which loads when it is used.

What a browser sends is hostile until it is verified, and what the library makes of it may be any exception.
"""

import json
import logging
import secrets
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from flask import current_app
from sqlalchemy import select, update

from app.accounts import two_factor
from app.email import outbox
from app.email.templates import Email
from app.extensions import db, rows_changed
from app.models import AuditAction, Passkey, PasskeyChallenge, RemovedCredential, User, UserSession
from app.models.passkey_challenge import LIFETIME
from app.security import audit

MOST = 20  # of one account
LONGEST_ID, LONGEST_KEY = 1364, 4096  # characters of base64url; the first are 1023 bytes (WebAuthn, Credential ID)

REMOVED_PASSKEYS = (RemovedCredential.table == Passkey.__tablename__,)  # which can be restored for a week

log = logging.getLogger(__name__)


def all_of(user: User) -> Sequence[Passkey]:
    """Return a person's passkeys, the newest first."""
    return db.session.scalars(select(Passkey).where(Passkey.user_id == user.id).order_by(Passkey.id.desc())).all()


def one_of(user: User, handle: str) -> Passkey | None:
    """Return the passkey of a person's that has this handle."""
    return next((passkey for passkey in all_of(user) if passkey.handle == handle), None)


def accepted(user: User, passkeys: Sequence[Passkey], removed: str | None) -> dict[str, Any] | None:
    """Return what `PublicKeyCredential.signalAllAcceptedCredentials()` takes; None if the user never had a passkey.

    Passkeys that can still be restored are in it, so that no device deletes what a thief removed; but not the one that
    this browser `removed`.
    """
    if user.passkey_handle is None:
        return None
    import webauthn

    handle = webauthn.helpers.bytes_to_base64url(user.passkey_handle.encode())
    mine = select(RemovedCredential.known_by).where(RemovedCredential.user_id == user.id, *REMOVED_PASSKEYS)
    known = {passkey.credential_id for passkey in passkeys} | set(db.session.scalars(mine)) - {removed}
    return {"rpId": _site()[1], "userId": handle, "allAcceptedCredentialIds": sorted(known)}


def unknown(answer: str) -> dict[str, str] | None:
    """Return what `PublicKeyCredential.signalUnknownCredential()` takes if no account has the answer's passkey.

    None, too, if an account had it and can have it restored.
    """
    import webauthn

    given = _parse(webauthn.helpers.parse_authentication_credential_json, answer)
    credential_id = given and webauthn.helpers.bytes_to_base64url(given.raw_id)
    if not credential_id or len(credential_id) > LONGEST_ID or Passkey.find(credential_id):
        return None
    removed = select(RemovedCredential.id).where(RemovedCredential.known_by == credential_id, *REMOVED_PASSKEYS)
    if db.session.scalar(removed.limit(1)) is not None:
        return None
    return {"rpId": _site()[1], "credentialId": credential_id}


def creation_options(user: User, browser: str) -> str:
    """Return what `browser` is to make, as JSON: a passkey that asks its owner for a finger, a face or a PIN."""
    import webauthn
    from webauthn.helpers.structs import AuthenticatorSelectionCriteria, ResidentKeyRequirement

    selection = AuthenticatorSelectionCriteria(resident_key=ResidentKeyRequirement.REQUIRED)
    selection.user_verification = _required()
    options = webauthn.generate_registration_options(
        rp_id=_site()[1],
        rp_name=current_app.config["APP_NAME"],
        user_id=_handle(user).encode(),
        user_name=user.username,
        challenge=_challenge("add", browser, user),
        timeout=int(LIFETIME.total_seconds() * 1000),
        authenticator_selection=selection,
        exclude_credentials=_descriptors(user),
    )
    return webauthn.options_to_json(options)


def request_options(purpose: str, browser: str, user: User | None = None) -> str:
    """Return what `browser` is to sign, as JSON: with any passkey, or with one of `user`'s."""
    import webauthn

    options = webauthn.generate_authentication_options(
        rp_id=_site()[1],
        challenge=_challenge(purpose, browser, user),
        timeout=int(LIFETIME.total_seconds() * 1000),
        allow_credentials=_descriptors(user) if user else None,
        user_verification=_required(),
    )
    return webauthn.options_to_json(options)


def add(user: User, browser: str, answer: str, name: str, keep: UserSession) -> list[str]:
    """Add the passkey that `browser` made, which is two-factor authentication, too: as two_factor.add() does.

    Return the recovery codes that come with an account's first factor. Raises ValueError, with a reason in words, if it
    can't be added; IntegrityError if somebody has it.
    """
    if len(all_of(user)) >= MOST:
        raise ValueError(f"You have {MOST} passkeys. Remove one first.")
    passkey = _made(user, browser, answer)
    if not passkey:
        raise ValueError("That did not work, or took longer than five minutes. Try again.")
    if len(passkey.credential_id) > LONGEST_ID or len(passkey.public_key) > LONGEST_KEY:
        raise ValueError("That kind of passkey can't be used here. Try another device or password manager.")
    if _can_be_restored_elsewhere(user, passkey):
        raise ValueError("This passkey is in use already. Make another one.")
    passkey.name = name
    codes = two_factor.add(user, "passkey", passkey, keep, email=Email.PASSKEY_ADDED)
    if codes is None:
        raise ValueError("Your account was changed elsewhere at this moment. Try again.")
    return codes


def authenticate(purpose: str, browser: str, answer: str, user: User | None = None) -> User | None:
    """Return whose passkey signed what `browser` was asked for; None if anything is wrong, whatever it is.

    `user`: who alone was asked.
    """
    import webauthn

    given = _parse(webauthn.helpers.parse_authentication_credential_json, answer)
    passkey = Passkey.find(webauthn.helpers.bytes_to_base64url(given.raw_id)) if given else None
    if passkey and user and passkey.user_id != user.id:
        passkey = None
    if given and _is_right(passkey, given, purpose, browser, user) and passkey:
        return passkey.user
    audit.record(passkey.user if passkey else user, AuditAction.LOGIN_FAILED, method="passkey")
    return None


def rename(passkey: Passkey, name: str) -> None:
    """Call a passkey something else."""
    old, passkey.name = passkey.name, name
    audit.record(passkey.user, AuditAction.PASSKEY_RENAMED, old=old, new=name)


def remove(passkey: Passkey, keep: UserSession) -> bool:
    """Let a passkey in no more, as two_factor.remove() does. Nobody is locked out: a mailed link logs the owner in."""
    return two_factor.remove(passkey.user, "passkey", passkey, keep)


def _can_be_restored_elsewhere(user: User, passkey: Passkey) -> bool:
    """Return whether another account may get this passkey back: nobody else may take its place meanwhile."""
    removed = select(RemovedCredential.id).where(RemovedCredential.known_by == passkey.credential_id, *REMOVED_PASSKEYS)
    return db.session.scalar(removed.where(RemovedCredential.user_id != user.id).limit(1)) is not None


def _site() -> tuple[str, str]:
    """Where passkeys are good: the origin of our pages as browsers write it, and its host."""
    public = urlsplit(current_app.config["PUBLIC_URL"])
    known = {None, {"http": 80, "https": 443}[public.scheme]}
    host = public.hostname or ""
    return f"{public.scheme}://{host}{'' if public.port in known else f':{public.port}'}", host


def _handle(user: User) -> str:
    """What passkeys know an account by: neither its number nor its address, which others may know or have later."""
    if user.passkey_handle is None:
        first = update(User).where(User.id == user.id, User.passkey_handle.is_(None))
        rows_changed(first.values(passkey_handle=secrets.token_urlsafe(32)))
        db.session.refresh(user)
    return user.passkey_handle or ""


def _challenge(purpose: str, browser: str, user: User | None) -> bytes:
    import webauthn

    return webauthn.base64url_to_bytes(PasskeyChallenge.issue(purpose, browser, user).id)


def _descriptors(user: User) -> Any:
    """A person's passkeys, as browsers know them."""
    import webauthn
    from webauthn.helpers.structs import AuthenticatorTransport, PublicKeyCredentialDescriptor

    return [
        PublicKeyCredentialDescriptor(
            id=webauthn.base64url_to_bytes(passkey.credential_id),
            transports=[AuthenticatorTransport(transport) for transport in passkey.transports.split()] or None,
        )
        for passkey in all_of(user)
    ]


def _required() -> Any:
    """That the owner is asked for a finger, a face or a PIN: so a passkey is two factors."""
    from webauthn.helpers.structs import UserVerificationRequirement

    return UserVerificationRequirement.REQUIRED


def _made(user: User, browser: str, answer: str) -> Passkey | None:
    """The passkey that a browser made, if it is the one that it was asked for."""
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


def _is_right(passkey: Passkey | None, given: Any, purpose: str, browser: str, user: User | None) -> bool:
    import webauthn

    key = webauthn.base64url_to_bytes(passkey.public_key) if passkey else b""
    kept = {"credential_public_key": key, "credential_current_sign_count": 0}  # Passkey.use() looks at that
    found = _verify(webauthn.verify_authentication_response, given, purpose, browser, user, **kept)
    if not passkey or not found:
        return False
    handle = given.response.user_handle  # need not be said where the account is known
    if handle != (passkey.user.passkey_handle or "").encode() and (handle is not None or user is None):
        return False
    if passkey.use(found.new_sign_count, found.credential_backed_up):
        return True
    outbox.enqueue(Email.PASSKEY_COPIED, passkey.user, event=audit.record(passkey.user, AuditAction.PASSKEY_COPIED))
    return False


def _parse(function: Any, answer: str) -> Any:
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


def _verify(function: Any, sent: Any, purpose: str, browser: str, user: User | None, **kept: Any) -> Any:
    """What the library finds in what a browser sent, or None. The challenge is used up, whatever it finds."""
    import webauthn

    said = _attempt(webauthn.helpers.parse_client_data_json, sent.response.client_data_json)
    if not said:
        return None
    if not PasskeyChallenge.use(webauthn.helpers.bytes_to_base64url(said.challenge), purpose, browser, user):
        return None
    origin, host = _site()
    expected = {"expected_challenge": said.challenge, "expected_origin": origin, "expected_rp_id": host}
    return _attempt(function, credential=sent, require_user_verification=True, **expected, **kept)


def _attempt(function: Any, *sent: Any, **expected: Any) -> Any:
    try:
        return function(*sent, **expected)
    except Exception as error:  # almost any, on hostile input
        log.info("No passkey: %s", str(error)[:200])
        return None

"""Passkeys: add, use, rename and remove them. A passkey is one more way to log in, and counts as both factors."""

import secrets
from collections.abc import Sequence
from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy import ColumnElement, select, update

from app import switches
from app.accounts import credentials, passkey_ceremonies, sessions, two_factor
from app.email import outbox
from app.email.templates import Email
from app.extensions import db, rows_changed
from app.models import AuditAction, LogoutReason, Passkey, RemovedCredential, User, UserSession
from app.security import audit
from app.security.token_purposes import TokenPurpose

MAX_PASSKEYS = 20  # of one account
MAX_ID, MAX_KEY = 1364, 4096  # characters of base64url; ids have 1023 bytes at most (WebAuthn, Credential ID)

REMOVED_PASSKEYS = (RemovedCredential.table == Passkey.__tablename__,)

CHANGED = _l("Your account was changed on another device. Try again.")
IN_USE = _l("This passkey is already in use. Create another one.")


def all_of(user: User) -> Sequence[Passkey]:
    """Return the passkeys of an account: none where they are switched off."""
    if not switches.is_on("passkey"):
        return []
    return db.session.scalars(select(Passkey).where(Passkey.user_id == user.id).order_by(Passkey.id.desc())).all()


def one_of(user: User, handle: str) -> Passkey | None:
    return next((passkey for passkey in all_of(user) if passkey.handle == handle), None)


def is_only_login(user: User) -> bool:
    """Return whether the account has one passkey, and no emailed link or other credential could log in instead."""
    is_alone = switches.is_on("passwordless") and not switches.is_on("magic_link")
    return is_alone and not credentials.has_another_login(user)


def creation_options(user: User, browser: str, is_conditional: bool = False) -> str:
    """Return the options for `browser` to create a passkey on a device that has none of this account."""
    return passkey_ceremonies.creation_options(user, browser, _handle(user), all_of(user), is_conditional)


def request_options(purpose: str, browser: str, user: User | None = None) -> str:
    """Return the options for `browser` to use a passkey: any, or one of `user`."""
    return passkey_ceremonies.request_options(purpose, browser, user, all_of(user) if user else None)


def register(user: User, browser: str, answer: str, name: str, is_conditional: bool = False) -> Passkey:
    """Add the passkey that `browser` created.

    Raises:
        ValueError: it can't be added. The message is for the user.
        IntegrityError: an account already has it.
    """
    passkey = passkey_ceremonies.verify_registration(user, browser, answer, is_conditional)
    if not passkey:
        raise ValueError(_("That didn't work, or it took longer than five minutes. Try again."))
    if len(passkey.credential_id) > MAX_ID or len(passkey.public_key) > MAX_KEY:
        raise ValueError(_("That kind of passkey can't be used here. Try another device or password manager."))
    if _was_removed(passkey.credential_id, RemovedCredential.user_id != user.id):  # that user may restore it
        raise ValueError(IN_USE)
    passkey.name = name
    add(user, passkey)
    return passkey


def add(user: User, passkey: Passkey) -> None:
    """Add a verified passkey and notify the user. Sessions and two-factor authentication stay unchanged.

    Raises:
        ValueError: the account has too many, or was changed by another request. The message is for the user.
    """
    if not user.consume(TokenPurpose.RESET, login_count=User.login_count):  # changes nothing: it compares and locks
        raise ValueError(CHANGED)
    if len(all_of(user)) >= MAX_PASSKEYS:
        raise ValueError(_("You have %(number)d passkeys. Remove one first.", number=MAX_PASSKEYS))
    event = audit.record(user, AuditAction.PASSKEY_ADDED)
    credentials.add(event, passkey)
    outbox.enqueue(Email.PASSKEY_ADDED, user, event=event)


def authenticate(purpose: str, browser: str, answer: str, user: User | None = None) -> User | None:
    """Return the owner of the passkey that signed a challenge of `browser`; None if the answer is invalid.

    Args:
        user: the only account that is accepted; None for any.
    """
    parsed = passkey_ceremonies.parse_authentication(answer) if switches.is_on("passkey") else None
    passkey = Passkey.find(passkey_ceremonies.credential_id(parsed)) if parsed else None
    if passkey and user and passkey.user_id != user.id:
        passkey = None
    if parsed and _is_right(passkey, parsed, purpose, browser, user) and passkey:
        return passkey.user
    audit.record(passkey.user if passkey else user, AuditAction.LOGIN_FAILED, method="passkey")
    return None


def rename(passkey: Passkey, name: str) -> None:
    old, passkey.name = passkey.name, name
    audit.record(passkey.user, AuditAction.PASSKEY_RENAMED, old=old, new=name)


def remove(passkey: Passkey, keep: UserSession | None) -> bool:
    """Remove a passkey, revoke all sessions but `keep` and notify the user; return False if another request was faster.

    With the last passkey, the requirement of one is removed, too.
    """
    user = passkey.user
    if not user.consume(TokenPurpose.RESET, password_version=user.password_version + 1):
        return False
    event = audit.record(user, AuditAction.PASSKEY_REMOVED)
    credentials.remove(event, Passkey, Passkey.id == passkey.id)
    sessions.revoke_all(user, keep, reason=LogoutReason.PASSKEY_REMOVED)
    outbox.enqueue(Email.PASSKEY_REMOVED, user, event=event)
    if not all_of(user):
        two_factor.stop_requiring_passkey(user, keep)
    return True


def accepted(user: User, passkeys: Sequence[Passkey], removed: str | None) -> dict[str, Any] | None:
    """Return the argument of `PublicKeyCredential.signalAllAcceptedCredentials()`; None if there never was a passkey.

    It includes passkeys that can be restored, so that devices keep those that an attacker removed. It does not include
    the one that this browser `removed`.
    """
    if user.passkey_handle is None:
        return None
    handle = passkey_ceremonies.encoded_handle(user.passkey_handle)
    mine = select(RemovedCredential.known_by).where(RemovedCredential.user_id == user.id, *REMOVED_PASSKEYS)
    known = {passkey.credential_id for passkey in passkeys} | set(db.session.scalars(mine)) - {removed}
    return {"rpId": passkey_ceremonies.host(), "userId": handle, "allAcceptedCredentialIds": sorted(known)}


def details(user: User) -> dict[str, str] | None:
    """Return the argument of `PublicKeyCredential.signalCurrentUserDetails()`; None if there never was a passkey."""
    if user.passkey_handle is None or not switches.is_on("passkey"):
        return None
    handle = passkey_ceremonies.encoded_handle(user.passkey_handle)
    names = {"name": user.known_as, "displayName": user.known_as}
    return {"rpId": passkey_ceremonies.host(), "userId": handle} | names


def unknown(answer: str) -> dict[str, str] | None:
    """Return the argument of `PublicKeyCredential.signalUnknownCredential()`; None if an account has the passkey.

    This includes removed passkeys that can be restored.
    """
    parsed = passkey_ceremonies.parse_authentication(answer)
    credential_id = parsed and passkey_ceremonies.credential_id(parsed)
    if not credential_id or len(credential_id) > MAX_ID or Passkey.find(credential_id) or _was_removed(credential_id):
        return None
    return {"rpId": passkey_ceremonies.host(), "credentialId": credential_id}


def _was_removed(credential_id: str, *conditions: ColumnElement[bool]) -> bool:
    """Return whether a passkey was removed and can be restored."""
    same = (RemovedCredential.known_by == credential_id, *REMOVED_PASSKEYS, *conditions)
    return db.session.scalar(select(RemovedCredential.id).where(*same).limit(1)) is not None


def _handle(user: User) -> str:
    """Return the user handle, by which passkeys identify the account. It is random, for privacy."""
    if user.passkey_handle is None:
        first = update(User).where(User.id == user.id, User.passkey_handle.is_(None))
        rows_changed(first.values(passkey_handle=secrets.token_urlsafe(32)))
        db.session.refresh(user)
    return user.passkey_handle or ""


def _is_right(passkey: Passkey | None, parsed: Any, purpose: str, browser: str, user: User | None) -> bool:
    verified = passkey_ceremonies.verify_authentication(parsed, passkey, purpose, browser, user)
    if not passkey or not verified:
        return False
    handle = parsed.response.user_handle  # optional where the account is known
    if handle != (passkey.user.passkey_handle or "").encode() and (handle is not None or user is None):
        return False
    if passkey.use(verified.new_sign_count, verified.credential_backed_up):
        return True
    outbox.enqueue(Email.PASSKEY_COPIED, passkey.user, event=audit.record(passkey.user, AuditAction.PASSKEY_COPIED))
    return False

"""Passkeys: added, listed, used, renamed and removed. Each is one more way to log in, and counts as both factors."""

import secrets
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select, update

from app.accounts import credentials, passkey_ceremonies, sessions, two_factor
from app.email import outbox
from app.email.templates import Email
from app.extensions import db, rows_changed
from app.models import AuditAction, LogoutReason, Passkey, RemovedCredential, User, UserSession
from app.security import audit
from app.security.token_purposes import TokenPurpose

MAX_PASSKEYS = 20  # of one account
MAX_ID, MAX_KEY = 1364, 4096  # characters of base64url; ids have 1023 bytes at most (WebAuthn, Credential ID)

REMOVED_PASSKEYS = (RemovedCredential.table == Passkey.__tablename__,)  # can be restored for seven days

CHANGED = "Your account was changed elsewhere in the meantime. Try again."
IN_USE = "This passkey is already in use. Create another one."


def all_of(user: User) -> Sequence[Passkey]:
    """Return the passkeys of an account, the newest first."""
    return db.session.scalars(select(Passkey).where(Passkey.user_id == user.id).order_by(Passkey.id.desc())).all()


def one_of(user: User, handle: str) -> Passkey | None:
    """Return the passkey of this account with this handle, or None."""
    return next((passkey for passkey in all_of(user) if passkey.handle == handle), None)


def creation_options(user: User, browser: str) -> str:
    """Return the JSON with which `browser` creates a passkey, unless a device has one of the account already."""
    return passkey_ceremonies.creation_options(user, browser, _handle(user), all_of(user))


def request_options(purpose: str, browser: str, user: User | None = None) -> str:
    """Return the JSON with which `browser` uses any passkey, or one of `user`."""
    return passkey_ceremonies.request_options(purpose, browser, user, all_of(user) if user else None)


def register(user: User, browser: str, answer: str, name: str) -> Passkey:
    """Add the passkey that `browser` created.

    Raises:
        ValueError: it can't be added. The message is for the user.
        IntegrityError: another account has it, or this one.
    """
    passkey = passkey_ceremonies.verify_registration(user, browser, answer)
    if not passkey:
        raise ValueError("That did not work, or took longer than five minutes. Try again.")
    if len(passkey.credential_id) > MAX_ID or len(passkey.public_key) > MAX_KEY:
        raise ValueError("That kind of passkey can't be used here. Try another device or password manager.")
    if _can_be_restored_elsewhere(user, passkey):
        raise ValueError(IN_USE)
    passkey.name = name
    add(user, passkey)
    return passkey


def add(user: User, passkey: Passkey) -> None:
    """Add a verified passkey and notify the user. Sessions and two-factor authentication stay as they are.

    Raises:
        ValueError: the account has too many, or was changed by another request. The message is for the user.
    """
    is_unchanged = user.consume(TokenPurpose.RESET, login_count=User.login_count)  # it locks and compares, no more
    if not is_unchanged:
        raise ValueError(CHANGED)
    if len(all_of(user)) >= MAX_PASSKEYS:
        raise ValueError(f"You have {MAX_PASSKEYS} passkeys. Remove one first.")
    event = audit.record(user, AuditAction.PASSKEY_ADDED)
    credentials.add(event, passkey)
    outbox.enqueue(Email.PASSKEY_ADDED, user, event=event)


def authenticate(purpose: str, browser: str, answer: str, user: User | None = None) -> User | None:
    """Return the owner of the passkey that answered a challenge of `browser`; None if anything is wrong.

    Args:
        user: the one account that was asked; None for any.
    """
    given = passkey_ceremonies.parse_authentication(answer)
    passkey = Passkey.find(passkey_ceremonies.credential_id(given)) if given else None
    if passkey and user and passkey.user_id != user.id:
        passkey = None
    if given and _is_right(passkey, given, purpose, browser, user) and passkey:
        return passkey.user
    audit.record(passkey.user if passkey else user, AuditAction.LOGIN_FAILED, method="passkey")
    return None


def rename(passkey: Passkey, name: str) -> None:
    """Change the name that the user gave to a passkey."""
    old, passkey.name = passkey.name, name
    audit.record(passkey.user, AuditAction.PASSKEY_RENAMED, old=old, new=name)


def remove(passkey: Passkey, keep: UserSession | None) -> bool:
    """Remove a passkey, revoke all sessions but `keep` and notify the user; return False if another request was faster.

    The last passkey takes the requirement of one with it.
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
    """Return what `PublicKeyCredential.signalAllAcceptedCredentials()` takes; None if the user never had a passkey.

    Passkeys that can still be restored are in it, so that no device deletes what an attacker removed; the one that
    this browser `removed` is not.
    """
    if user.passkey_handle is None:
        return None
    handle = passkey_ceremonies.encoded_handle(user.passkey_handle)
    mine = select(RemovedCredential.known_by).where(RemovedCredential.user_id == user.id, *REMOVED_PASSKEYS)
    known = {passkey.credential_id for passkey in passkeys} | set(db.session.scalars(mine)) - {removed}
    return {"rpId": passkey_ceremonies.host(), "userId": handle, "allAcceptedCredentialIds": sorted(known)}


def unknown(answer: str) -> dict[str, str] | None:
    """Return what `PublicKeyCredential.signalUnknownCredential()` takes; None unless no account can have the passkey.

    An account can have it if it is there, or was removed and can be restored.
    """
    given = passkey_ceremonies.parse_authentication(answer)
    credential_id = given and passkey_ceremonies.credential_id(given)
    if not credential_id or len(credential_id) > MAX_ID or Passkey.find(credential_id):
        return None
    removed = select(RemovedCredential.id).where(RemovedCredential.known_by == credential_id, *REMOVED_PASSKEYS)
    if db.session.scalar(removed.limit(1)) is not None:
        return None
    return {"rpId": passkey_ceremonies.host(), "credentialId": credential_id}


def _can_be_restored_elsewhere(user: User, passkey: Passkey) -> bool:
    """Return whether another account can have this passkey restored: its place is kept."""
    removed = select(RemovedCredential.id).where(RemovedCredential.known_by == passkey.credential_id, *REMOVED_PASSKEYS)
    return db.session.scalar(removed.where(RemovedCredential.user_id != user.id).limit(1)) is not None


def _handle(user: User) -> str:
    """Return what passkeys know an account by: random, and neither its id nor its address."""
    if user.passkey_handle is None:
        first = update(User).where(User.id == user.id, User.passkey_handle.is_(None))
        rows_changed(first.values(passkey_handle=secrets.token_urlsafe(32)))
        db.session.refresh(user)
    return user.passkey_handle or ""


def _is_right(passkey: Passkey | None, given: Any, purpose: str, browser: str, user: User | None) -> bool:
    found = passkey_ceremonies.verify_authentication(given, passkey, purpose, browser, user)
    if not passkey or not found:
        return False
    handle = given.response.user_handle  # optional where the account is known
    if handle != (passkey.user.passkey_handle or "").encode() and (handle is not None or user is None):
        return False
    if passkey.use(found.new_sign_count, found.credential_backed_up):
        return True
    outbox.enqueue(Email.PASSKEY_COPIED, passkey.user, event=audit.record(passkey.user, AuditAction.PASSKEY_COPIED))
    return False

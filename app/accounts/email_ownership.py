"""The first proof of an email address without the password: what another person left in the account goes.

Anyone can register with somebody else's address. When the owner of the address arrives by a magic link, a reset or a
provider, nothing that was set up before may let another person in, or take the account away.
"""

from typing import Any

from sqlalchemy import delete, update

from app import clock
from app.accounts import credentials, devices, sessions
from app.email import outbox
from app.extensions import rows_changed
from app.models import AuditEvent, EmailChange, LogoutReason, OAuthState, PasskeyChallenge, User

# Every column of `users` and every table about an account is in one of these; a test compares.
CLEARED_COLUMNS: dict[str, Any] = dict.fromkeys(
    ("deletion_due_at", "next_login_trusted_until", "passkey_handle", "two_factor_enabled_at")
)
CLEARED_TABLES = (EmailChange, PasskeyChallenge, OAuthState)  # besides credentials, sessions and devices
KEPT = {
    "id": "is the account",
    "email": "is what was proved",
    "email_key": "is what was proved",
    "username": "lets nobody in; the user is told where to change it",
    "username_key": "follows the username",
    "password_hash": "is set or removed by the caller, with the proof",
    "password_version": "counts the passwords",
    "login_count": "counts the logins",
    "confirmed": "is set by the caller, with the proof",
    "confirmation_sent_at": "spaces the emails",
    "is_admin": "is set by administrators only",
    "created_at": "lets nobody in",
    "deactivated_at": "is set by administrators only",
    "outbox": "waiting emails with links are dropped; the others are a record",
    "email_challenges": "are bound to the state that the proof changes",
    "audit_events": "are the history that the user needs to see; their links are revoked",
}


def clear(user: User) -> None:
    """Remove what another person may have left in the account; the caller deals with the password."""
    sessions.revoke_all(user, reason=LogoutReason.EMAIL_OWNERSHIP_PROVED)
    devices.forget_all(user)
    credentials.clear(user)
    for model in CLEARED_TABLES:
        rows_changed(delete(model).where(model.user_id == user.id))
    rows_changed(update(User).where(User.id == user.id).values(CLEARED_COLUMNS))
    rows_changed(update(AuditEvent).where(AuditEvent.user_id == user.id).values(link_revoked_at=clock.now()))
    outbox.drop(user)

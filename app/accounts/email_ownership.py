"""Email ownership: when the owner of an email address first proves it, everything set up before is removed.

Anyone can register with the email address of another person. When its owner logs in by a magic link, a reset or a
provider, no earlier credential, session or pending change may remain.
"""

from typing import Any

from sqlalchemy import delete, update

from app import clock
from app.accounts import credentials, devices, sessions
from app.email import outbox
from app.extensions import rows_changed
from app.models import AuditAction, AuditEvent, EmailChange, LogoutReason, OAuthState, PasskeyChallenge, User
from app.security import audit
from app.security.token_purposes import TokenPurpose

# A test checks that every column of `users` and every table with rows of a user is listed here.
CLEARED_COLUMNS: dict[str, Any] = dict.fromkeys(
    "deletion_due_at next_login_trusted_until passkey_handle two_factor_enabled_at email_bounced_at language"
    " time_zone".split()
)
CLEARED_TABLES = (EmailChange, PasskeyChallenge, OAuthState)  # besides credentials, sessions and devices
KEPT = {
    "id": "identifies the account",
    "email": "was proved",
    "email_key": "was proved",
    "username": "gives no access; the page tells the user where to change it",
    "username_key": "follows the username",
    "password_hash": "is set or removed by the caller, together with the proof",
    "password_version": "counts the passwords",
    "login_count": "counts the logins",
    "confirmed": "is set by the caller, together with the proof",
    "confirmation_sent_at": "spaces the emails",
    "role_name": "is set by administrators only",
    "created_at": "gives no access",
    "deactivated_at": "is set by administrators only",
    "outbox": "waiting emails with links are dropped; the others are a record",
    "email_challenges": "are bound to the state that the proof changes",
    "account_invitations": "are accepted by the owner of their address only",
    "audit_events": "are the history that the user needs to see; their links are revoked",
}


def take_over(user: User) -> bool:
    """Clear an account and confirm its address, which a provider has verified; return False if another was faster."""
    if not user.consume(TokenPurpose.CONFIRM, **user.new_password(None), confirmed=True):
        return False
    prove(user)
    return True


def prove(user: User) -> None:
    """Record the first proof of the email address, and remove what another person may have set up.

    The password is left to the caller, who changes it.
    """
    sessions.revoke_all(user, reason=LogoutReason.EMAIL_OWNERSHIP_PROVED)
    devices.forget_all(user)
    credentials.clear(user)
    for model in CLEARED_TABLES:
        rows_changed(delete(model).where(model.user_id == user.id))
    rows_changed(update(User).where(User.id == user.id).values(CLEARED_COLUMNS))
    rows_changed(update(AuditEvent).where(AuditEvent.user_id == user.id).values(link_revoked_at=clock.now()))
    outbox.drop(user)
    audit.record(user, AuditAction.EMAIL_OWNERSHIP_PROVED)

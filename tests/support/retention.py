"""Rows that cleanup deletes, with the number of days that it keeps them."""

import secrets
from datetime import timedelta

from app.email.templates import Email
from app.models import (
    Actor,
    AuditAction,
    AuditEvent,
    Block,
    Device,
    EmailChallenge,
    EmailChange,
    Invitation,
    OAuthState,
    OutboxEmail,
    PasskeyChallenge,
    RemovedCredential,
    UserSession,
)
from app.security.token_purposes import TokenPurpose

YEAR = timedelta(days=365)


def session(user, at):
    return UserSession(user_id=user.id, method="password", remembered=False, expires_at=at)


def revoked(user, at):
    return UserSession(user_id=user.id, method="password", remembered=False, expires_at=at + YEAR, revoked_at=at)


def email(user, at, status="sent"):
    return OutboxEmail(
        name=Email.RESET, recipient=user.email, user_id=user.id, message_id="x", status=status, done_at=at
    )


def challenge(user, at, email="eve@example.com"):
    return EmailChallenge(purpose=TokenPurpose.RESET, email=email, user=user, asked_at=at)


def oauth_state(user, at):
    secret = secrets.token_urlsafe(32)
    return OAuthState(id=secret, provider="x", nonce="x", code_verifier="x", user_id=user.id, started_at=at)


def change(user, at):
    return EmailChange(user_id=user.id, old_email="x", old_email_key="x", new_email="y", changed_at=at)


def removed(user, at):
    return RemovedCredential(user_id=user.id, table="passkeys", row={}, known_by="", event_id=1, removed_at=at)


LIMITS = {  # the table, how many days its rows are kept, and how to make one
    "expired sessions": (UserSession, 7, session),
    "revoked sessions": (UserSession, 7, revoked),
    "challenges": (EmailChallenge, 7, challenge),
    "challenges of nobody": (EmailChallenge, 7, lambda user, at: challenge(None, at)),
    "challenges of passkeys": (
        PasskeyChallenge,
        1,
        lambda user, at: PasskeyChallenge(purpose="log_in", browser="x", asked_at=at),
    ),
    "changes of address": (EmailChange, 30, change),
    "removed credentials": (RemovedCredential, 7, removed),
    "emails sent": (OutboxEmail, 30, email),
    "emails given up": (OutboxEmail, 30, lambda user, at: email(user, at, "failed")),
    "emails dropped": (OutboxEmail, 30, lambda user, at: email(user, at, "obsolete")),
    "ways to a provider": (OAuthState, 7, oauth_state),
    "history": (AuditEvent, 365, lambda user, at: AuditEvent(user_id=user.id, action=AuditAction.LOGGED_IN, at=at)),
    "history of nobody": (AuditEvent, 7, lambda user, at: AuditEvent(action=AuditAction.ACCOUNT_DELETED, at=at)),
    "history of administrators": (
        AuditEvent,
        365,
        lambda user, at: AuditEvent(action=AuditAction.ACCOUNT_DELETED, detail={"acting_user": user.id}, at=at),
    ),
    "history of strangers": (
        AuditEvent,
        30,
        lambda user, at: AuditEvent(
            user_id=user.id, action=AuditAction.RESET_REQUESTED, key=secrets.token_hex(8), at=at
        ),
    ),
    "devices": (Device, 365, lambda user, at: Device(user_id=user.id, key="x", first_seen_at=at, last_seen_at=at)),
    "invitations": (
        Invitation,
        30,
        lambda user, at: Invitation(email="eve@example.com", actor=Actor.COMMAND_LINE, expires_at=at),
    ),
    "blocks that ended": (
        Block,
        30,
        lambda user, at: Block(subject="x", key=secrets.token_hex(8), reason="x", ends_at=at),
    ),
}

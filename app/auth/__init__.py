"""The account pages: a module a capability, each with its forms above its views."""

from app.auth import (
    closing,
    device_verification,
    email_change,
    gate,
    history,
    login,
    magic_links,
    passkeys,
    passwords,
    recent_login,
    registration,
    second_factor,
    secure_account,
    sessions,
    sso,
    two_factor,
    usernames,
)
from app.auth.blueprint import bp

__all__ = [
    "bp",
    "closing",
    "device_verification",
    "email_change",
    "gate",
    "history",
    "login",
    "magic_links",
    "passkeys",
    "passwords",
    "recent_login",
    "registration",
    "second_factor",
    "secure_account",
    "sessions",
    "sso",
    "two_factor",
    "usernames",
]

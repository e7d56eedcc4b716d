"""The account pages: one module per feature, with its forms above its views."""

from app.auth import (  # noqa: F401 - registers the views
    access,
    account_deletion,
    account_state,
    blocks,
    confirmation,
    connections,
    device_verification,
    email_change,
    history,
    invitations,
    login,
    login_methods,
    magic_links,
    passkeys,
    passwords,
    personal_data,
    proof_of_work,
    reauthentication,
    recovery_codes,
    registration,
    secure_account,
    sessions,
    settings_pages,
    sso,
    two_factor,
    two_factor_verification,
    usernames,
)
from app.auth.blueprint import bp

__all__ = ["bp"]

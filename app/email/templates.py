"""The register of emails: one line for each template `app/templates/email/<name>.txt`.

An application built on this adds a line, or subclasses EmailTemplate in its own package:

    class GardenEmail(EmailTemplate):
        DIGEST = "digest"

    outbox.enqueue(GardenEmail.DIGEST, user)
"""

# ruff: noqa: S105 - the names of templates are not passwords

from enum import StrEnum

from app.security.token_purposes import TokenPurpose

NOTICES_PER_HOUR = 3  # of one kind to one user


class EmailTemplate(StrEnum):
    """The name of a template, which rows of the outbox store, and its properties."""

    purpose: TokenPurpose | None  # of the token in the link; None: there is no link, or only "This wasn't me"
    is_requestable: bool  # anyone can request this email, so it counts against the budget of its address
    hourly_limit: int | None  # to one address; None: no limit

    def __new__(
        cls, value: str, purpose: TokenPurpose | None = None, is_requestable: bool = False, limit: int | None = None
    ) -> "EmailTemplate":
        member = str.__new__(cls, value)
        member._value_ = value
        member.purpose, member.is_requestable, member.hourly_limit = purpose, is_requestable, limit
        return member


class Email(EmailTemplate):
    """The emails of this application."""

    # Requested by anyone who knows the address
    ACCOUNT_EXISTS = "account_exists", TokenPurpose.RESET, True
    CHANGE_EMAIL = "change_email", TokenPurpose.CHANGE_EMAIL, True
    CODE = "code", None, True
    CONFIRM = "confirm", TokenPurpose.CONFIRM, True
    MAGIC_LINK = "magic_link", TokenPurpose.MAGIC_LINK, True
    NO_ACCOUNT = "no_account", None, True  # its token only spares the recipient the CAPTCHA
    PASSWORD_COMPROMISED = "password_compromised", TokenPurpose.RESET, True, NOTICES_PER_HOUR
    RESET = "reset", TokenPurpose.RESET, True
    VERIFY_DEVICE = "verify_device", None, True

    # Caused by an administrator
    ACCOUNT_CHANGED = "account_changed"
    FIRST_LOGIN = "first_login", TokenPurpose.FIRST_LOGIN
    INVITATION = "account_invitation"  # its token belongs to an Invitation
    FIRST_PASSWORD = "first_password", TokenPurpose.RESET
    TEST = "test"  # flask mail test

    # Notices
    ACCOUNT_DELETED = "account_deleted"
    ACCOUNT_SECURED = "account_secured"
    DELETION_CANCELLED = "deletion_cancelled"
    DELETION_REQUESTED = "deletion_requested"
    EMAIL_CHANGE_REQUESTED = "email_change_requested"
    EMAIL_CHANGED = "email_changed"
    EMAIL_REMOVED = "email_removed"
    IDENTITY_LINKED = "identity_linked"
    IDENTITY_UNLINKED = "identity_unlinked"
    INVITATION_SENT = "invitation_sent"  # to the inviter
    NEW_DEVICE = "new_device", None, False, NOTICES_PER_HOUR
    PASSKEY_ADDED = "passkey_added"
    PASSKEY_COPIED = "passkey_copied", None, False, NOTICES_PER_HOUR
    PASSKEY_REMOVED = "passkey_removed"
    PASSWORD_CHANGED = "password_changed"
    PASSWORD_GUESSING = "password_guessing"
    PASSWORD_REMOVED = "password_removed"
    RECOVERY_CODES_FEW = "recovery_codes_few"
    RECOVERY_CODES_MADE = "recovery_codes_made"
    TWO_FACTOR_ADDED = "two_factor_added"
    TWO_FACTOR_FAILED = "two_factor_failed", None, False, NOTICES_PER_HOUR
    TWO_FACTOR_OFF = "two_factor_off"
    TWO_FACTOR_ON = "two_factor_on"

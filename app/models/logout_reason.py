"""Logout reasons: why a session ended although the user did not log out on that device."""

from enum import StrEnum
from typing import Self


class LogoutReason(StrEnum):
    """A logout reason. `UserSession.revoked_reason` stores the value; the device shows the sentence."""

    sentence: str

    EXPIRED = "expired", "your session expired"
    PASSWORD_CHANGED = "password_changed", "your password was changed on another device"
    PASSWORD_RESET = "password_reset", "your password was reset by email"
    PASSWORD_REMOVED = "password_removed", "your password was removed on another device"
    EMAIL_CHANGED = "email_changed", "your email address was changed"
    EMAIL_OWNERSHIP_PROVED = "email_ownership_proved", "the owner of the email address took over the account"
    ACCOUNT_SECURED = "account_secured", "the account was secured with the link in a security email"
    IDENTITY_UNLINKED = "identity_unlinked", "a connected account was removed on another device"
    TWO_FACTOR_CHANGED = "two_factor_changed", "your two-factor authentication was changed"
    PASSKEY_REMOVED = "passkey_removed", "a passkey was removed on another device"
    REVOKED_ELSEWHERE = "revoked_elsewhere", "you logged out this device from another one"
    LOGGED_OUT_EVERYWHERE = "logged_out_everywhere", "an administrator logged you out on all devices"
    TOO_MANY = "too_many", "you logged in on too many other devices"
    DELETION = "deletion", "your account is scheduled for deletion"
    DEACTIVATED = "deactivated", "your account was deactivated"

    def __new__(cls, value: str, because: str) -> Self:
        reason = str.__new__(cls, value)
        reason._value_ = value
        reason.sentence = f"You were logged out because {because}."
        return reason

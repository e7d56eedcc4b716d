"""Logout reasons: why a session ended although the user did not log out on that device."""

from enum import StrEnum
from typing import Self


class LogoutReason(StrEnum):
    """A logout reason. `UserSession.revoked_reason` stores the value; the device shows the sentence."""

    sentence: str

    EXPIRED = "expired", "your session expired"
    PASSWORD_CHANGED = "password_changed", "the account's password was changed on another device"
    PASSWORD_RESET = "password_reset", "the account's password was reset by email"
    PASSWORD_REMOVED = "password_removed", "the account's password was removed on another device"
    EMAIL_CHANGED = "email_changed", "the account's email address was changed on another device"
    EMAIL_OWNERSHIP_PROVED = "email_ownership_proved", "the owner of the account's email address took it over"
    ACCOUNT_SECURED = "account_secured", "the account was taken back by a link in a security email"
    IDENTITY_UNLINKED = "identity_unlinked", "a linked account was removed on another device"
    TWO_FACTOR_CHANGED = "two_factor_changed", "the account's two-factor authentication was changed"
    PASSKEY_REMOVED = "passkey_removed", "a passkey of the account was removed on another device"
    REVOKED_ELSEWHERE = "revoked_elsewhere", "you logged this device out from another one"
    LOGGED_OUT_EVERYWHERE = "logged_out_everywhere", "an administrator logged you out everywhere"
    TOO_MANY = "too_many", "the account was logged in on too many other devices"
    DELETION = "deletion", "the account will be deleted"
    DEACTIVATED = "deactivated", "the account was deactivated"

    def __new__(cls, value: str, because: str) -> Self:
        reason = str.__new__(cls, value)
        reason._value_ = value
        reason.sentence = f"You were logged out because {because}."
        return reason

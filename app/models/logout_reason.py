"""Logout reasons: why a session ended although the user did not log out on that device."""

from enum import StrEnum
from typing import Self

from flask_babel import lazy_gettext as _l


class LogoutReason(StrEnum):
    """A logout reason. `UserSession.revoked_reason` stores the value; the device shows the sentence."""

    sentence: str

    EXPIRED = "expired", _l("You were logged out because your session expired.")
    PASSWORD_CHANGED = (
        "password_changed",
        _l("You were logged out because your password was changed on another device."),
    )
    PASSWORD_RESET = "password_reset", _l("You were logged out because your password was reset by email.")
    PASSWORD_REMOVED = (
        "password_removed",
        _l("You were logged out because your password was removed on another device."),
    )
    EMAIL_CHANGED = "email_changed", _l("You were logged out because your email address was changed.")
    EMAIL_OWNERSHIP_PROVED = (
        "email_ownership_proved",
        _l("You were logged out because the owner of the email address took over the account."),
    )
    ACCOUNT_SECURED = (
        "account_secured",
        _l("You were logged out because the account was secured with the link in a security email."),
    )
    IDENTITY_UNLINKED = (
        "identity_unlinked",
        _l("You were logged out because a connected account was removed on another device."),
    )
    TWO_FACTOR_CHANGED = (
        "two_factor_changed",
        _l("You were logged out because your two-factor authentication was changed."),
    )
    PASSKEY_REMOVED = "passkey_removed", _l("You were logged out because a passkey was removed on another device.")
    REVOKED_ELSEWHERE = (
        "revoked_elsewhere",
        _l("You were logged out because you logged out this device from another one."),
    )
    LOGGED_OUT_EVERYWHERE = (
        "logged_out_everywhere",
        _l("You were logged out because an administrator logged you out on all devices."),
    )
    TOO_MANY = "too_many", _l("You were logged out because you logged in on too many other devices.")
    DELETION = "deletion", _l("You were logged out because your account is scheduled for deletion.")
    DEACTIVATED = "deactivated", _l("You were logged out because your account was deactivated.")

    def __new__(cls, value: str, sentence: str) -> Self:
        reason = str.__new__(cls, value)
        reason._value_ = value
        reason.sentence = sentence
        return reason

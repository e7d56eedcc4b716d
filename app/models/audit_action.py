"""Audit actions: the kinds of events in the security history of an account.

An application built on this declares its own actions in a subclass of `Action`:

    class GardenAction(Action):
        PLANT_SOLD = "plant_sold", "You sold a plant"
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple, Self

from blinker import NamedSignal

from app.models.logout_reason import LogoutReason
from app.signals import password_changed, user_confirmed, user_registered


class Severity(StrEnum):
    INFO = "info"  # everyday use
    NOTICE = "notice"  # the account or its security changed
    WARNING = "warning"  # possibly an attack


class Facts(NamedTuple):
    """The further attributes of an action."""

    severity: Severity = Severity.INFO
    logout_reason: LogoutReason | None = None  # shown on the other devices that the action logs out
    signals: Sequence[NamedSignal] = ()  # sent after the commit
    by_strangers: bool = False  # anyone can cause many of these, so those of one network and hour share a row


NO_FACTS = Facts()
_registered: dict[str, "Action"] = {}


class Action(StrEnum):
    """The base of audit actions. `AuditEvent.action` stores the value; the history page shows the label."""

    label: str
    facts: Facts

    def __new__(cls, value: str, label: str, facts: Facts = NO_FACTS) -> Self:
        if value in _registered:
            raise ValueError(f"There already is an audit action {value!r}.")
        action = str.__new__(cls, value)
        action._value_ = value
        action.label, action.facts = label, facts
        _registered[value] = action
        return action


def label_of(action: str) -> str:
    """Return the label of a stored action, or the stored value if no enum declares it any more."""
    return _registered[action].label if action in _registered else action


def _notice(reason: LogoutReason, *signals: NamedSignal) -> Facts:
    return Facts(Severity.NOTICE, reason, signals)


_NOTICE = Facts(Severity.NOTICE)
_WARNING = Facts(Severity.WARNING)
_FAILURE_BY_STRANGERS = Facts(Severity.WARNING, by_strangers=True)
_TWO_FACTOR_CHANGED = _notice(LogoutReason.TWO_FACTOR_CHANGED)


class AuditAction(Action):
    REGISTERED = "registered", "You registered", Facts(signals=[user_registered])
    REGISTERED_AGAIN = "registered_again", "Somebody tried to register with your email address", _WARNING
    CONFIRMATION_RESENT = "confirmation_resent", "Another confirmation email was sent"
    CONFIRMED = "confirmed", "Your email address was confirmed", Facts(signals=[user_confirmed])
    EMAIL_CORRECTED = "email_corrected", "You corrected your email address"
    EMAIL_OWNERSHIP_PROVED = (
        "email_ownership_proved",
        "You proved that the email address is yours; everything set up before was removed",
        _notice(LogoutReason.EMAIL_OWNERSHIP_PROVED, user_confirmed, password_changed),
    )

    LOGGED_IN = "logged_in", "You logged in"
    LOGIN_FAILED = "login_failed", "Somebody used a wrong password or passkey", _FAILURE_BY_STRANGERS
    REAUTHENTICATED = "reauthenticated", "You confirmed that it's you"
    CODE_SENT = "code_sent", "A code was sent to your email address"
    LOGGED_OUT = "logged_out", "You logged out"
    LOGGED_OUT_OTHERS = (
        "logged_out_others",
        "You logged out your other devices",
        Facts(logout_reason=LogoutReason.REVOKED_ELSEWHERE),
    )
    LOGGED_OUT_EVERYWHERE = (
        "logged_out_everywhere",
        "You were logged out everywhere",
        _notice(LogoutReason.LOGGED_OUT_EVERYWHERE),
    )

    NEW_DEVICE = "new_device", "The login came from a new device", _NOTICE
    DEVICE_TRUSTED = "device_trusted", "You trusted a device for 30 days", _NOTICE
    DEVICE_UNTRUSTED = "device_untrusted", "You stopped trusting a device"
    DEVICE_CODE_SENT = "device_code_sent", "A code was emailed to you to verify a new device", _NOTICE
    DEVICE_CODE_FAILED = "device_code_failed", "A wrong code was entered on a new device", _WARNING
    DEVICE_VERIFIED = "device_verified", "A new device was verified by the emailed code"
    NEXT_LOGIN_TRUSTED = "next_login_trusted", "Your next login was allowed without an emailed code", _NOTICE
    NEXT_LOGIN_TRUST_USED = "next_login_trust_used", "A new device logged in without a code, as allowed", _NOTICE

    MAGIC_LINK_REQUESTED = "magic_link_requested", "A login link was requested", Facts(by_strangers=True)
    RESET_REQUESTED = "reset_requested", "A link to choose a new password was requested", Facts(by_strangers=True)
    PASSWORD_RESET = (
        "password_reset",
        "A new password was chosen by an emailed link",
        _notice(LogoutReason.PASSWORD_RESET, password_changed),
    )
    PASSWORD_CHANGED = (
        "password_changed",
        "Your password was changed",
        _notice(LogoutReason.PASSWORD_CHANGED, password_changed),
    )
    PASSWORD_REMOVED = (
        "password_removed",
        "Your password was removed",
        _notice(LogoutReason.PASSWORD_REMOVED, password_changed),
    )

    TWO_FACTOR_ON = "two_factor_on", "Two-factor authentication was added", _TWO_FACTOR_CHANGED
    TWO_FACTOR_OFF = "two_factor_off", "Two-factor authentication was removed", _TWO_FACTOR_CHANGED
    TWO_FACTOR_RESET = "two_factor_reset", "Two-factor authentication was turned off", _TWO_FACTOR_CHANGED
    TWO_FACTOR_USED = "two_factor_used", "You completed two-factor authentication"
    TWO_FACTOR_FAILED = "two_factor_failed", "A wrong code was entered for two-factor authentication", _WARNING
    RECOVERY_CODE_FAILED = "recovery_code_failed", "A wrong or used recovery code was entered", _FAILURE_BY_STRANGERS
    RECOVERY_CODES_MADE = "recovery_codes_made", "New recovery codes were created", _NOTICE
    RECOVERY_CODES_FEW = "recovery_codes_few", "Few recovery codes were left", _NOTICE
    PASSKEY_ADDED = "passkey_added", "A passkey was added", _NOTICE
    PASSKEY_REMOVED = "passkey_removed", "A passkey was removed", _notice(LogoutReason.PASSKEY_REMOVED)
    PASSKEY_RENAMED = "passkey_renamed", "A passkey was renamed"
    PASSKEY_COPIED = "passkey_copied", "A passkey was refused because it may have been copied", _WARNING

    USERNAME_CHANGED = "username_changed", "Your username was changed", _NOTICE
    EMAIL_CHANGE_REQUESTED = "email_change_requested", "A change of your email address was requested", _NOTICE
    EMAIL_CHANGED = "email_changed", "Your email address was changed", _notice(LogoutReason.EMAIL_CHANGED)
    IDENTITY_LINKED = "identity_linked", "An account at a login provider was linked", _NOTICE
    IDENTITY_UNLINKED = (
        "identity_unlinked",
        "An account at a login provider was unlinked",
        _notice(LogoutReason.IDENTITY_UNLINKED),
    )
    ACCOUNT_SECURED = (
        "account_secured",
        "The account was taken back by a link in a security email",
        Facts(Severity.WARNING, LogoutReason.ACCOUNT_SECURED, [password_changed]),
    )

    EXPORTED = "exported", "Your data was downloaded", _NOTICE
    DELETION_REQUESTED = "deletion_requested", "Account deletion was requested", _notice(LogoutReason.DELETION)
    DELETION_CANCELLED = "deletion_cancelled", "Account deletion was cancelled", _NOTICE
    ACCOUNT_DELETED = "account_deleted", "The account was deleted", _NOTICE
    ADMIN_CHANGED = "admin_changed", "Your administrator rights were changed", _NOTICE
    DEACTIVATED = "deactivated", "Your account was deactivated", _notice(LogoutReason.DEACTIVATED)
    ACTIVATED = "activated", "Your account was activated again", _NOTICE

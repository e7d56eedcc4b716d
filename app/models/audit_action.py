"""Audit actions: the kinds of events in the security history of an account.

An application built on this declares its own actions in a subclass of `Action`:

    class GardenAction(Action):
        PLANT_SOLD = "plant_sold", "Plant sold"
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple, Self

from blinker import NamedSignal
from flask_babel import lazy_gettext as _l
from flask_babel import pgettext

from app.models.logout_reason import LogoutReason
from app.signals import password_changed, user_confirmed, user_registered


class Severity(StrEnum):
    INFO = "info"  # everyday use
    NOTICE = "notice"  # the account or its security changed
    WARNING = "warning"  # possibly an attack


class Topic(StrEnum):
    """What an action is about. The value names its icon."""

    ACCOUNT = "user"
    CODES = "codes"
    DATA = "download"
    DEVICE = "computer"
    EMAIL = "mail"
    IDENTITY = "link"
    LOGIN = "log-in"
    LOGOUT = "log-out"
    PASSKEY = "passkey"
    PASSWORD = "key"  # noqa: S105 - a name
    TWO_FACTOR = "shield"


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
    topic: Topic
    facts: Facts

    def __new__(cls, value: str, label: str, topic: Topic = Topic.ACCOUNT, facts: Facts = NO_FACTS) -> Self:
        if value in _registered:
            raise ValueError(f"There already is an audit action {value!r}.")
        action = str.__new__(cls, value)
        action._value_ = value
        action.label, action.topic, action.facts = label, topic, facts
        _registered[value] = action
        return action

    @property
    def has_failed(self) -> bool:
        """Whether this is a failed attempt."""
        return self.facts.severity is Severity.WARNING and self.endswith("_failed")

    @property
    def status(self) -> str:
        """ "Failed" for a failed attempt, "Warning" for another sign of a possible attack, or else ""."""
        if self.facts.severity is not Severity.WARNING:
            return ""
        return pgettext("event", "Failed") if self.has_failed else pgettext("event", "Warning")


def find(action: str) -> Action | None:
    """Return a stored action; None if no enum declares it any more."""
    return _registered.get(action)


def registered() -> Iterable[Action]:
    return _registered.values()


def _notice(reason: LogoutReason, *signals: NamedSignal) -> Facts:
    return Facts(Severity.NOTICE, reason, signals)


_NOTICE = Facts(Severity.NOTICE)
_WARNING = Facts(Severity.WARNING)
_BY_STRANGERS = Facts(by_strangers=True)
_FAILURE_BY_STRANGERS = Facts(Severity.WARNING, by_strangers=True)
_TWO_FACTOR_CHANGED = _notice(LogoutReason.TWO_FACTOR_CHANGED)


class AuditAction(Action):
    REGISTERED = "registered", _l("Account created"), Topic.ACCOUNT, Facts(signals=[user_registered])
    IMPORTED = "imported", _l("Account imported")
    REGISTERED_AGAIN = (
        "registered_again",
        _l("Someone tried to create an account with your email address"),
        Topic.EMAIL,
        _WARNING,
    )
    CONFIRMATION_RESENT = "confirmation_resent", _l("Confirmation email sent again"), Topic.EMAIL
    CONFIRMED = "confirmed", _l("Email address confirmed"), Topic.EMAIL, Facts(signals=[user_confirmed])
    EMAIL_BOUNCED = "email_bounced", _l("Email to your address came back"), Topic.EMAIL, _NOTICE
    EMAIL_COMPLAINED = "email_complained", _l("Email reported as spam"), Topic.EMAIL, _NOTICE
    EMAIL_CORRECTED = "email_corrected", _l("Email address corrected"), Topic.EMAIL
    EMAIL_DROPPED = "email_dropped", _l("Email dropped"), Topic.EMAIL, _NOTICE
    EMAILS_RETRIED = "emails_retried", _l("All unsent emails retried"), Topic.EMAIL, _NOTICE
    EMAIL_OWNERSHIP_PROVED = (
        "email_ownership_proved",
        _l("Account claimed by the owner of its email address"),
        Topic.EMAIL,
        _notice(LogoutReason.EMAIL_OWNERSHIP_PROVED, user_confirmed, password_changed),
    )

    LOGGED_IN = "logged_in", _l("Logged in"), Topic.LOGIN
    LOGIN_FAILED = "login_failed", _l("Failed login"), Topic.LOGIN, _FAILURE_BY_STRANGERS
    REAUTHENTICATED = "reauthenticated", _l("Confirmed it was you"), Topic.LOGIN
    CODE_SENT = "code_sent", _l("Code sent to your email address"), Topic.LOGIN
    LOGGED_OUT = "logged_out", _l("Logged out"), Topic.LOGOUT
    LOGGED_OUT_OTHERS = (
        "logged_out_others",
        _l("Logged out all other devices"),
        Topic.LOGOUT,
        Facts(logout_reason=LogoutReason.REVOKED_ELSEWHERE),
    )
    LOGGED_OUT_EVERYWHERE = (
        "logged_out_everywhere",
        _l("Logged out everywhere"),
        Topic.LOGOUT,
        _notice(LogoutReason.LOGGED_OUT_EVERYWHERE),
    )

    NEW_DEVICE = "new_device", _l("New device logged in"), Topic.DEVICE, _NOTICE
    DEVICE_TRUSTED = "device_trusted", _l("Device trusted for 30 days"), Topic.DEVICE, _NOTICE
    DEVICE_UNTRUSTED = "device_untrusted", _l("Device no longer trusted"), Topic.DEVICE
    DEVICE_CODE_SENT = "device_code_sent", _l("Code for a new device sent by email"), Topic.DEVICE, _NOTICE
    DEVICE_CODE_FAILED = "device_code_failed", _l("Wrong code entered on a new device"), Topic.DEVICE, _WARNING
    DEVICE_VERIFIED = "device_verified", _l("New device verified with an emailed code"), Topic.DEVICE
    NEXT_LOGIN_TRUSTED = "next_login_trusted", _l("Next login allowed without an emailed code"), Topic.DEVICE, _NOTICE
    NEXT_LOGIN_TRUST_USED = (
        "next_login_trust_used",
        _l("New device logged in without an emailed code, as allowed"),
        Topic.DEVICE,
        _NOTICE,
    )

    MAGIC_LINK_REQUESTED = "magic_link_requested", _l("Login link requested"), Topic.LOGIN, _BY_STRANGERS
    RESET_REQUESTED = "reset_requested", _l("Password reset requested"), Topic.PASSWORD, _BY_STRANGERS
    PASSWORD_RESET = (
        "password_reset",
        _l("Password reset by email"),
        Topic.PASSWORD,
        _notice(LogoutReason.PASSWORD_RESET, password_changed),
    )
    PASSWORD_CHANGED = (
        "password_changed",
        _l("Password changed"),
        Topic.PASSWORD,
        _notice(LogoutReason.PASSWORD_CHANGED, password_changed),
    )
    PASSWORD_COMPROMISED = (
        "password_compromised",
        _l("Breached password refused"),
        Topic.PASSWORD,
        _FAILURE_BY_STRANGERS,
    )
    PASSWORD_REMOVED = (
        "password_removed",
        _l("Password removed"),
        Topic.PASSWORD,
        _notice(LogoutReason.PASSWORD_REMOVED, password_changed),
    )

    TWO_FACTOR_ON = "two_factor_on", _l("Two-factor authentication set up"), Topic.TWO_FACTOR, _TWO_FACTOR_CHANGED
    TWO_FACTOR_OFF = "two_factor_off", _l("Two-factor authentication removed"), Topic.TWO_FACTOR, _TWO_FACTOR_CHANGED
    TWO_FACTOR_RESET = (
        "two_factor_reset",
        _l("Two-factor authentication turned off"),
        Topic.TWO_FACTOR,
        _TWO_FACTOR_CHANGED,
    )
    TWO_FACTOR_USED = "two_factor_used", _l("Two-factor authentication completed"), Topic.LOGIN
    TWO_FACTOR_FAILED = "two_factor_failed", _l("Wrong two-factor code entered"), Topic.LOGIN, _WARNING
    RECOVERY_CODE_FAILED = (
        "recovery_code_failed",
        _l("Wrong or used recovery code entered"),
        Topic.LOGIN,
        _FAILURE_BY_STRANGERS,
    )
    RECOVERY_CODES_MADE = "recovery_codes_made", _l("New recovery codes created"), Topic.CODES, _NOTICE
    RECOVERY_CODES_FEW = "recovery_codes_few", _l("Few recovery codes left"), Topic.CODES, _NOTICE
    PASSKEY_ADDED = "passkey_added", _l("Passkey added"), Topic.PASSKEY, _NOTICE
    PASSKEY_REMOVED = "passkey_removed", _l("Passkey removed"), Topic.PASSKEY, _notice(LogoutReason.PASSKEY_REMOVED)
    PASSKEY_RENAMED = "passkey_renamed", _l("Passkey renamed"), Topic.PASSKEY
    PASSKEY_COPIED = "passkey_copied", _l("Passkey refused because it may have been copied"), Topic.PASSKEY, _WARNING

    USERNAME_CHANGED = "username_changed", _l("Username changed"), Topic.ACCOUNT, _NOTICE
    EMAIL_CHANGE_REQUESTED = "email_change_requested", _l("Email address change requested"), Topic.EMAIL, _NOTICE
    EMAIL_CHANGED = "email_changed", _l("Email address changed"), Topic.EMAIL, _notice(LogoutReason.EMAIL_CHANGED)
    IDENTITY_LINKED = "identity_linked", _l("Connected account added"), Topic.IDENTITY, _NOTICE
    IDENTITY_UNLINKED = (
        "identity_unlinked",
        _l("Connected account removed"),
        Topic.IDENTITY,
        _notice(LogoutReason.IDENTITY_UNLINKED),
    )
    ACCOUNT_SECURED = (
        "account_secured",
        _l('Account secured with a "This wasn\'t me" link'),
        Topic.ACCOUNT,
        Facts(Severity.WARNING, LogoutReason.ACCOUNT_SECURED, [password_changed]),
    )

    EXPORTED = "exported", _l("Data downloaded"), Topic.DATA, _NOTICE
    DELETION_REQUESTED = (
        "deletion_requested",
        _l("Account deletion requested"),
        Topic.ACCOUNT,
        _notice(LogoutReason.DELETION),
    )
    DELETION_CANCELLED = "deletion_cancelled", _l("Account deletion canceled"), Topic.ACCOUNT, _NOTICE
    ACCOUNT_DELETED = "account_deleted", _l("Account deleted"), Topic.ACCOUNT, _NOTICE
    ROLE_CHANGED = "role_changed", _l("Role changed"), Topic.ACCOUNT, _NOTICE
    DEACTIVATED = "deactivated", _l("Account deactivated"), Topic.ACCOUNT, _notice(LogoutReason.DEACTIVATED)
    ACTIVATED = "activated", _l("Account reactivated"), Topic.ACCOUNT, _NOTICE

    INVITED = "invited", _l("Invitation sent"), Topic.EMAIL, _NOTICE
    INVITATION_ACCEPTED = "invitation_accepted", _l("Invitation accepted"), Topic.EMAIL, _NOTICE
    INVITATION_WITHDRAWN = "invitation_withdrawn", _l("Invitation withdrawn"), Topic.EMAIL, _NOTICE
    BLOCKED = "blocked", _l("Block added"), Topic.ACCOUNT, _NOTICE
    UNBLOCKED = "unblocked", _l("Block removed"), Topic.ACCOUNT, _NOTICE

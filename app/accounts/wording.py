"""How stored values read on pages and in commands: the method of a login, and the details of an audit event."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, NamedTuple

from flask import current_app
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel import pgettext

from app import formats
from app.models import Actor, AuditAction, AuditEvent
from app.models.role import role_label


class Method(NamedTuple):
    """A login method: its name, and what happened when a user logged in by it, or failed to."""

    name: str
    login: str
    failure: str


FACTORS = {
    "authenticator": _l("Authenticator app"),
    "passkey": _l("Passkey"),
    "recovery_code": _l("Recovery code"),
}
DELETIONS = {AuditAction.DELETION_REQUESTED, AuditAction.DELETION_CANCELLED}  # they change a date
METHODS = {
    "password": Method(_l("Password"), _l("Logged in with a password"), _l("Failed login with a password")),
    "passkey": Method(_l("Passkey"), _l("Logged in with a passkey"), _l("Failed login with a passkey")),
    "magic_link": Method(
        _l("Emailed link"), _l("Logged in with an emailed link"), _l("Failed login with an emailed link")
    ),
    "registration": Method(
        _l("New account"), _l("Logged in by creating the account"), _l("Failed login by creating the account")
    ),
    "confirmation": Method(
        _l("Confirmed email address"),
        _l("Logged in by confirming the email address"),
        _l("Failed login by confirming the email address"),
    ),
}
# Translators: %(event)s is a sentence such as "Account deactivated".
BY_ADMINISTRATOR = _l("%(event)s, by an administrator")
# Translators: %(event)s is a sentence such as "Account deactivated".
AT_COMMAND_LINE = _l("%(event)s, by an administrator at the command line")
ACTORS = {Actor.ADMINISTRATOR: BY_ADMINISTRATOR, Actor.COMMAND_LINE: AT_COMMAND_LINE}


def at_provider(label: str) -> Method:
    """Return the words for logins at a provider with this label."""
    login = _l("Logged in with %(provider)s", provider=label)
    return Method(label, login, _l("Failed login with %(provider)s", provider=label))


def login_method(method: str) -> str:
    """Return the name of a login method, such as "Password"; of one that only another release knows, what is stored."""
    found = _method(method)
    return str(found.name) if found else method


def login(method: str) -> str:
    """Return how a user logged in, such as "Logged in with a password"."""
    found = _method(method)
    return str(found.login if found else AuditAction.LOGGED_IN.label)


def provider_label(name: str) -> str:
    provider = current_app.config["OIDC_PROVIDERS"].get(name)
    return str(provider.label) if provider else name


def deactivated() -> str:
    """Return what the user of a deactivated account reads."""
    if email := current_app.config["SUPPORT_EMAIL"]:
        return _("This account has been deactivated. If you didn't expect this, contact %(email)s.", email=email)
    return _("This account has been deactivated. If you didn't expect this, contact the administrators of this site.")


def title(event: AuditEvent) -> str:
    """Return what happened, how and by whom, such as "Logged in with a passkey"."""
    return str(ACTORS[event.actor]) % {"event": happened(event)} if event.actor else happened(event)


def happened(event: AuditEvent) -> str:
    """Return what happened and how."""
    method = _method(event.detail.get("method", ""))
    if method and event.action == AuditAction.LOGGED_IN:
        return str(method.login)
    return str(method.failure) if method and event.action == AuditAction.LOGIN_FAILED else event.label


def details(event: AuditEvent) -> list[tuple[str, str]]:
    """Return further values of an event with their names: what it changed or is about, why, how."""
    is_date, detail = event.action in DELETIONS, event.detail
    before = _("Deletion date before") if is_date else _("Before")
    after = _("Deletion date after") if is_date else _("After")
    found = {name: detail[key] for name, key in ((before, "old"), (after, "new")) if key in detail}
    shown = [(name if len(found) == 2 else _("About"), _value(event, value)) for name, value in found.items()]
    further: dict[str, tuple[str, Callable[[Any], str]]] = {
        "former_id": (_("Id of the deleted account"), str),
        "role": (_("Role"), role_label),
        "reason": (_("Reason"), str),
        "provider": (_("Provider"), provider_label),
    }
    shown += [(name, text(detail[key])) for key, (name, text) in further.items() if key in detail]
    return shown + [(_("Method"), str(FACTORS[key])) for key in (detail.get("factor"),) if key in FACTORS]


def _value(event: AuditEvent, value: Any) -> str:
    if value is None:
        return pgettext("value", "None")
    if isinstance(value, bool):
        return _("Yes") if value else _("No")
    if event.action == AuditAction.ROLE_CHANGED:
        return role_label(value)
    return formats.day(datetime.fromisoformat(value)) if event.action in DELETIONS else str(value)


def _method(method: str) -> Method | None:
    kind, _colon, provider = method.partition(":")
    return at_provider(provider_label(provider)) if kind == "sso" else METHODS.get(method)


def distinct(labels: Iterable[str]) -> list[str]:
    """Number labels that repeat an earlier one, so that screen readers tell their buttons apart."""
    numbered: dict[str, int] = {}  # each label with the last number that was added to it
    for label in labels:
        name = label
        while name in numbered:
            numbered[label] += 1
            name = f"{label} ({numbered[label]})"
        numbered[name] = 1
    return [*numbered]

"""How stored values read on pages and in commands: the method of a login, and the details of an audit event."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from flask import current_app
from flask_babel import gettext as _

from app import formats
from app.models import AuditAction, AuditEvent

FACTORS = {"authenticator": "Authenticator app", "passkey": "Passkey", "recovery_code": "Recovery code"}
DELETIONS = {AuditAction.DELETION_REQUESTED, AuditAction.DELETION_CANCELLED}  # they change a date
METHODS = {
    "password": "with a password",
    "passkey": "with a passkey",
    "magic_link": "with an emailed link",
    "registration": "by creating the account",
    "confirmation": "by confirming the email address",
}


def login_method(method: str) -> str:
    """Return how a user logged in, such as "with a password"; "" for a method that only another release knows."""
    kind, _, provider = method.partition(":")
    return f"with {provider_label(provider)}" if kind == "sso" else METHODS.get(method, "")


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
    words = f"{event.label} {login_method(event.detail.get('method', ''))}".strip()
    return f"{words}, by {event.actor}" if event.actor else words


def details(event: AuditEvent) -> list[tuple[str, str]]:
    """Return further values of an event with their names: what it changed or is about, why, how."""
    before, after = (
        ("Deletion date before", "Deletion date after") if event.action in DELETIONS else ("Before", "After")
    )
    found = {name: event.detail[key] for name, key in ((before, "old"), (after, "new")) if key in event.detail}
    shown = [(name if len(found) == 2 else "About", _value(event, value)) for name, value in found.items()]
    shown += [("Id of the deleted account", str(event.detail["former_id"]))] if "former_id" in event.detail else []
    shown += [(name.capitalize(), str(event.detail[name])) for name in ("role", "reason") if name in event.detail]
    if "provider" in event.detail:
        shown.append(("Provider", provider_label(event.detail["provider"])))
    if event.detail.get("factor") in FACTORS:
        shown.append(("Method", FACTORS[event.detail["factor"]]))
    return shown


def _value(event: AuditEvent, value: Any) -> str:
    if value is None:
        return "None"
    if isinstance(value, bool):
        return "Yes" if value else "No"
    return formats.day(datetime.fromisoformat(value)) if event.action in DELETIONS else str(value)


def distinct(labels: Iterable[str]) -> list[str]:
    """Number labels that repeat an earlier one, so that screen readers tell their buttons apart."""
    seen: Counter[str] = Counter()
    numbered = []
    for label in labels:
        seen[label] += 1
        numbered.append(f"{label} ({seen[label]})" if seen[label] > 1 else label)
    return numbered

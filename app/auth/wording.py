"""How stored values read on pages: the method of a login, and the details of an audit event."""

from collections import Counter
from collections.abc import Iterable

from flask import current_app

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


def distinct(labels: Iterable[str]) -> list[str]:
    """Number labels that repeat an earlier one, so that screen readers tell their buttons apart."""
    seen: Counter[str] = Counter()
    numbered = []
    for label in labels:
        seen[label] += 1
        numbered.append(f"{label} ({seen[label]})" if seen[label] > 1 else label)
    return numbered

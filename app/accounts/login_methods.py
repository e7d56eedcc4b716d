"""Login methods: what the settings show of a user's password, passkeys and connected accounts."""

from typing import Any

from app.accounts import passkeys, passwords, sso
from app.models import User


def overview(user: User) -> dict[str, Any]:
    """Return what the template auth/_login_method_rows.html shows."""
    found = {"passkeys": passkeys.all_of(user), "linked": sso.labels(user)}
    return found | {"password_set_at": passwords.set_at(user)}

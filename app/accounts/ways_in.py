"""All ways into an account at once: they go when its mailbox is proved for the first time, or a change of it undone."""

from typing import Any

from sqlalchemy import delete

from app import mail
from app.accounts import sessions
from app.extensions import rows_changed
from app.models import Identity, User


def remove(user: User, reason: str) -> None:
    """Close every way in but the password, which whoever calls has dealt with: all browsers, all letters with links.

    What is added to an account as a way in is to be removed here.
    """
    sessions.end_others(user, reason=reason)
    sessions.forget_devices(user)  # none is known any more
    rows_changed(delete(Identity).where(Identity.user_id == user.id))
    mail.drop(user)


def disown(user: User, named: dict[str, Any]) -> None:
    """Remove the way in that a letter told of, and whose reader says that it is not theirs."""
    rows_changed(delete(Identity).where(Identity.user_id == user.id, Identity.id == named.get("identity")))

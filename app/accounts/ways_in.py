"""All ways into an account at once: they go when its mailbox is proved for the first time, or a change of it undone."""

from sqlalchemy import delete

from app import mail
from app.accounts import sessions, two_factor
from app.extensions import rows_changed
from app.models import Identity, User


def remove(user: User, reason: str) -> None:
    """Close every way in but the password, which whoever calls has dealt with.

    Browsers end, and are neither known nor trusted; linked accounts, passkeys and other second factors, recovery codes
    and letters with links go.

    What is added to an account as a way in is to be removed here.
    """
    sessions.end_others(user, reason=reason)
    sessions.forget_devices(user)
    rows_changed(delete(Identity).where(Identity.user_id == user.id))
    two_factor.remove_all(user)
    mail.drop(user)

"""The offer of a passkey, on the page after a login by password on a recognised device."""

from datetime import timedelta

from flask import current_app, request, session
from flask_login import current_user

from app import switches
from app.accounts import passkeys, sessions, two_factor
from app.models import User
from app.request_state import SessionKey
from app.security import user_agents
from app.security.rate_limits.policies import is_known_device

NOT_NOW = timedelta(days=90)  # until the offer is made again in this browser


def is_due(user: User, login: str) -> bool:
    """Return whether to offer a passkey after this login by password: to a user without one, who has not declined."""
    has_declined = current_app.config["OFFER_COOKIE_NAME"] in request.cookies
    can_add = switches.is_on("passkey") and user.can_use_application and not user.deletion_due_at
    can_add = can_add and not two_factor.is_on(user)
    return can_add and not has_declined and is_known_device(login) and not passkeys.all_of(user)


def offered_passkey() -> str:
    """Return the name for the passkey that this page offers, or "" if it offers none. The offer is made once."""
    is_due = current_user.can_use_application and session.pop(SessionKey.PASSKEY_OFFER, None)
    is_shown = is_due and sessions.is_recently_authenticated(current_user.current_session)
    return user_agents.in_words(request.user_agent.string) if is_shown else ""

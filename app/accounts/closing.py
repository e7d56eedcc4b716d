"""Accounts that are shut, and opened again."""

from app import audit, clock
from app.accounts import sessions
from app.models import User


def deactivate(user: User) -> None:
    """Keep a person out, from the next request on. Nothing is lost."""
    if user.is_active:
        user.deactivated_at = clock.now()
        sessions.end_others(user, reason="deactivated")
        audit.record(user, "deactivated")


def activate(user: User) -> None:
    """Let a person in again."""
    if not user.is_active:
        user.deactivated_at = None
        audit.record(user, "activated")

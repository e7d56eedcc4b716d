"""The tables."""

from app.models.event import Event
from app.models.outbox import Letter
from app.models.user import User
from app.models.user_session import UserSession

__all__ = ["Event", "Letter", "User", "UserSession"]

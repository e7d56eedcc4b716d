"""The tables."""

from app.models.chore import Chore
from app.models.count import Count
from app.models.device import Device
from app.models.email_challenge import EmailChallenge
from app.models.email_change import EmailChange
from app.models.event import Event
from app.models.outbox import Letter
from app.models.user import User
from app.models.user_session import UserSession

__all__ = ["Chore", "Count", "Device", "EmailChallenge", "EmailChange", "Event", "Letter", "User", "UserSession"]

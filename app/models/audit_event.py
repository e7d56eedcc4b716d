"""An event of the security history: what happened to an account, when, from where, how often, and who did it."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from sqlalchemy import JSON, ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from app import clock
from app.database import WideId
from app.extensions import Model
from app.models.audit_action import label_of

IS_ANONYMOUS = text("key IS NOT NULL")


class Actor(StrEnum):
    """Who acts on another user's account. The value is stored in `AuditEvent.detail["by"]`."""

    label: str

    ADMINISTRATOR = "administrator", "an administrator"
    COMMAND_LINE = "command_line", "an administrator at the command line"

    def __new__(cls, value: str, label: str) -> Self:
        actor = str.__new__(cls, value)
        actor._value_ = value
        actor.label = label
        return actor


class AuditEvent(Model):
    __tablename__ = "audit_events"
    __table_args__ = (
        Index(None, "user_id", "at"),
        Index(None, "network", "at"),
        Index(None, "key", unique=True, sqlite_where=IS_ANONYMOUS, postgresql_where=IS_ANONYMOUS),
        Index("ix_audit_events_anonymous", "at", sqlite_where=IS_ANONYMOUS, postgresql_where=IS_ANONYMOUS),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(WideId, primary_key=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    action: Mapped[str] = mapped_column(String(64))  # the value of an Action
    at: Mapped[datetime] = mapped_column(default=lambda: clock.now(), index=True)
    ip: Mapped[str] = mapped_column(String(45), default="")
    network: Mapped[str] = mapped_column(String(45), default="", server_default="")  # the IPv4 address, or the IPv6 /64
    user_agent: Mapped[str] = mapped_column(Text, default="")
    session: Mapped[str] = mapped_column(String(22), default="", server_default="")  # UserSession.key, if any
    link_revoked_at: Mapped[datetime | None]  # since when "This wasn't me" no longer works for this event
    detail: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    # What strangers can cause is one row per account, network and hour, identified by `key`; `at` is the latest time.
    key: Mapped[str | None] = mapped_column(String(22))
    count: Mapped[int] = mapped_column(default=1, server_default="1")

    @property
    def label(self) -> str:
        """Return what the history page says of this event."""
        return label_of(self.action)

    @property
    def actor(self) -> str:
        """Return who did it in words, or "" if it was the user."""
        return next((actor.label for actor in Actor if actor == self.detail.get("by")), "")

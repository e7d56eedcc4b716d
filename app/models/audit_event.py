"""One line of security history: what happened to an account, when, from where, and how often."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from app import clock
from app.database import WideId
from app.extensions import Model
from app.models.audit_action import label_of

IS_ANONYMOUS = text("key IS NOT NULL")


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
    action: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime] = mapped_column(default=lambda: clock.now(), index=True)
    ip: Mapped[str] = mapped_column(String(45), default="")
    network: Mapped[str] = mapped_column(String(45), default="", server_default="")  # of the ip: itself, or its /64
    user_agent: Mapped[str] = mapped_column(Text, default="")
    session: Mapped[str] = mapped_column(String(22), default="", server_default="")  # UserSession.key, if any
    link_revoked_at: Mapped[datetime | None]  # since when "This wasn't me" of this event is no longer possible
    detail: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    # What strangers can cause is one row for an account, a network and an hour, which this names; `at` is the latest.
    key: Mapped[str | None] = mapped_column(String(22))
    count: Mapped[int] = mapped_column(default=1, server_default="1")

    @property
    def label(self) -> str:
        """Return what the history page says of this event."""
        return label_of(self.action)

"""Audit events: the security history of an account."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, ColumnElement, ForeignKey, Index, String, Text, text
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, mapped_column

from app import clock
from app.database import WideId
from app.extensions import Model
from app.models.audit_action import Action, find

IS_ANONYMOUS = text("key IS NOT NULL")


class Actor(StrEnum):
    """An actor other than the user. `AuditEvent.detail["by"]` stores the value."""

    ADMINISTRATOR = "administrator"
    COMMAND_LINE = "command_line"


class AuditEvent(Model):
    __tablename__ = "audit_events"
    __table_args__ = (
        Index(None, "user_id", "at"),
        Index(None, "network", "at"),
        Index(None, "action", "at"),
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
    link_revoked_at: Mapped[datetime | None]  # the event's "This wasn't me" link works until then
    detail: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    # Events that strangers can cause share one row per account, network and hour: `key` identifies it, `at` is the
    # time of the latest event.
    key: Mapped[str | None] = mapped_column(String(22))
    count: Mapped[int] = mapped_column(default=1, server_default="1")

    @hybrid_property
    def by_administrator(self) -> bool:
        """Whether an administrator did it on the administration pages."""
        return "acting_user" in self.detail

    @by_administrator.inplace.expression
    @classmethod
    def _by_administrator_in_sql(cls) -> ColumnElement[bool]:
        found: ColumnElement[bool] = cls.detail["acting_user"].as_integer().is_not(None)
        return found

    @property
    def declared(self) -> Action | None:
        """The action; None if no enum declares it any more."""
        return find(self.action)

    @property
    def label(self) -> str:
        return str(self.declared.label) if self.declared else self.action

    @property
    def actor(self) -> Actor | None:
        """The actor; None if the user acted."""
        return next((actor for actor in Actor if actor == self.detail.get("by")), None)

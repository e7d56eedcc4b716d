"""One line of security history: what happened to an account, when, and from where."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app import clock
from app.database import WideId
from app.extensions import Model


class Event(Model):
    __tablename__ = "events"
    __table_args__ = (Index(None, "user_id", "at"), Index(None, "network", "at"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(WideId, primary_key=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    action: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime] = mapped_column(default=lambda: clock.now(), index=True)
    ip: Mapped[str] = mapped_column(String(45), default="")
    network: Mapped[str] = mapped_column(String(45), default="", server_default="")  # of the ip: itself, or its /64
    user_agent: Mapped[str] = mapped_column(Text, default="")
    detail: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)

"""Counters of rate limits. Their keys contain logins as hashes only."""

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Model


class RateLimitCounter(Model):
    __tablename__ = "rate_limit_counters"
    __table_args__ = ()  # no AUTOINCREMENT: the id is the counter's key

    id: Mapped[str] = mapped_column(String(200), primary_key=True)
    count: Mapped[int]
    expires_at: Mapped[datetime] = mapped_column(index=True)  # then counting starts again

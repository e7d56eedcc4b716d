"""How often something happened lately: what the limits compare. It names nobody: a name is hashed."""

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Model


class RateLimitCounter(Model):
    __tablename__ = "rate_limit_counters"
    __table_args__ = ()  # no AUTOINCREMENT: the id says what is counted

    id: Mapped[str] = mapped_column(String(200), primary_key=True)
    count: Mapped[int]
    expires_at: Mapped[datetime] = mapped_column(index=True)  # then it starts from nothing

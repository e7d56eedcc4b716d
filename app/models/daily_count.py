"""Daily counts: how often something happened on a day that is over. They say nothing about a user, and are kept."""

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Model


class DailyCount(Model):
    __tablename__ = "daily_counts"
    __table_args__ = ()  # no AUTOINCREMENT

    day: Mapped[datetime] = mapped_column(primary_key=True)  # its beginning, in UTC
    name: Mapped[str] = mapped_column(String(64), primary_key=True)  # a Measure; for logins, with the method
    count: Mapped[int]

"""Daily counts: how often something happened on a day that is over. They say nothing about a user, and are kept."""

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Model, db, insert_into


class DailyCount(Model):
    __tablename__ = "daily_counts"
    __table_args__ = ()  # no AUTOINCREMENT

    day: Mapped[datetime] = mapped_column(primary_key=True)  # its beginning, in UTC
    name: Mapped[str] = mapped_column(String(64), primary_key=True)  # a Measure; for logins, with the method
    count: Mapped[int]

    @classmethod
    def add(cls, day: datetime, name: str, number: int) -> None:
        """Add to a count, or subtract from it."""
        row = insert_into(cls).values(day=day, name=name, count=number)
        db.session.execute(
            row.on_conflict_do_update(index_elements=["day", "name"], set_={"count": cls.count + number})
        )

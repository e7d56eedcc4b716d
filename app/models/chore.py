"""What is to be done once a day, by one process of many."""

from datetime import datetime, timedelta

from sqlalchemy import String, or_, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from app import clock
from app.extensions import Model, db, rows_changed

DAY = timedelta(days=1)


class Chore(Model):
    __tablename__ = "chores"
    __table_args__ = ()  # no AUTOINCREMENT: the id is a name

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    done_at: Mapped[datetime | None]

    @classmethod
    def claim(cls, name: str) -> bool:
        """Say whether it is for this process to do now: nobody has within a day, and nobody else will."""
        now = clock.now()
        if db.session.get(cls, name) is None:
            db.session.add(cls(id=name))
            try:
                db.session.commit()
            except IntegrityError:
                db.session.rollback()
        due = update(cls).where(cls.id == name, or_(cls.done_at.is_(None), cls.done_at <= now - DAY))
        mine = rows_changed(due.values(done_at=now)) == 1
        db.session.commit()
        return mine

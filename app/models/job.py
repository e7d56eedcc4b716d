"""Jobs: the lease of the process that runs one, and the outcome of its last run."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, String, Text, and_, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import InstrumentedAttribute, Mapped, mapped_column

from app import clock
from app.extensions import Model, db, rows_changed

EVERY = timedelta(days=1)
RETRY = timedelta(minutes=10)  # after an error
LEASE = timedelta(minutes=2)  # then another process takes over, since this one was probably killed


class Job(Model):
    __tablename__ = "jobs"
    __table_args__ = ()  # no AUTOINCREMENT: the id is a name

    name: Mapped[str] = mapped_column("id", String(64), primary_key=True)
    run: Mapped[int] = mapped_column(default=0)  # the number of the latest run; earlier ones have lost the lease
    started_at: Mapped[datetime | None]
    leased_until: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    failed_at: Mapped[datetime | None]  # cleared by the next run without an error
    error: Mapped[str] = mapped_column(Text, default="", server_default="")
    row_count: Mapped[int | None]  # of the latest run, like the duration
    duration: Mapped[float | None]  # seconds

    @classmethod
    def claim(cls, name: str, every: timedelta = EVERY, even_if_done: bool = False) -> int | None:
        """Lease a job to this process and return the number of the run; None if it isn't due or runs elsewhere."""
        is_free = _is_past(cls.leased_until, timedelta(0), ahead=LEASE)
        is_due = and_(_is_past(cls.finished_at, every), _is_past(cls.failed_at, RETRY))
        is_runnable = is_free if even_if_done else and_(is_free, is_due)
        found = db.session.execute(select(cls.run, is_runnable).where(cls.name == name)).one_or_none()
        run, is_mine = found or (cls._add(name), True)
        if is_mine:
            latest = update(cls).where(cls.name == name, cls.run == run, is_runnable)
            lease = {"run": run + 1, "started_at": clock.now(), "leased_until": clock.now() + LEASE}
            is_mine = rows_changed(latest.values(lease)) == 1
        db.session.commit()
        return run + 1 if is_mine else None

    @classmethod
    def change(cls, name: str, run: int, **changes: Any) -> bool:
        """Update a job if this run still has the lease; return whether it has."""
        mine = update(cls).where(cls.name == name, cls.run == run)
        return rows_changed(mine.values(changes).execution_options(synchronize_session=False)) == 1

    @classmethod
    def renew(cls, name: str, run: int) -> bool:
        """Renew the lease; return whether this run still had it."""
        return cls.change(name, run, leased_until=clock.now() + LEASE)

    @classmethod
    def _add(cls, name: str) -> int:
        db.session.add(cls(name=name))
        try:
            db.session.commit()
        except IntegrityError:  # another process has just added it
            db.session.rollback()
        return 0


def _is_past(
    moment: InstrumentedAttribute[datetime | None], by: timedelta, ahead: timedelta = timedelta(0)
) -> ColumnElement[bool]:
    """Return the condition that `moment` is unset, or `by` ago, or so far `ahead` that the clock was set back."""
    now = clock.now()
    return or_(moment.is_(None), moment <= now - by, moment > now + ahead + clock.SKEW)

"""When the previous release did its cleanup: it may still run while this one starts. This one has app/models/job.py."""

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Model


class Chore(Model):
    __tablename__ = "chores"
    __table_args__ = ()  # no AUTOINCREMENT: the id is a name

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    done_at: Mapped[datetime | None]

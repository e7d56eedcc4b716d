"""A browser that an account was signed in from: what its cookie says, hashed. It proves nothing alone."""

import hashlib
from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, select
from sqlalchemy.orm import Mapped, mapped_column

from app import clock
from app.extensions import Model, db
from app.models.user import User


class Device(Model):
    __tablename__ = "devices"
    __table_args__ = (Index(None, "user_id", "key"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    key: Mapped[str] = mapped_column(String(64))
    first_seen_at: Mapped[datetime] = mapped_column(default=lambda: clock.now())
    last_seen_at: Mapped[datetime] = mapped_column(default=lambda: clock.now(), index=True)

    @staticmethod
    def key_of(cookie: str) -> str:
        return hashlib.sha256(cookie.encode()).hexdigest()

    @classmethod
    def is_known(cls, cookie: str, login: str) -> bool:
        """Say whether the account that is called by this login_key() was signed in from there before."""
        known = select(cls.id).join(User).where(User.has_login(login), cls.key == cls.key_of(cookie))
        return db.session.scalar(known.limit(1)) is not None

"""A browser that an account was logged in from: what its cookie says, hashed. It proves nothing alone.

A trusted one spares two-factor authentication, until its owner or anything that happens to the account ends that.
"""

import hashlib
from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text, select
from sqlalchemy.orm import Mapped, mapped_column

from app import clock
from app.extensions import Model, db
from app.models.user import User
from app.security import signing


class Device(Model):
    __tablename__ = "devices"
    __table_args__ = (Index(None, "user_id", "key"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    key: Mapped[str] = mapped_column(String(64))
    first_seen_at: Mapped[datetime] = mapped_column(default=lambda: clock.now())
    last_seen_at: Mapped[datetime] = mapped_column(default=lambda: clock.now(), index=True)
    trusted_until: Mapped[datetime | None]
    user_agent: Mapped[str] = mapped_column(Text, default="", server_default="")  # when it was trusted

    @staticmethod
    def key_of(cookie: str) -> str:
        """Return the key of what a cookie says."""
        return hashlib.sha256(cookie.encode()).hexdigest()

    @classmethod
    def is_known(cls, cookie: str, login: str) -> bool:
        """Say whether the account that is called by this login_key() was logged in from there before."""
        known = select(cls.id).join(User).where(User.has_login(login), cls.key == cls.key_of(cookie))
        return db.session.scalar(known.limit(1)) is not None

    @property
    def handle(self) -> str:
        """What pages call it by."""
        return signing.fingerprint(self.key)

    @property
    def is_trusted(self) -> bool:
        return self.trusted_until is not None and self.trusted_until > clock.now()

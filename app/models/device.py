"""Devices that users logged in with, recognised by the hash of a cookie. The cookie alone authenticates nobody."""

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
    key: Mapped[str] = mapped_column(String(64))  # the hash of the cookie
    first_seen_at: Mapped[datetime] = mapped_column(default=lambda: clock.now())
    last_seen_at: Mapped[datetime] = mapped_column(default=lambda: clock.now(), index=True)
    trusted_until: Mapped[datetime | None]  # until then, it is exempt from two-factor authentication
    user_agent: Mapped[str] = mapped_column(Text, default="", server_default="")  # when it was trusted

    @staticmethod
    def key_of(cookie: str) -> str:
        return hashlib.sha256(cookie.encode()).hexdigest()

    @classmethod
    def is_known(cls, cookie: str, login: str) -> bool:
        """Return whether the account with this login_key() ever logged in on the device with this cookie."""
        known = select(cls.id).join(User).where(User.has_login(login), cls.key == cls.key_of(cookie))
        return db.session.scalar(known.limit(1)) is not None

    @property
    def handle(self) -> str:
        """The identifier of the device in URLs and forms."""
        return signing.fingerprint(self.key)

    @property
    def is_trusted(self) -> bool:
        return self.trusted_until is not None and self.trusted_until > clock.now()

"""What a browser's passkey is asked to sign: random, for one purpose in one browser, once and within five minutes."""

import secrets
from datetime import datetime, timedelta

from sqlalchemy import ForeignKey, String, delete
from sqlalchemy.orm import Mapped, mapped_column

from app import clock
from app.extensions import Model, rows_changed
from app.models.user import User

LIFETIME = timedelta(minutes=5)


class PasskeyChallenge(Model):
    __tablename__ = "passkey_challenges"
    __table_args__ = ()  # no AUTOINCREMENT: the id is random

    id: Mapped[str] = mapped_column(String(86), primary_key=True, default=lambda: secrets.token_urlsafe(64))
    purpose: Mapped[str] = mapped_column(String(16))
    browser: Mapped[str] = mapped_column(String(43))  # which was asked, by what its session says
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    asked_at: Mapped[datetime] = mapped_column(default=lambda: clock.now(), index=True)

    @classmethod
    def use(cls, challenge: str, purpose: str, browser: str, user: User | None) -> bool:
        """Use a challenge up, and say whether it was good: of many at once, for one. It leaves nothing behind."""
        asked = (cls.id == challenge, cls.purpose == purpose, cls.browser == browser)
        asked_of = cls.user_id == user.id if user else cls.user_id.is_(None)
        return rows_changed(delete(cls).where(*asked, asked_of, cls.asked_at > clock.now() - LIFETIME)) == 1

"""Challenges that passkeys sign. Each is bound to a purpose and a browser, and valid once, for five minutes."""

import secrets
from datetime import datetime, timedelta

from sqlalchemy import ForeignKey, String, delete, select
from sqlalchemy.orm import Mapped, mapped_column

from app import clock
from app.extensions import Model, db, rows_changed
from app.models.user import User

LIFETIME = timedelta(minutes=5)
MAX_PER_BROWSER, MAX_PER_USER = 8, 50  # unanswered challenges
MAX_EXPIRED_DELETED = 20  # with each new challenge, so that the table stays small between cleanups


class PasskeyChallenge(Model):
    __tablename__ = "passkey_challenges"
    __table_args__ = ()  # no AUTOINCREMENT: the id is random

    id: Mapped[str] = mapped_column(String(86), primary_key=True, default=lambda: secrets.token_urlsafe(64))
    purpose: Mapped[str] = mapped_column(String(16))
    browser: Mapped[str] = mapped_column(String(43), index=True)  # access.browser_id()
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    asked_at: Mapped[datetime] = mapped_column(default=lambda: clock.now(), index=True)

    @classmethod
    def issue(cls, purpose: str, browser: str, user: User | None) -> "PasskeyChallenge":
        """Add a challenge, which replaces the oldest one of a browser or user that has too many."""
        mine = select(cls.id).order_by(cls.asked_at.desc())
        expired = select(cls.id).where(cls.asked_at <= clock.now() - LIFETIME).order_by(cls.asked_at)
        surplus = [
            expired.limit(MAX_EXPIRED_DELETED),
            mine.where(cls.browser == browser).offset(MAX_PER_BROWSER - 1),
            *([mine.where(cls.user_id == user.id).offset(MAX_PER_USER - 1)] if user else []),
        ]
        for ids in surplus:  # rows that another request is deleting are skipped, to avoid deadlocks
            found = ids.with_for_update(skip_locked=True)
            rows_changed(delete(cls).where(cls.id.in_(found)).execution_options(synchronize_session=False))
        challenge = cls(purpose=purpose, browser=browser, user_id=user and user.id)
        db.session.add(challenge)
        db.session.flush()
        return challenge

    @classmethod
    def consume(cls, challenge: str, purpose: str, browser: str, user: User | None) -> bool:
        """Delete a challenge; return whether it was valid. Only one of several concurrent requests succeeds."""
        asked = (cls.id == challenge, cls.purpose == purpose, cls.browser == browser)
        asked_of = cls.user_id == user.id if user else cls.user_id.is_(None)
        return rows_changed(delete(cls).where(*asked, asked_of, cls.asked_at > clock.now() - LIFETIME)) == 1

"""Challenges: each asks for an emailed code. The code is derived from the row and SECRET_KEY, and stored nowhere."""

import math
import secrets
from datetime import datetime, timedelta
from typing import Optional

from sqlalchemy import ForeignKey, String, select, update
from sqlalchemy.orm import Mapped, mapped_column, relationship, validates

from app import clock
from app.extensions import Model, db, rows_changed
from app.models.logins import email_key
from app.models.user import User
from app.security import signing
from app.security.token_purposes import TokenPurpose

MAX_ATTEMPTS = 5
RESEND_INTERVAL = timedelta(seconds=60)  # between two emails


class EmailChallenge(Model):
    __tablename__ = "email_challenges"
    __table_args__ = ()  # no AUTOINCREMENT: the id is random

    id: Mapped[str] = mapped_column(String(43), primary_key=True, default=lambda: secrets.token_urlsafe(32))
    purpose: Mapped[str] = mapped_column(String(32))  # a TokenPurpose
    email: Mapped[str] = mapped_column(String(254))  # as entered; it may have no account
    email_key: Mapped[str] = mapped_column(String(254), default="", server_default="", index=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    state: Mapped[str | None] = mapped_column(String(22))  # User.state() when the code was requested
    asked_at: Mapped[datetime] = mapped_column(default=lambda: clock.now(), index=True)
    sent_at: Mapped[datetime | None]  # when the email was rendered, which restarts the lifetime of the code
    attempts: Mapped[int] = mapped_column(default=0)
    used_at: Mapped[datetime | None]

    user: Mapped[User | None] = relationship(lazy="joined")  # the same query with and without an account

    @validates("email")
    def _derive_email_key(self, _: str, email: str) -> str:
        self.email_key = email_key(email)
        return email

    @classmethod
    def newest(cls, purpose: TokenPurpose, user: User) -> Optional["EmailChallenge"]:
        """Return the challenge that the user requested last."""
        mine = select(cls).where(cls.user_id == user.id, cls.purpose == purpose)
        return db.session.scalar(mine.order_by(cls.asked_at.desc()).limit(1))

    @classmethod
    def issue(cls, purpose: TokenPurpose, user: User, earlier: Optional["EmailChallenge"] = None) -> "EmailChallenge":
        """Return a challenge to email now: `earlier`, with the same code, while it is open; otherwise a new one."""
        challenge = earlier if earlier and earlier.is_open else None
        if challenge is None:
            challenge = cls(purpose=purpose, email=user.email, user=user, state=user.state(purpose))
            db.session.add(challenge)
            db.session.flush()
        challenge.asked_at = clock.now()
        return challenge

    @property
    def code(self) -> str:
        return signing.code(self.purpose, self._subject)

    @property
    def can_be_tried(self) -> bool:
        """Whether attempts are left and the code is neither expired nor used. It does not depend on the account."""
        began = max(self.asked_at, self.sent_at or self.asked_at)
        is_young = clock.is_within(began, timedelta(seconds=TokenPurpose(self.purpose).lifetime))
        return self.used_at is None and self.attempts < MAX_ATTEMPTS and is_young

    @property
    def is_open(self) -> bool:
        """Whether the right code would be accepted: it can be tried, and the account has not changed since."""
        return self.can_be_tried and (self.user is None or self.state == self.user.state(TokenPurpose(self.purpose)))

    @property
    def seconds_to_wait(self) -> int:
        """The seconds until another email can be requested."""
        return max(0, math.ceil((self.asked_at + RESEND_INTERVAL - clock.now()).total_seconds()))

    @property
    def _subject(self) -> str:
        return f"{self.id} {self.state}"

    def use(self, code: str) -> bool:
        """Count an attempt, and return whether the code was right. A code works once.

        Conditional UPDATEs limit the attempts and uses of concurrent requests.
        """
        if not self.can_be_tried:
            return False
        is_right = signing.is_code(self.purpose, self._subject, code) and self.is_open
        unused = update(EmailChallenge).where(EmailChallenge.id == self.id, EmailChallenge.used_at.is_(None))
        attempt = unused.where(EmailChallenge.attempts < MAX_ATTEMPTS).values(attempts=EmailChallenge.attempts + 1)
        if not rows_changed(attempt) or self.user is None or not is_right:
            return False
        return rows_changed(unused.values(used_at=clock.now())) == 1

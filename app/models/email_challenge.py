"""A code that goes to an address by email and is typed where it was asked for. It stands in no table."""

import secrets
from datetime import datetime, timedelta

from sqlalchemy import ForeignKey, String, update
from sqlalchemy.orm import Mapped, mapped_column, relationship, validates

from app import clock
from app.extensions import Model, rows_changed
from app.models.logins import email_key
from app.models.user import User
from app.security import signing
from app.security.token_purposes import TokenPurpose

MAX_ATTEMPTS = 5


class EmailChallenge(Model):
    __tablename__ = "email_challenges"
    __table_args__ = ()  # no AUTOINCREMENT: the id is random

    id: Mapped[str] = mapped_column(String(43), primary_key=True, default=lambda: secrets.token_urlsafe(32))
    purpose: Mapped[str] = mapped_column(String(32))  # a TokenPurpose
    email: Mapped[str] = mapped_column(String(254))  # as it was typed, whether or not it has an account
    email_key: Mapped[str] = mapped_column(String(254), default="", server_default="", index=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    state: Mapped[str | None] = mapped_column(String(22))  # of the account when it was asked for
    asked_at: Mapped[datetime] = mapped_column(default=lambda: clock.now(), index=True)
    sent_at: Mapped[datetime | None]  # when its email was written: the code is as old as that
    attempts: Mapped[int] = mapped_column(default=0)
    used_at: Mapped[datetime | None]

    user: Mapped[User | None] = relationship(lazy="joined")  # the same work for nobody

    @validates("email")
    def _derive_email_key(self, _: str, email: str) -> str:
        self.email_key = email_key(email)
        return email

    @property
    def code(self) -> str:
        """The code, derived from id and state: whoever writes the email, whenever, writes the same one."""
        return signing.code(self.purpose, self._about)

    @property
    def can_be_tried(self) -> bool:
        """Say whether a code can still be typed: not used, not too often, not too late. It is the same for nobody."""
        began = max(self.asked_at, self.sent_at or self.asked_at)
        is_young = clock.is_within(began, timedelta(seconds=TokenPurpose(self.purpose).lifetime))
        return self.used_at is None and self.attempts < MAX_ATTEMPTS and is_young

    @property
    def is_open(self) -> bool:
        """Say whether the code can still be used: it can be tried, and the account is as it was."""
        return self.can_be_tried and (self.user is None or self.state == self.user.state(TokenPurpose(self.purpose)))

    @property
    def _about(self) -> str:
        return f"{self.id} {self.state}"

    def use(self, code: str) -> bool:
        """Count a try, and say whether it was the right code. Of many at once five are looked at, and one is good."""
        if not self.can_be_tried:
            return False
        is_right = signing.is_code(self.purpose, self._about, code) and self.is_open  # the same work for nobody
        mine = update(EmailChallenge).where(EmailChallenge.id == self.id, EmailChallenge.used_at.is_(None))
        counted = rows_changed(
            mine.where(EmailChallenge.attempts < MAX_ATTEMPTS).values(attempts=EmailChallenge.attempts + 1)
        )
        if not counted or self.user is None or not is_right:
            return False
        return rows_changed(mine.values(used_at=clock.now())) == 1

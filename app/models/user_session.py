"""A session: one login on one device. A revoked row logs the device out at its next request."""

import secrets
from datetime import datetime

from sqlalchemy import ColumnElement, ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app import clock
from app.extensions import Model
from app.models.logout_reason import LogoutReason
from app.models.user import User
from app.security import signing


class UserSession(Model):
    __tablename__ = "user_sessions"
    __table_args__ = (  # no AUTOINCREMENT: the id is random
        Index(
            None,
            "revoked_at",
            postgresql_where=text("revoked_at IS NOT NULL"),
            sqlite_where=text("revoked_at IS NOT NULL"),
        ),
    )

    id: Mapped[str] = mapped_column(String(43), primary_key=True, default=lambda: secrets.token_urlsafe(32))
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    method: Mapped[str] = mapped_column(String(32))  # how the user authenticated, such as "password"
    remembered: Mapped[bool]
    ip: Mapped[str] = mapped_column(String(45), default="")
    user_agent: Mapped[str] = mapped_column(Text, default="")
    device: Mapped[str] = mapped_column(String(64), default="", server_default="")  # the key of its row in devices
    created_at: Mapped[datetime] = mapped_column(default=lambda: clock.now())
    last_seen_at: Mapped[datetime] = mapped_column(default=lambda: clock.now())
    authenticated_at: Mapped[datetime | None]  # last time, by password, passkey, code ...
    both_factors_at: Mapped[datetime | None]  # with both; one change of a credential clears it
    expires_at: Mapped[datetime] = mapped_column(index=True)
    revoked_at: Mapped[datetime | None]
    revoked_reason: Mapped[str | None] = mapped_column(String(32))  # a LogoutReason; None if the user logged out

    user: Mapped[User] = relationship()

    @property
    def handle(self) -> str:
        """Return the name of the session in URLs and forms: only its own device may know the id."""
        return signing.fingerprint(self.id)

    @property
    def key(self) -> str:
        """Return the name of the session in audit events, which stays the same when the id is renewed."""
        return signing.fingerprint("session", self.user_id, self.created_at)

    @property
    def logout_reason(self) -> LogoutReason | None:
        """Return why the session ended; None if the user logged out."""
        reason = self.revoked_reason if self.revoked_at else LogoutReason.EXPIRED
        return next((known for known in LogoutReason if known == reason), None)  # a newer release may know more

    @classmethod
    def active(cls) -> list[ColumnElement[bool]]:
        """Return the conditions that an active session meets."""
        return [cls.revoked_at.is_(None), cls.expires_at > clock.now()]

"""Sessions: one row per login. Revoking the row logs the device out at its next request."""

import secrets
from datetime import datetime

from sqlalchemy import ColumnElement, ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app import clock
from app.extensions import Model
from app.models.logout_reason import LogoutReason
from app.models.user import User
from app.security import signing

IS_REVOKED = text("revoked_at IS NOT NULL")


class UserSession(Model):
    __tablename__ = "user_sessions"
    __table_args__ = (  # no AUTOINCREMENT: the id is random
        Index(None, "revoked_at", postgresql_where=IS_REVOKED, sqlite_where=IS_REVOKED),
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
    authenticated_at: Mapped[datetime | None]  # the latest authentication by password, passkey, code ...
    both_factors_at: Mapped[datetime | None]  # by both factors; the next change of a credential clears it
    expires_at: Mapped[datetime] = mapped_column(index=True)
    revoked_at: Mapped[datetime | None]
    revoked_reason: Mapped[str | None] = mapped_column(String(32))  # a LogoutReason; None if the user logged out

    user: Mapped[User] = relationship()

    @property
    def handle(self) -> str:
        """The identifier of the session in URLs and forms, since other devices must not know the id."""
        return signing.fingerprint(self.id)

    @property
    def key(self) -> str:
        """The identifier of the session in audit events, which stays the same when the id is renewed."""
        return signing.fingerprint("session", self.user_id, self.created_at)

    @property
    def logout_reason(self) -> LogoutReason | None:
        """The reason why the session ended; None if the user logged out."""
        reason = self.revoked_reason if self.revoked_at else LogoutReason.EXPIRED
        return next(
            (known for known in LogoutReason if known == reason), None
        )  # a newer release may have stored others

    @classmethod
    def active(cls) -> list[ColumnElement[bool]]:
        return [cls.revoked_at.is_(None), cls.expires_at > clock.now()]

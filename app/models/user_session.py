"""A session. Ending its row signs the browser out at its next request."""

import secrets
from datetime import datetime

from sqlalchemy import ColumnElement, ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app import clock
from app.extensions import Model
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
    method: Mapped[str] = mapped_column(String(32))  # how the person proved who they are
    remembered: Mapped[bool]
    ip: Mapped[str] = mapped_column(String(45), default="")
    user_agent: Mapped[str] = mapped_column(Text, default="")
    device: Mapped[str] = mapped_column(String(64), default="", server_default="")  # the key of its row in devices
    created_at: Mapped[datetime] = mapped_column(default=lambda: clock.now())
    last_seen_at: Mapped[datetime] = mapped_column(default=lambda: clock.now())
    authenticated_at: Mapped[datetime | None]  # when the person last proved who they are
    both_factors_at: Mapped[datetime | None]  # when both were proved for one change of a credential, which clears it
    expires_at: Mapped[datetime] = mapped_column(index=True)
    revoked_at: Mapped[datetime | None]
    revoked_reason: Mapped[str | None] = mapped_column(String(32))  # what the person is told

    user: Mapped[User] = relationship()

    @property
    def handle(self) -> str:
        """What pages call it by: the id is for its own browser alone."""
        return signing.fingerprint(self.id)

    @property
    def key(self) -> str:
        """What audit events call the session by: the same while its id is renewed."""
        return signing.fingerprint("session", self.user_id, self.created_at)

    @classmethod
    def alive(cls) -> list[ColumnElement[bool]]:
        """Return the conditions that a browser still logged in meets."""
        return [cls.revoked_at.is_(None), cls.expires_at > clock.now()]

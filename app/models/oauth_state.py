"""OAuth states: logins at providers that browsers have started. A state is valid once, for ten minutes."""

import secrets
from datetime import datetime, timedelta

from sqlalchemy import ForeignKey, String, Text, update
from sqlalchemy.orm import Mapped, mapped_column

from app import clock
from app.extensions import Model, rows_changed

LIFETIME = timedelta(minutes=10)


class OAuthState(Model):
    __tablename__ = "oauth_states"
    __table_args__ = ()  # no AUTOINCREMENT: the id is random

    id: Mapped[str] = mapped_column(String(43), primary_key=True)  # the `state` parameter
    provider: Mapped[str] = mapped_column(String(24))
    nonce: Mapped[str] = mapped_column(String(43))
    code_verifier: Mapped[str] = mapped_column(String(43))
    user_id: Mapped[int | None] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), index=True
    )  # the account to link to
    remember: Mapped[bool] = mapped_column(default=False)
    destination: Mapped[str | None] = mapped_column(Text)  # the page to open after the login, encrypted
    started_at: Mapped[datetime] = mapped_column(default=lambda: clock.now(), index=True)
    returned_at: Mapped[datetime | None]

    @classmethod
    def start(
        cls, provider: str, user_id: int | None = None, remember: bool = False, destination: str | None = None
    ) -> "OAuthState":
        """Return a new state, not yet added to the database session."""
        secret = {name: secrets.token_urlsafe(32) for name in ("id", "nonce", "code_verifier")}
        return cls(provider=provider, user_id=user_id, remember=remember, destination=destination, **secret)

    def use(self) -> bool:
        """Mark this state as used; return False if it has expired or was used before."""
        unused = (OAuthState.id == self.id, OAuthState.returned_at.is_(None))
        recent = OAuthState.started_at > clock.now() - LIFETIME
        return rows_changed(update(OAuthState).where(*unused, recent).values(returned_at=clock.now())) == 1

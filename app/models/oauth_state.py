"""A browser on its way to a provider's page and back. It comes back once, within ten minutes, and is the same one."""

import secrets
from datetime import datetime, timedelta

from sqlalchemy import ForeignKey, String, Text, update
from sqlalchemy.orm import Mapped, mapped_column

from app import clock
from app.extensions import Model, rows_changed

LASTS = timedelta(minutes=10)


class OAuthState(Model):
    __tablename__ = "oauth_states"
    __table_args__ = ()  # no AUTOINCREMENT: the id is random

    id: Mapped[str] = mapped_column(String(43), primary_key=True)  # `state`
    provider: Mapped[str] = mapped_column(String(24))
    nonce: Mapped[str] = mapped_column(String(43))
    code_verifier: Mapped[str] = mapped_column(String(43))
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)  # who links
    remember: Mapped[bool] = mapped_column(default=False)
    destination: Mapped[str | None] = mapped_column(Text)  # where the person was going
    started_at: Mapped[datetime] = mapped_column(default=lambda: clock.now(), index=True)
    returned_at: Mapped[datetime | None]

    @classmethod
    def begin(
        cls, provider: str, user_id: int | None = None, remember: bool = False, destination: str | None = None
    ) -> "OAuthState":
        """Make one that is to be added when the provider's page is known."""
        state, nonce, code_verifier = (secrets.token_urlsafe(32) for _ in range(3))
        oauth_state = cls(id=state, nonce=nonce, code_verifier=code_verifier, provider=provider)
        oauth_state.user_id, oauth_state.remember, oauth_state.destination = user_id, remember, destination
        return oauth_state

    def come_back(self) -> bool:
        """Say whether this is the first return, in time; of many at once one is."""
        waiting = (OAuthState.id == self.id, OAuthState.returned_at.is_(None))
        young = OAuthState.started_at > clock.now() - LASTS
        return rows_changed(update(OAuthState).where(*waiting, young).values(returned_at=clock.now())) == 1

"""Authenticator apps, which show a new code every 30 seconds (TOTP, RFC 6238)."""

from datetime import UTC, datetime

from sqlalchemy import ForeignKey, Text, select
from sqlalchemy.orm import Mapped, mapped_column

from app import clock
from app.extensions import Model, db
from app.models.credential import Credential
from app.security import signing


class Authenticator(Credential, Model):
    """An authenticator app. Its secret is encrypted, so that a copy of the database yields no codes."""

    __tablename__ = "authenticators"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), unique=True)
    secret: Mapped[str] = mapped_column(Text)  # by signing.encrypt()
    last_step: Mapped[int] = mapped_column(default=0)  # of the last used code, in 30-second steps since 1970
    created_at: Mapped[datetime] = mapped_column(default=lambda: clock.now())

    @property
    def last_used_at(self) -> datetime:
        return datetime.fromtimestamp(self.last_step * 30, UTC)

    @property
    def is_readable(self) -> bool:
        """Whether one of the configured keys decrypts the secret."""
        return signing.decrypt("authenticator", self.secret) is not None

    @classmethod
    def count_unreadable(cls) -> int:
        """Count the apps whose secret none of the configured keys decrypts. This reads all of them."""
        secrets = db.session.scalars(select(cls.secret).execution_options(yield_per=1000))
        return sum(signing.decrypt("authenticator", secret) is None for secret in secrets)

"""An authenticator app that shows codes for an account. Its secret is encrypted: the database alone has no code."""

from datetime import datetime

from sqlalchemy import ForeignKey, Text
from sqlalchemy.orm import Mapped, mapped_column

from app import clock
from app.extensions import Model
from app.models.credential import Credential
from app.security import signing


class Authenticator(Credential, Model):
    __tablename__ = "authenticators"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), unique=True)
    secret: Mapped[str] = mapped_column(Text)  # by signing.encrypt()
    last_step: Mapped[int] = mapped_column(default=0)  # the 30 seconds, since 1970, of the last code that was used
    created_at: Mapped[datetime] = mapped_column(default=lambda: clock.now())

    @property
    def is_readable(self) -> bool:
        """Say whether there is a key that reads the secret still."""
        return signing.decrypt("authenticator", self.secret) is not None

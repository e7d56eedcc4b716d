"""The choice of a user to require a passkey after the password."""

from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from app import clock
from app.extensions import Model
from app.models.credential import Credential


class PasskeyRequirement(Credential, Model):
    """The requirement of a passkey after the password, which turns two-factor authentication on.

    It is a row, not a column of `users`, so that "This wasn't me" removes and restores it together with the
    credentials. A user with this row has at least one passkey.
    """

    __tablename__ = "passkey_requirements"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), unique=True)
    created_at: Mapped[datetime] = mapped_column(default=lambda: clock.now())

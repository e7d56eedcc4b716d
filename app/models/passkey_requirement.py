"""Passkey requirements: users can require a passkey after the password, which turns two-factor authentication on."""

from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from app import clock
from app.extensions import Model
from app.models.credential import Credential


class PasskeyRequirement(Credential, Model):
    """A row for each user who requires a passkey and has at least one.

    It is a table, not a column of `users`, so that "This wasn't me" removes and restores it with the credentials.
    """

    __tablename__ = "passkey_requirements"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), unique=True)
    created_at: Mapped[datetime] = mapped_column(default=lambda: clock.now())

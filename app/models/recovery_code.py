"""A code that lets its owner in when the second factor is lost, hashed. It is deleted when it is used."""

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from app import clock
from app.extensions import Model
from app.models.credential import Credential


class RecoveryCode(Credential, Model):
    __tablename__ = "recovery_codes"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    hash: Mapped[str] = mapped_column(String(64))  # SHA-256 does for 120 bits (OWASP ASVS 5.0, 6.5.2)
    created_at: Mapped[datetime] = mapped_column(default=lambda: clock.now())

"""Passkeys: public keys, whose private keys stay on users' devices and in their password managers."""

from datetime import datetime
from typing import Optional

from sqlalchemy import BigInteger, ForeignKey, String, Text, select, update
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app import clock
from app.extensions import Model, db, rows_changed
from app.models.credential import Credential
from app.models.user import User
from app.security import signing


class Passkey(Credential, Model):
    __tablename__ = "passkeys"
    logs_in = True

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(64))
    credential_id: Mapped[str] = mapped_column(String(1364), unique=True)  # base64url of 1023 bytes at most
    public_key: Mapped[str] = mapped_column(Text)  # base64url of COSE
    sign_count: Mapped[int] = mapped_column(BigInteger)  # of uses; always 0 if the device does not count
    transports: Mapped[str] = mapped_column(String(64), default="")  # such as "internal hybrid"
    backed_up: Mapped[bool] = mapped_column(default=False)  # synced between devices
    created_at: Mapped[datetime] = mapped_column(default=lambda: clock.now())
    last_used_at: Mapped[datetime | None]

    user: Mapped[User] = relationship()

    @property
    def known_by(self) -> str:
        return self.credential_id

    @property
    def handle(self) -> str:
        """The identifier of the passkey in URLs."""
        return signing.fingerprint(self.credential_id)

    @classmethod
    def find(cls, credential_id: str) -> Optional["Passkey"]:
        return db.session.scalar(select(cls).where(cls.credential_id == credential_id))

    def use(self, count: int, backed_up: bool) -> bool:
        """Record a use; return False if the counter did not increase, since the key may have been copied."""
        increases = Passkey.sign_count < count if count else Passkey.sign_count == 0
        used = update(Passkey).where(Passkey.id == self.id, increases)
        return rows_changed(used.values(sign_count=count, backed_up=backed_up, last_used_at=clock.now())) == 1

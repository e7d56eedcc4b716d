"""Recovery codes: single-use substitutes for an authenticator app or a passkey."""

import hashlib
from datetime import datetime
from hmac import compare_digest

from flask import current_app
from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column
from werkzeug.security import check_password_hash, generate_password_hash

from app import clock
from app.extensions import Model
from app.models.credential import Credential


class RecoveryCode(Credential, Model):
    """A hashed recovery code. Its row is deleted when the code is used."""

    __tablename__ = "recovery_codes"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    hash: Mapped[str] = mapped_column(String(256))
    created_at: Mapped[datetime] = mapped_column(default=lambda: clock.now())

    @staticmethod
    def hash_of(code: str) -> str:
        """Hash a code with a random salt, but without SECRET_KEY, so that recovery codes work when the key is lost.

        NIST SP 800-63B-4, 3.1.2.2: look-up secrets of less than 112 bits are salted and hashed like passwords.
        """
        return generate_password_hash(code, current_app.config["RECOVERY_CODE_HASH"])

    def is_code(self, typed: str) -> bool:
        """Return whether this is the code that was entered, given in capitals and without spaces or dashes."""
        if "$" not in self.hash:  # by an earlier version: a code of 24 characters, whose 120 bits need no salt
            return compare_digest(self.hash, hashlib.sha256(typed.encode()).hexdigest())
        return check_password_hash(self.hash, typed)

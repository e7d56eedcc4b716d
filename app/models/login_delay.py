"""Login delays: the recent wrong passwords for a login, from all networks. The login is stored as a hash."""

from datetime import datetime

from sqlalchemy import BigInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Model


class LoginDelay(Model):
    __tablename__ = "login_delays"
    __table_args__ = ()  # no AUTOINCREMENT: the id is the hash

    id: Mapped[str] = mapped_column(String(43), primary_key=True)
    failures: Mapped[int]
    # Milliseconds since 1970, so that one SQL statement can compute them on every database.
    blocked_until: Mapped[int] = mapped_column(BigInteger)  # no password is checked before then
    warned_until: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")  # no notice before then
    expires_at: Mapped[datetime] = mapped_column(index=True)

"""Changes of email addresses. Each reserves the old address for a week, so that the user can return to it."""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from app import clock
from app.database import WideId
from app.extensions import Model
from app.security.token_purposes import TokenPurpose

RESERVED_FOR = timedelta(seconds=TokenPurpose.SECURE_ACCOUNT.lifetime)  # as long as "This wasn't me" works


class EmailChange(Model):
    __tablename__ = "email_changes"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    old_email: Mapped[str] = mapped_column(String(254))
    old_email_key: Mapped[str] = mapped_column(String(254), index=True)
    new_email: Mapped[str] = mapped_column(String(254))
    changed_at: Mapped[datetime] = mapped_column(default=lambda: clock.now(), index=True)
    event_id: Mapped[int | None] = mapped_column(WideId)  # the audit event of the change
    released_at: Mapped[datetime | None]  # when this change or an earlier one was undone

    @classmethod
    def reserving(cls) -> list[ColumnElement[bool]]:
        """Return the conditions for the old address to be reserved."""
        return [cls.released_at.is_(None), cls.changed_at > clock.now() - RESERVED_FOR]

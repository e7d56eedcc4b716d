"""A change of email address. For a week the old address stays reserved, so that it can be restored."""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from app import clock
from app.database import WideId
from app.extensions import Model
from app.security.token_purposes import TokenPurpose

UNDO_WITHIN = timedelta(seconds=TokenPurpose.SECURE_ACCOUNT.lifetime)


class EmailChange(Model):
    __tablename__ = "email_changes"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    old_email: Mapped[str] = mapped_column(String(254))
    old_email_key: Mapped[str] = mapped_column(String(254), index=True)  # nobody else can have it meanwhile
    new_email: Mapped[str] = mapped_column(String(254))
    changed_at: Mapped[datetime] = mapped_column(default=lambda: clock.now(), index=True)
    event_id: Mapped[int | None] = mapped_column(WideId)  # the audit event of the change
    undone_at: Mapped[datetime | None]  # itself, or void since an earlier one was

    @classmethod
    def can_be_undone(cls) -> list[ColumnElement[bool]]:
        """Return the conditions that a change meets while it can be undone."""
        return [cls.undone_at.is_(None), cls.changed_at > clock.now() - UNDO_WITHIN]

"""The mixin for credentials, and the table of removed credentials that can still be restored."""

from datetime import datetime
from typing import Any, cast

from sqlalchemy import JSON, ForeignKey, String, Table
from sqlalchemy.orm import Mapped, mapped_column

from app import clock
from app.database import UtcDateTime, WideId
from app.extensions import Model


class Credential:
    """A mixin for tables of credentials. "This wasn't me" removes and restores the rows of each of them."""

    logs_in = False  # True for a table whose rows each suffice to log in

    # The audit event of the addition; None for rows from before this column. The ids of an account's events increase.
    event_id: Mapped[int | None] = mapped_column(WideId)

    @property
    def known_by(self) -> str:
        """The public identifier of a credential that can belong to one account only; empty for other credentials."""
        return ""


class RemovedCredential(Model):
    """A copy of a removed credential, kept for seven days so that "This wasn't me" can restore it."""

    __tablename__ = "removed_credentials"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    table: Mapped[str] = mapped_column(String(64))
    row: Mapped[dict[str, Any]] = mapped_column(JSON)
    known_by: Mapped[str] = mapped_column(String(1364), index=True)
    event_id: Mapped[int] = mapped_column(WideId)  # the audit event of the removal
    removed_at: Mapped[datetime] = mapped_column(default=lambda: clock.now(), index=True)

    @classmethod
    def keep(cls, credential: Any, event_id: int) -> "RemovedCredential":
        """Return a copy of a credential that is about to be deleted."""
        table = cast("Table", credential.__table__)
        values = {column.name: getattr(credential, column.name) for column in table.columns}
        row = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}
        known_by = credential.known_by
        return cls(user_id=credential.user_id, table=table.name, row=row, known_by=known_by, event_id=event_id)

    def values(self) -> dict[str, Any]:
        """Return the values to restore, without columns that no longer exist."""
        types = {column.name: column.type for column in self.metadata.tables[self.table].columns}
        return {
            name: datetime.fromisoformat(value) if value and isinstance(types[name], UtcDateTime) else value
            for name, value in self.row.items()
            if name in types
        }

"""What all credentials have in common, and the credentials that were removed lately and can still be restored."""

from datetime import datetime
from typing import Any, cast

from sqlalchemy import JSON, ForeignKey, String, Table
from sqlalchemy.orm import Mapped, mapped_column

from app import clock
from app.database import UtcDateTime, WideId
from app.extensions import Model


class Credential:
    """A mixin for the tables of credentials: passkeys, authenticator apps, recovery codes, linked identities.

    A table of your own that lets its owner log in, or counts as a factor, inherits from it, too: then "This wasn't me"
    removes and restores its rows.
    """

    # The audit event of the addition; None if it was before events were linked. Ids of one account's events grow.
    event_id: Mapped[int | None] = mapped_column(WideId)

    @property
    def known_by(self) -> str:
        """What the credential is known by outside, if that is for one account alone."""
        return ""


class RemovedCredential(Model):
    """A row of another table, kept out of reach for seven days, so that its owner can have it restored."""

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
        kept = cls(user_id=credential.user_id, table=table.name, row=row, event_id=event_id)
        kept.known_by = credential.known_by
        return kept

    def values(self) -> dict[str, Any]:
        """Return the columns of the row as they were."""
        types = {column.name: column.type for column in self.metadata.tables[self.table].columns}
        return {
            name: datetime.fromisoformat(value) if value and isinstance(types[name], UtcDateTime) else value
            for name, value in self.row.items()
            if name in types
        }

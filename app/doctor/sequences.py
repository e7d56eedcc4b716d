"""The sequences that give new rows of PostgreSQL their ids. A copy of rows from another database leaves them behind."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Table, cast, func, select
from sqlalchemy.dialects.postgresql import REGCLASS

from app.doctor.findings import Finding, Skipped
from app.extensions import db


@dataclass(frozen=True)
class Sequence:
    name: str
    table: str
    highest: int  # id in the table

    def advance(self) -> None:
        """Let the next row get an id above the highest."""
        db.session.execute(select(func.setval(self.name, self.highest)))


def sequences() -> Iterator[Finding]:
    """Check whether new rows would get ids that other rows have."""
    if db.engine.name != "postgresql":
        raise Skipped("SQLite has none")
    if names := ", ".join(sequence.table for sequence in behind()):
        cause = f"New rows would get ids that other rows have, because the sequences are behind: of {names}."
        yield Finding(cause, "Run: flask fix-sequences")


def behind() -> list[Sequence]:
    """Return the sequences whose next value is the id of an existing row. SQLite has none."""
    if db.engine.name != "postgresql":
        return []
    return [found for table in db.metadata.sorted_tables if (found := _behind(table))]


def _behind(table: Table) -> Sequence | None:
    key = table.autoincrement_column
    name = db.session.scalar(select(func.pg_get_serial_sequence(table.name, key.name))) if key is not None else None
    if key is None or name is None:
        return None
    highest = db.session.scalar(select(func.max(key))) or 0
    last = db.session.scalar(select(func.pg_sequence_last_value(cast(name, REGCLASS)))) or 0
    return Sequence(name, table.name, highest) if last < highest else None

"""The sequences that give new rows of PostgreSQL their ids. A copy of rows from another database leaves them behind."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Column, Select, cast, func, literal, select, union_all
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
        cause = f"New rows would get ids that other rows have, because sequences are behind, those of {names}."
        yield Finding(cause, "Run: flask fix-sequences")


def behind() -> list[Sequence]:
    """Return the sequences whose next value is the id of an existing row. SQLite has none."""
    keys = [key for table in db.metadata.sorted_tables if (key := table.autoincrement_column) is not None]
    if db.engine.name != "postgresql":
        return []
    states = db.session.execute(union_all(*map(_state, keys)))
    return [Sequence(name, table, highest) for name, table, highest, last in states if name and last < highest]


def _state(key: Column[int]) -> Select[tuple[str, str, int, int]]:
    name = func.pg_get_serial_sequence(key.table.name, key.name)
    last = func.pg_sequence_last_value(cast(name, REGCLASS))
    return select(name, literal(key.table.name), func.coalesce(func.max(key), 0), func.coalesce(last, 0))

"""Rows in every table, to compare what a migration does to them."""

from datetime import UTC, datetime

from sqlalchemy import JSON, insert, select, text

from app.extensions import db
from support.clients import ROOT

DIRECTORY = str(ROOT / "migrations")


def fill(people):
    """The same rows each time."""
    for table in db.metadata.sorted_tables:
        numbers = range(1, (people if table.name == "users" else people // 10) + 1)
        rows = [{column.name: _value(column, number) for column in table.columns} for number in numbers]
        db.session.execute(insert(table), rows)
    db.session.commit()


def fill_by_the_database(connection, count, large, many):
    """Fill every table on PostgreSQL with `count` rows, and the large ones with `many`."""
    for table in db.metadata.sorted_tables:
        if table.name == "roles":
            continue
        columns = ", ".join(f'"{column.name}"' for column in table.columns)
        values = ", ".join(_expression(column) for column in table.columns)
        rows = many if table.name in large else count
        connection.execute(
            text(f'INSERT INTO "{table.name}" ({columns}) SELECT {values} FROM generate_series(1, {rows}) AS i')
        )
    connection.execute(text("ANALYZE"))


def _expression(column):
    """Return SQL for the value of a column in row i."""
    if column.name == "role_name":
        return "'user'"
    size = getattr(column.type, "length", None) or 40
    words = {
        int: "i",
        bool: "i % 2 = 0",
        float: "i",
        bytes: "convert_to(i::text, 'UTF8')",
        str: f"left(i || '@{column.name}', {size})",
    }
    if isinstance(column.type, JSON):
        return "json_build_object('number', i)"
    return words.get(column.type.python_type, "now()")


def values():
    """Of each table and column, the hash of all that stands in it."""
    found = {}
    for table in db.metadata.sorted_tables:
        rows = db.session.execute(select(table).order_by(*table.primary_key)).all()
        columns = zip(*rows, strict=True) if rows else [()] * len(table.columns)
        found[table.name] = {
            column.name: hash(repr(cells)) for column, cells in zip(table.columns, columns, strict=True)
        }
    db.session.remove()
    return found


def _value(column, number):
    """A value for a column of the row with this number."""
    if column.name == "role_name":
        return ["user", "administrator"][number % 2]
    if column.name in {"id", "user_id"}:
        return str(number) if column.type.python_type is str else number
    if column.name in {"detail", "details", "claims", "row"}:
        return {"number": number}
    values = {
        int: number,
        float: float(number),
        bool: number % 2 == 0,
        bytes: b"%d" % number,
        str: f"{number}@{column.name}"[: getattr(column.type, "length", None)],
    }
    return values.get(column.type.python_type, datetime(2026, 1, 1, tzinfo=UTC))

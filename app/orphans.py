"""Find and remove rows whose parent row no longer exists. The sqlite3 shell does not enforce foreign keys."""

from collections import Counter
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Row, and_, column, delete, exists, inspect, table, text, update

ADVICE = (
    "Deleting rows without enforcing foreign keys, as the sqlite3 shell does, causes this. Run: flask users cleanup"
)

KEYS = text(
    'SELECT id, seq, "table" AS parent, "from" AS own, "to" AS theirs, on_delete '
    "FROM pragma_foreign_key_list(:child) ORDER BY id, seq"
)


def count(connection: Connection) -> Counter[tuple[str, str]]:
    """Count the orphans by child and parent table. PostgreSQL has none."""
    if connection.dialect.name != "sqlite":
        return Counter()
    found = connection.execute(text('SELECT "table", "parent" FROM pragma_foreign_key_check'))
    return Counter((child, parent) for child, parent in found)


def in_words(counted: Counter[tuple[str, str]]) -> str:
    return "; ".join(
        f"{number} {'row' if number == 1 else 'rows'} of {child} {'belongs' if number == 1 else 'belong'} to rows of "
        f"{parent} that no longer exist"
        for (child, parent), number in sorted(counted.items())
    )


def mend(connection: Connection) -> Counter[tuple[str, str]]:
    """Apply the ON DELETE rules of foreign keys to orphans, and return the orphans that remain.

    A nullable key without a rule is set to NULL.
    """
    while counted := count(connection):
        for child in sorted({child for child, _ in counted}):
            _mend_table(connection, child)
        if count(connection) == counted:
            break
    return counted


def _mend_table(connection: Connection, child: str) -> None:
    schema = inspect(connection)
    may_be_empty = {found["name"] for found in schema.get_columns(child) if found["nullable"]}
    keys = connection.execute(KEYS, {"child": child}).all()
    for _, parts in groupby(keys, key=lambda part: part.id):
        _mend_key(connection, child, list(parts), may_be_empty)


def _mend_key(connection: Connection, child: str, parts: list[Row[Any]], may_be_empty: set[str]) -> None:
    parent_name = parts[0].parent
    primary = inspect(connection).get_pk_constraint(parent_name)["constrained_columns"]
    own = [part.own for part in parts]
    theirs = [part.theirs or primary[part.seq] for part in parts]
    rows = table(child, *map(column, own))
    parent = table(parent_name, *map(column, theirs)).alias("parent")
    pairs = zip(own, theirs, strict=True)
    is_there = exists().where(*(rows.c[name] == parent.c[other] for name, other in pairs)).correlate(rows)
    is_orphan = and_(*(rows.c[name].is_not(None) for name in own), ~is_there)
    emptied = [name for name in own if name in may_be_empty]
    if parts[0].on_delete == "CASCADE":
        connection.execute(delete(rows).where(is_orphan))
    elif emptied:
        connection.execute(update(rows).where(is_orphan).values(dict.fromkeys(emptied)))

"""Whether the database has the tables that the code expects; if not, what is wrong, and which command helps."""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from flask import current_app
from sqlalchemy import inspect
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError

from app.extensions import db, migration_files, migrations

REVISION = re.compile(r"""^revision(?:\s*:\s*str)?\s*=\s*["'](.+?)["']""", re.MULTILINE)

MISSING = {"42P01", "42703"}  # PostgreSQL: undefined_table, undefined_column
MISSING_IN_SQLITE = ("no such table", "no such column", "has no column named")
PRESENT = {"42P07", "42701"}  # PostgreSQL: duplicate_table, duplicate_column
PRESENT_IN_SQLITE = ("already exists", "duplicate column name")

UPGRADE = "The database lacks a table or a column that this code needs. Run: flask db upgrade"


def problem() -> str | None:
    """Say why this code can't run on this database.

    Raises:
        SQLAlchemyError: the database doesn't answer.
    """
    try:
        found, newest = migrations()
    except (OperationalError, ProgrammingError) as error:
        db.session.rollback()
        if not is_missing(error):
            raise
        return f"{without_migrations()} ({_first_line(error)})"
    if not found:
        return without_migrations()
    return None if found == newest else _behind(found, newest)


def several_heads() -> str | None:
    """Say so if more than one migration is the newest: a builder's own, and one that came with an update."""
    heads = _files()[0]
    if len(heads) < 2:
        return None
    return f"{len(heads)} migrations are the newest: {', '.join(heads)}. Join them: flask db merge heads"


def same_ids() -> Iterator[str]:
    """Say which migrations have the ID of another one: somebody numbered theirs, and an update has that number, too."""
    names = defaultdict(list)
    for file in sorted(Path(current_app.extensions["migrate"].directory, "versions").glob("*.py")):
        if found := REVISION.search(file.read_text("utf-8")):
            names[found[1]].append(file.name)
    for revision, files in names.items():
        if len(files) > 1:
            yield f"{' and '.join(files)} have the same revision, {revision}. Change it in yours: docs/upgrading.md"


def without_migrations() -> str:
    """Say what to do about a database that no migration has been run on."""
    found = inspect(db.engine).get_table_names()
    if not db.metadata.tables.keys() & set(found):
        return "The database has no tables yet. Run: flask db upgrade"
    if missing := _missing():
        return (
            f"The database has tables of the same names that no migration made, without {missing[0]}. If another "
            "program made them, use another database (DATABASE_URL). If db.create_all() made them, drop them and run: "
            "flask db upgrade"
        )
    head = "heads" if several_heads() else "head"
    return f"The tables are complete, but db.create_all() made them, and no migration. Run: flask db stamp {head}"


def is_missing(error: BaseException) -> bool:
    """Say whether a statement failed because a table or a column isn't there."""
    return _is(error, MISSING, MISSING_IN_SQLITE)


def is_there_already(error: DBAPIError) -> str | None:
    """Say what to do if a migration failed because what it makes is there, or None if it failed otherwise."""
    if not _is(error, PRESENT, PRESENT_IN_SQLITE):
        return None
    return f"A migration makes something that is there: {_first_line(error)}. {without_migrations()}"


def _is(error: BaseException, codes: set[str], texts: tuple[str, ...]) -> bool:
    original = getattr(error, "orig", None)
    code = getattr(original, "sqlstate", None)
    return code in codes if code else any(text in str(original) for text in texts)


def _first_line(error: DBAPIError) -> str:
    return str(error.orig).partition("\n")[0]


def _behind(found: str, newest: str) -> str:
    heads, known = _files()
    if unknown := set(found.split(", ")) - known:
        return (
            f"The database is at migration {', '.join(sorted(unknown))}, which this code doesn't have. It belongs to "
            "newer code, or to another program: check DATABASE_URL, then run: flask db upgrade"
        )
    if len(heads) > 1:
        return f"The database is at migration {found}. {several_heads()}, then: flask db upgrade"
    return f"The database is at migration {found}, the code at {newest}. Run: flask db upgrade"


def _files() -> tuple[list[str], frozenset[str]]:
    return migration_files(current_app.extensions["migrate"].directory)


def _missing() -> list[str]:
    """Return the tables, and columns as `table.column`, that models have and the database has not."""
    schema, missing = inspect(db.engine), []
    found = set(schema.get_table_names())
    for table in db.metadata.sorted_tables:
        if table.name not in found:
            missing.append(table.name)
            continue
        columns = {column["name"] for column in schema.get_columns(table.name)}
        missing += [f"{table.name}.{column.name}" for column in table.columns if column.name not in columns]
    return missing

"""Whether the database has the tables that the code expects; if not, what is wrong and which command helps."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from flask import current_app
from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError

from app.extensions import db

REVISION = re.compile(r"""^revision(?:\s*:\s*str)?\s*=\s*["'](.+?)["']""", re.MULTILINE)

MISSING = {"42P01", "42703"}  # PostgreSQL: undefined_table, undefined_column
MISSING_IN_SQLITE = ("no such table", "no such column", "has no column named")
PRESENT = {"42P07", "42701"}  # PostgreSQL: duplicate_table, duplicate_column
PRESENT_IN_SQLITE = ("already exists", "duplicate column name")

UPGRADE = "The database lacks a table or a column that this code needs. Run: flask db upgrade"


def problem(was_ready: bool = False) -> str | None:
    """Return why this code can't run on this database, or None.

    Args:
        was_ready: newer code may have migrated the database meanwhile; this code still runs on it (CONTRIBUTING.md).

    Raises:
        SQLAlchemyError: the database does not answer.
    """
    try:
        current, newest = revisions()
    except (OperationalError, ProgrammingError) as error:
        db.session.rollback()
        if not is_missing(error):
            raise
        return f"{without_migrations()} ({_first_line(error)})"
    if not current:
        return without_migrations()
    if current == newest or (was_ready and set(current.split(", ")) - _files(_directory())[1]):
        return None
    return _behind(current, newest)


def revisions() -> tuple[str, str]:
    """Return the revision of the database and the newest revision of the code; several are separated by commas."""
    current = db.session.scalars(text("SELECT version_num FROM alembic_version ORDER BY version_num")).all()
    return ", ".join(current), ", ".join(_heads())


def several_heads() -> str | None:
    """Return a warning if there are several newest revisions, as when an update and the owner each added one."""
    heads = _heads()
    if len(heads) < 2:
        return None
    return f"{len(heads)} migrations are the newest: {', '.join(heads)}. Join them: flask db merge heads"


def duplicate_revisions() -> Iterator[str]:
    """Yield a sentence for each revision ID that several files have, as when an update uses an ID of the owner's."""
    names = defaultdict(list)
    for file in sorted(Path(_directory(), "versions").glob("*.py")):
        if found := REVISION.search(file.read_text("utf-8")):
            names[found[1]].append(file.name)
    for revision, files in names.items():
        if len(files) > 1:
            yield f"{' and '.join(files)} have the same revision, {revision}. Change it in yours: docs/upgrading.md"


def without_migrations() -> str:
    """Return what to do with a database on which no migration was run."""
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
    """Return whether a statement failed because a table or a column does not exist."""
    return _is(error, MISSING, MISSING_IN_SQLITE)


def already_exists(error: DBAPIError) -> str | None:
    """Return the remedy if a migration failed because a table or column exists, else None."""
    if not _is(error, PRESENT, PRESENT_IN_SQLITE):
        return None
    return f"A migration creates something that already exists: {_first_line(error)}. {without_migrations()}"


def _is(error: BaseException, codes: set[str], texts: tuple[str, ...]) -> bool:
    original = getattr(error, "orig", None)
    code = getattr(original, "sqlstate", None)
    return code in codes if code else any(text in str(original) for text in texts)


def _first_line(error: DBAPIError) -> str:
    return str(error.orig).partition("\n")[0]


def _behind(current: str, newest: str) -> str:
    heads, known = _files(_directory())
    if unknown := set(current.split(", ")) - known:
        return (
            f"The database is at migration {', '.join(sorted(unknown))}, which this code doesn't have. It belongs to "
            "newer code, or to another program: check DATABASE_URL, then run: flask db upgrade"
        )
    if len(heads) > 1:
        return f"The database is at migration {current}. {several_heads()}, then: flask db upgrade"
    return f"The database is at migration {current}, the code at {newest}. Run: flask db upgrade"


def _heads() -> list[str]:
    return _files(_directory())[0]


def _directory() -> str:
    return str(current_app.extensions["migrate"].directory)


def _files(directory: str) -> tuple[list[str], frozenset[str]]:
    """Return the newest revisions in a directory, and all revisions. A running server notices new files."""
    return _files_as_of(directory, Path(directory, "versions").stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _files_as_of(directory: str, modified: int) -> tuple[list[str], frozenset[str]]:
    """Read the files without Alembic, which would take 10 MB of each process that answers a readiness probe."""
    followed: dict[str, tuple[str, ...]] = {}
    for file in Path(directory, "versions").glob("*.py"):
        constants = _constants(file, {"revision", "down_revision"})
        previous = constants.get("down_revision") or ()
        followed[constants["revision"]] = (previous,) if isinstance(previous, str) else tuple(previous)
    older = {revision for previous in followed.values() for revision in previous}
    if missing := older - followed.keys():
        raise LookupError(f"No file has revision {', '.join(sorted(missing))}")
    return sorted(followed.keys() - older), frozenset(followed)


def _constants(file: Path, names: set[str]) -> dict[str, Any]:
    """Return the values that a module assigns to these names."""
    return {
        target.id: ast.literal_eval(node.value)
        for node in ast.parse(file.read_bytes()).body
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name) and target.id in names
    }


def _missing() -> list[str]:
    """Return the tables and columns (`table.column`) of models that the database lacks."""
    schema, missing = inspect(db.engine), []
    found = set(schema.get_table_names())
    for table in db.metadata.sorted_tables:
        if table.name not in found:
            missing.append(table.name)
            continue
        columns = {column["name"] for column in schema.get_columns(table.name)}
        missing += [f"{table.name}.{column.name}" for column in table.columns if column.name not in columns]
    return missing

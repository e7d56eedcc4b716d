"""Whether the database and the folders can be written to, for /readyz and `flask doctor`.

A write that is rolled back finds no full disk: SQLite keeps it in memory until the commit. The probes write to a
temporary file instead, here or by a query for which PostgreSQL needs more memory than it may have. They take about a
millisecond, and no byte reaches the disk, because the file is deleted at once.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from flask import current_app
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from app.doctor.findings import Finding, reason, recommendation
from app.extensions import db

ROOM = 64 * 1024  # bytes; a disk with less is full
LITTLE, LITTLE_PART = 1024**3, 0.05  # a recommendation, if less than both is free
MORE_THAN_MEMORY = text("SELECT count(*) FROM unnest(array_fill(repeat('x', 1000), ARRAY[100]))")
DISK_FULL = "53100"  # PostgreSQL: disk_full
NAME_THE_PRIMARY = "Name the primary in DATABASE_URL, or turn the setting off."


def disks() -> Iterator[Finding]:
    """Check the folders that the application writes to, and how much room SQLite has."""
    for folder in (Path(tempfile.gettempdir()), Path(current_app.instance_path)):
        if folder.is_dir() and (problem := _unwritable(folder)):
            yield problem
    if (file := _sqlite_file()) and os.path.exists(file):  # False if this user cannot enter its folder
        total, _, free = shutil.disk_usage(file)
        if free < min(LITTLE, total * LITTLE_PART):
            yield recommendation(f"Only {free // 1024**2} MB are free on the disk of {file}.", "Make room on it.")


def unwritable_database() -> Finding | None:
    """Return why the database can't be written to, or None.

    Raises:
        SQLAlchemyError: the database does not answer.
    """
    return _unwritable_postgresql() if db.engine.name == "postgresql" else unwritable_file()


def unwritable_file() -> Finding | None:
    """Return why the file of SQLite can't be written to, or None, also for PostgreSQL."""
    file = _sqlite_file()
    if file is None:
        return None
    try:
        file.stat()
    except (FileNotFoundError, NotADirectoryError):
        remedy = "If it was moved or deleted, put it back and restart the application. Otherwise, correct DATABASE_URL."
        return Finding(f"There is no file {file}.", remedy)
    except OSError as error:
        remedy = "Let this user enter its folder, or correct DATABASE_URL."
        return Finding(f"{file} can't be opened: {error.strerror}.", remedy)
    if not os.access(file, os.W_OK):
        return Finding(f"{file} can't be written to.", "Is its disk mounted read-only? Let this user write to it.")
    return _unwritable(file.parent)


def _unwritable_postgresql() -> Finding | None:
    if db.session.scalar(text("SELECT current_setting('transaction_read_only')")) == "on":
        cause = "PostgreSQL is read-only: it is a standby, or default_transaction_read_only is on."
        return Finding(cause, NAME_THE_PRIMARY)
    try:
        db.session.execute(text("SET LOCAL work_mem = 64"))  # kB, the least
        db.session.execute(MORE_THAN_MEMORY)
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != DISK_FULL:
            raise
        return Finding(f"The disk of PostgreSQL is full: {reason(error)}.", "Make room on it, or use a larger one.")
    finally:
        db.session.rollback()
    return None


def _unwritable(folder: Path) -> Finding | None:
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(ROOM))
            probe.flush()
    except OSError as error:
        cause = f"{folder} can't be written to: {error.strerror}."
        return Finding(cause, "Make room on its disk, and let this user write to it.")
    return None


def _sqlite_file() -> Path | None:
    name = db.engine.url.database or ""
    has_file = db.engine.name == "sqlite" and name not in {"", ":memory:"} and not name.startswith("file:")
    return Path(name) if has_file else None

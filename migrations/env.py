"""Connect to the database, and run or compare migrations. `flask db` runs this module."""

import logging
from contextlib import contextmanager

from alembic import context
from flask import current_app
from sqlalchemy import text
from sqlalchemy.exc import OperationalError, ProgrammingError

from app import orphans, schema
from app.cli import autogenerate
from app.cli.commands import echo_database
from app.cli.schema_changes import managed_enums

log = logging.getLogger("alembic.env")

LOCK = 0x666C61736B79  # "flasky" in ASCII; only one `flask db` at a time holds this lock


def run() -> None:
    migrate = current_app.extensions["migrate"]
    with migrate.db.engine.connect() as connection, _without_foreign_keys(connection) as is_sqlite:
        with managed_enums(connection) as after_step:
            context.configure(
                connection=connection,
                target_metadata=migrate.db.metadata,
                on_version_apply=after_step,
                transactional_ddl=True,  # also on SQLite, so that a killed migration can run again
                **autogenerate.options(context.script, migrate.db.metadata),
                **migrate.configure_args,
            )
            if is_sqlite:  # its driver begins no transaction for DDL
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            before = orphans.count(connection) if is_sqlite else None
            with context.begin_transaction():
                if not is_sqlite:
                    _wait_for_others(connection)
                _run_migrations()
                if is_sqlite:
                    _look_for_orphans(connection, before)
        if is_sqlite:
            connection.commit()


@contextmanager
def _without_foreign_keys(connection):
    """In SQLite, disable foreign keys, because recreating a table would delete its children, and wait for locks."""
    if connection.dialect.name != "sqlite":
        yield False
        return
    patience = connection.scalar(text("PRAGMA busy_timeout"))
    connection.execute(text("PRAGMA foreign_keys=OFF"))
    connection.execute(text("PRAGMA busy_timeout=600000"))
    connection.commit()
    try:
        yield True
    finally:
        connection.rollback()
        connection.execute(text("PRAGMA foreign_keys=ON"))
        connection.execute(text(f"PRAGMA busy_timeout={patience}"))


def _look_for_orphans(connection, before) -> None:
    """Roll back a migration that created orphans. Earlier orphans only cause a warning."""
    after = orphans.count(connection)
    if after.total() > before.total():  # a renamed table keeps its orphans
        broken = after - before
        raise RuntimeError(f"This migration created orphans and was rolled back: {orphans.in_words(broken)}.")
    if after:
        log.warning("%s. %s", orphans.in_words(after), orphans.ADVICE)


def _wait_for_others(connection) -> None:
    """Wait for other `flask db` without a timeout. The settings are local, because PgBouncer reuses connections."""
    connection.execute(text("SET LOCAL statement_timeout = 0"))
    patience = connection.scalar(text("SHOW lock_timeout"))
    connection.execute(text("SET LOCAL lock_timeout = 0"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    connection.execute(text("SELECT set_config('lock_timeout', :patience, true)"), {"patience": patience})


def _run_migrations() -> None:
    try:
        context.run_migrations()
    except (OperationalError, ProgrammingError) as error:
        if not (reason := schema.already_exists(error)):
            raise
        raise RuntimeError(reason) from error


echo_database()
run()

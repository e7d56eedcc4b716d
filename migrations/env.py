"""Connect to the database, and run or compare migrations. `flask db` runs this module."""

import logging
import time
from contextlib import contextmanager

from alembic import context
from flask import current_app
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from app import orphans, schema
from app.cli import autogenerate
from app.cli.commands import echo_database
from app.cli.schema_changes import managed_enums

log = logging.getLogger("alembic.env")

LOCK = 0x666C61736B79  # "flasky" in ASCII; only one `flask db` at a time holds this lock
LOCK_TIMEOUT = "1s"  # for a table; requests that need it wait behind the migration
TRIES = 60
BUSY = (
    "Another session, such as a backup, has been using a table for minutes. The migrations before this one are done. "
    "Run the same command again later."
)
LOCK_NOT_AVAILABLE = "55P03"  # PostgreSQL's code for a lock_timeout


def run() -> None:
    migrate = current_app.extensions["migrate"]
    engine = migrate.db.engine
    with _alone(engine), engine.connect() as connection, _without_foreign_keys(connection) as is_sqlite:
        with _timeouts(connection), managed_enums(connection) as after_step:
            context.configure(
                connection=connection,
                target_metadata=migrate.db.metadata,
                on_version_apply=after_step,
                transactional_ddl=True,  # also on SQLite, so that a killed migration can run again
                transaction_per_migration=not is_sqlite,  # requests wait for one migration, not for all of them
                **autogenerate.options(context.script, migrate.db.metadata),
                **migrate.configure_args,
            )
            if is_sqlite:  # its driver begins no transaction for DDL
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            before = orphans.count(connection) if is_sqlite else None
            with context.begin_transaction():
                _run_migrations()
                if is_sqlite:
                    _look_for_orphans(connection, before)
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


@contextmanager
def _alone(engine):
    """On PostgreSQL, wait for other `flask db`. A transaction holds the lock, because PgBouncer reuses connections."""
    if engine.dialect.name == "sqlite":
        yield
        return
    with engine.begin() as connection:
        _set(connection, "LOCAL", lock_timeout="0", idle_in_transaction_session_timeout="0")
        # A statement that waits, or has a parameter, keeps a snapshot, for whose end CREATE INDEX CONCURRENTLY waits.
        while not connection.exec_driver_sql(f"SELECT pg_try_advisory_xact_lock({LOCK})").scalar():
            time.sleep(0.2)
        yield


@contextmanager
def _timeouts(connection):
    """On PostgreSQL, let a migration take its time, but not wait for a lock while requests wait behind it."""
    if connection.dialect.name == "sqlite":
        yield
        return
    event.listen(connection, "begin", _begin)
    yield
    event.remove(connection, "begin", _begin)
    connection.rollback()
    connection.exec_driver_sql("RESET statement_timeout; RESET lock_timeout")


def _begin(connection) -> None:
    """Set the timeouts of a transaction; outside of one, CREATE INDEX CONCURRENTLY waits for others and blocks none."""
    if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
        _set(connection, "SESSION", lock_timeout="0")
    else:
        _set(connection, "LOCAL", lock_timeout=LOCK_TIMEOUT)


def _set(connection, scope, **timeouts) -> None:
    for name, value in {"statement_timeout": "0", **timeouts}.items():
        connection.exec_driver_sql(f"SET {scope} {name} = '{value}'")


def _run_migrations() -> None:
    for _ in range(TRIES):
        try:
            context.run_migrations()
        except (OperationalError, ProgrammingError) as error:
            if getattr(error.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE:
                if not (reason := schema.already_exists(error)):
                    raise
                raise RuntimeError(reason) from error
            log.warning("Another session uses a table of this migration. Trying again.")
            time.sleep(1)
        else:
            return
    raise RuntimeError(BUSY)


echo_database()
run()

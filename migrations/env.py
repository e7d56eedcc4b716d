"""How `flask db` reaches the database."""

import logging

from alembic import context
from flask import current_app
from sqlalchemy import text

from app.cli.commands import say_where

log = logging.getLogger("alembic.env")


def run() -> None:
    migrate = current_app.extensions["migrate"]
    with migrate.db.engine.connect() as connection:
        is_sqlite = connection.dialect.name == "sqlite"
        if is_sqlite:  # a table rebuilt by a migration would take its children with it
            connection.execute(text("PRAGMA foreign_keys=OFF"))
            connection.commit()
        context.configure(
            connection=connection,
            target_metadata=migrate.db.metadata,
            process_revision_directives=_nothing_if_empty,
            transactional_ddl=True,  # all of it or nothing, on SQLite too: who is killed half-way does it again
            **migrate.configure_args,
        )
        if is_sqlite:  # its driver would begin with the first row that is written, not with the first table
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        with context.begin_transaction():
            if not is_sqlite:  # a migration may take longer than a request; behind PgBouncer, others get the connection
                connection.execute(text("SET LOCAL statement_timeout = 0"))
            context.run_migrations()
        if is_sqlite:
            broken = connection.execute(text("PRAGMA foreign_key_check")).all()
            connection.commit()
            connection.execute(text("PRAGMA foreign_keys=ON"))
            if broken:
                raise RuntimeError(f"Rows without their parent: {broken[:5]}")


def _nothing_if_empty(context, revision, directives):
    if getattr(context.config.cmd_opts, "autogenerate", False) and directives[0].upgrade_ops.is_empty():
        directives[:] = []
        log.info("No change in the models: no migration made.")


say_where()
run()

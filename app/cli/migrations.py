"""`flask db`, the commands of Flask-Migrate.

Flask-Migrate imports Alembic, which takes a twelfth of the time to start and 10 MB of a process. No request needs them,
so they are imported by the first command or function of Flask-Migrate that is called.
"""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from flask import Flask

from app.cli.commands import explained_errors
from app.extensions import db

if TYPE_CHECKING:
    from flask_migrate import Migrate


class Migrations:
    """What Flask-Migrate's functions and migrations/env.py read from `app.extensions["migrate"]`."""

    db = db

    def __init__(self, directory: str) -> None:
        self.directory = directory

    @cached_property
    def migrate(self) -> "Migrate":
        from flask_migrate import Migrate

        return Migrate(db=db, directory=self.directory)

    @property
    def configure_args(self) -> dict[str, Any]:
        return dict(self.migrate.alembic_ctx_kwargs)


class Commands(click.Group):
    def make_context(self, *args: Any, **options: Any) -> click.Context:
        from flask_migrate.cli import db

        return Explained(db.name, db.commands, params=db.params, callback=db.callback).make_context(*args, **options)


class Explained(click.Group):
    """The commands of Flask-Migrate, which exit with the cause and the remedy of a database error."""

    def invoke(self, ctx: click.Context) -> Any:
        with explained_errors():
            return super().invoke(ctx)


def init_app(app: Flask) -> None:
    app.extensions["migrate"] = Migrations(str(Path(app.root_path).parent / "migrations"))
    app.cli.add_command(Commands("db", help="Perform database migrations."))

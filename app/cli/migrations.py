# mypy: ignore-errors
"""`flask db`, which is Flask-Migrate's. Who asks for it loads that, and Alembic: a server has no use for them."""

from functools import cached_property
from pathlib import Path

import click

from app.extensions import db


class Migrations:
    """What Flask-Migrate and migrations/env.py look for in app.extensions."""

    db, directory = db, str(Path(__file__).parents[2] / "migrations")
    configure_args = {"compare_type": True, "render_as_batch": True}

    @cached_property
    def migrate(self):
        from flask_migrate import Migrate

        return Migrate(db=self.db, directory=self.directory, **self.configure_args)


class Commands(click.Group):
    def make_context(self, *args, **options):
        from flask_migrate.cli import db as commands

        return commands.make_context(*args, **options)


def init_app(app):
    app.extensions["migrate"] = Migrations()
    app.cli.add_command(Commands("db", help="Perform database migrations."))

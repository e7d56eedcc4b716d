# mypy: ignore-errors
"""What all commands share: they say which application they speak to, and put errors in words."""

from functools import wraps

import click
from flask import current_app
from flask.cli import AppGroup
from sqlalchemy.exc import SQLAlchemyError

from app.extensions import db
from app.models import Actor
from app.security import audit


class Commands(AppGroup):
    """A group of commands for administrators."""

    def command(self, *args, **options):
        decorate = super().command(*args, **options)
        return lambda function: decorate(_for_administrators(function))


def say_where():
    """Say on stderr, outside production, which configuration and database this is: nobody mends the wrong one."""
    name = current_app.config["CONFIG_NAME"]
    if name != "production":
        click.echo(f"[{name}: {db.engine.url.render_as_string(hide_password=True)}]", err=True)


def _for_administrators(function):
    @wraps(function)
    def run(*args, **options):
        say_where()
        try:
            with audit.acting_as(Actor.COMMAND_LINE):
                return function(*args, **options)
        except SQLAlchemyError as error:
            reason = str(getattr(error, "orig", None) or error).partition("\n")[0]
            advice = "Is DATABASE_URL right, and has `flask db upgrade` been run?"
            raise click.ClickException(f"The database says: {reason}. {advice}") from error

    return run

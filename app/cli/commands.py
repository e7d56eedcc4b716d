"""The base of all commands: they print their database, record who acts, and explain database errors."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import wraps
from typing import Any

import click
from flask import current_app
from flask.cli import AppGroup
from sqlalchemy.exc import DataError, SQLAlchemyError

from app.doctor import database_errors
from app.email.smtp_answers import one_line
from app.extensions import db
from app.models import Actor
from app.security import audit

AnyCommand = Callable[..., Any]

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")


class Commands(AppGroup):
    """A group of commands for administrators."""

    def command(  # type: ignore[override]  # as in AppGroup itself
        self, *args: Any, **options: Any
    ) -> Callable[[AnyCommand], click.Command]:
        decorate = super().command(*args, **options)
        return lambda function: decorate(for_administrators(function))


def for_administrators(function: AnyCommand) -> AnyCommand:
    """Let a command print its database, record who acts, and explain database errors."""

    @wraps(function)
    def run(*args: Any, **options: Any) -> Any:
        echo_database()
        with explained_errors(), audit.acting_as(Actor.COMMAND_LINE):
            return function(*args, **options)

    return run


@contextmanager
def explained_errors() -> Iterator[None]:
    """Exit with the cause and the remedy of a database error."""
    try:
        yield
    except (DataError, OverflowError) as error:  # the second is SQLite's
        raise click.ClickException(f"The database refuses a value: {_reason(error)}.") from error
    except SQLAlchemyError as error:
        raise click.ClickException(str(database_errors.explain(error))) from error


def echo_database() -> None:
    """Print the configuration and the database to stderr, except in production."""
    if (name := current_app.config["CONFIG_NAME"]) != "production":
        click.echo(f"[{name}: {db.engine.url.render_as_string(hide_password=True)}]", err=True)


def echo_row(layout: str, as_json: bool, **row: object) -> None:
    """Print a row of a list: its values in a layout, or all of it as a line of JSON."""
    texts = {name: _text(value) for name, value in row.items()}
    click.echo(json.dumps(row, default=str) if as_json else layout.format(**texts).rstrip())


def with_progress(items: Sequence[str]) -> Iterator[str]:
    """Yield items, and show a progress bar on stderr if that is a terminal."""
    with progress_bar(len(items)) as bar:
        for item in items:
            yield item
            bar.update(1)


def progress_bar(length: int) -> Any:
    return click.progressbar(length=length, file=sys.stderr, hidden=not sys.stderr.isatty())


def _text(value: object) -> object:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M} UTC"
    if isinstance(value, list):
        value = ", ".join(value) or "none"
    return one_line(value) if isinstance(value, str) else "never" if value is None else value


def _reason(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).partition("\n")[0]

# mypy: ignore-errors
"""`flask doctor` for an application that can't start: it says why. Every other command needs the application."""

import click
from flask import Flask

from app.cli.doctor import CHECKS
from app.cli.doctor_services import words
from settings.environment import ConfigError

WITH_VALUE = {"-A", "--app", "-e", "--env-file"}  # options of `flask` itself


def is_doctor_called(arguments):
    """Return whether a command line, without the program's name, calls the command `doctor`."""
    rest = iter(arguments)
    for argument in rest:
        if argument in WITH_VALUE:
            next(rest, None)
        elif not argument.startswith("-"):
            return argument == "doctor"
    return False


def only_doctor(error):
    """Return an application that has one command, `flask doctor`, which reports the error as its finding."""
    app = Flask("unstarted")

    @app.cli.command("doctor")
    def doctor():
        """Say why the application can't start; 1 at the end."""
        is_of_settings = isinstance(error, ConfigError)
        found = str(error).splitlines() if is_of_settings else [f"{type(error).__name__}: {words(error)}"]
        click.echo("\n    ".join([f"wrong  {'settings' if is_of_settings else 'start'}", *found]))
        for name in CHECKS:
            if name != "settings":
                click.echo(f"-      {name}: the application has to start first")
        raise click.exceptions.Exit(1)

    return app

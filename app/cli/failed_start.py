"""`flask doctor` for an application that can't start."""

from collections.abc import Iterable

import click
from flask import Flask

from app.cli.doctor import CHECKS
from app.cli.doctor.findings import reason
from settings.environment import ConfigError

WITH_VALUE = {"-A", "--app", "-e", "--env-file"}  # options of `flask` itself


def is_doctor_called(arguments: Iterable[str]) -> bool:
    """Return whether the arguments of `flask` call the command `doctor`."""
    rest = iter(arguments)
    for argument in rest:
        if argument in WITH_VALUE:
            next(rest, None)
        elif not argument.startswith("-"):
            return argument == "doctor"
    return False


def doctor_only(error: Exception) -> Flask:
    """Return an application whose only command, `flask doctor`, reports the error."""
    app = Flask("unstarted")

    @app.cli.command("doctor")
    def doctor() -> None:
        """Report why the application can't start; exit with 1."""
        is_config = isinstance(error, ConfigError)
        found = str(error).splitlines() if is_config else [f"{type(error).__name__}: {reason(error)}"]
        click.echo("\n    ".join([f"wrong  {'settings' if is_config else 'start'}", *found]))
        for name in CHECKS:
            if name != "settings":
                click.echo(f"-      {name}: the application has to start first")
        raise click.exceptions.Exit(1)

    return app

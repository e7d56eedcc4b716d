"""`flask doctor` for an application that can't start. It imports nothing of the application, which may be broken."""

import json
import traceback
from collections.abc import Iterable

import click
from flask import Flask

from settings.environment import PROJECT, ConfigError, cause_and_remedy

WITH_VALUE = {"-A", "--app", "-e", "--env-file"}  # options of `flask` itself
REMEDIES: dict[type[Exception], str] = {
    ModuleNotFoundError: "Install the packages of this release: pip install -r requirements.txt",
    OSError: "Let the user that runs the application read and write there, and see whether the disk is full.",
    Exception: "Fix that line, or revert its latest change.",
}
CANNOT_START = 3  # the exit status; click's own is 2, for a wrong option


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
    @click.option("--json", "as_json", is_flag=True)
    def doctor(as_json: bool) -> None:
        """Report why the application can't start; exit with 3."""
        check = "settings" if isinstance(error, ConfigError) else "start"
        if not as_json:
            click.echo(f"wrong  {check}")
        for cause, remedy in _findings(error):
            finding = {"cause": cause, "remedy": remedy, "severity": "problem", "check": check}
            if remedy or not as_json:  # without the heading
                click.echo(json.dumps(finding) if as_json else f"    {cause} {remedy}".rstrip())
        click.echo("-      the other checks: the application has to start first", err=as_json)
        raise click.exceptions.Exit(CANNOT_START)

    return app


def _findings(error: Exception) -> list[tuple[str, str]]:
    if isinstance(error, ConfigError):
        return [cause_and_remedy(line) for line in str(error).splitlines()]
    places = [f"{frame.filename}, line {frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
    ours = [place for place in places if place.startswith(str(PROJECT)) and "site-packages" not in place]
    where = "" if isinstance(error, SyntaxError) else f" ({ours[-1]})"  # a SyntaxError names its place
    remedies = (remedy for kind, remedy in REMEDIES.items() if isinstance(error, kind))
    return [(f"{type(error).__name__}: {str(error).partition(chr(10))[0].rstrip('.')}{where}.", next(remedies))]

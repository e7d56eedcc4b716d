"""`flask doctor` prints the findings of app/doctor/."""

import json
from collections.abc import Sequence
from dataclasses import asdict

import click
from flask import current_app
from flask.cli import with_appcontext

from app.cli.commands import echo_database, json_option
from app.doctor import CHECKS, Finding, Severity, examine


@click.command()
@with_appcontext
@json_option
def doctor(as_json: bool) -> None:
    """Report problems of the installation and their remedies.

    Exits with 0 if there are no problems, with 1 if there are any, and with 3 if the application can't start.
    """
    echo_database()
    click.echo(f"Flasky {current_app.config['VERSION']}", err=as_json)
    has_problem = False
    for name in CHECKS:
        found = examine(name)
        _echo(name, found, as_json)
        has_problem = has_problem or _is_bad(found)
    if has_problem:
        raise click.exceptions.Exit(1)


def _echo(name: str, found: Sequence[Finding], as_json: bool) -> None:
    if as_json:
        for finding in found:
            click.echo(json.dumps(asdict(finding)))
    elif found and found[0].severity is Severity.SKIPPED:
        click.echo(f"-      {name}: {found[0]}")
    else:
        click.echo("\n    ".join([f"{'wrong' if _is_bad(found) else 'well '}  {name}", *map(str, found)]))


def _is_bad(found: Sequence[Finding]) -> bool:
    return any(finding.severity is Severity.PROBLEM for finding in found)

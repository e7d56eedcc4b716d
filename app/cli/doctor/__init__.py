"""`flask doctor` reports problems of this installation and their remedies, and changes nothing.

A check yields one sentence with a remedy for each problem, and one for each recommendation. It raises Skipped if there
is nothing to check.
"""

from collections.abc import Callable, Iterator

import click
from flask import current_app
from flask.cli import with_appcontext

from app.cli.commands import echo_database
from app.cli.doctor import installation, proxies, services
from app.cli.doctor.findings import Recommendation, Skipped, reason

CHECKS: dict[str, Callable[[], Iterator[str]]] = {
    "settings": installation.settings,
    "database": installation.database,
    "clock": services.time_of_day,
    "emails": installation.outbox,
    "cleanup": installation.jobs,
    "PUBLIC_URL, TLS and proxies": proxies.public_url,
    "mail server": services.mail_server,
    "providers": services.providers,
    "CAPTCHA": services.captcha_service,
    "compromised passwords": services.compromised_passwords,
    "Redis": services.redis,
}


@click.command()
@with_appcontext
def doctor() -> None:
    """Report problems of the installation and their remedies; exit with 1 if there are any."""
    echo_database()
    click.echo(f"Flasky {current_app.config['VERSION']}")
    results = [_is_well(name, check) for name, check in CHECKS.items()]
    if not all(results):
        raise click.exceptions.Exit(1)


def _is_well(name: str, check: Callable[[], Iterator[str]]) -> bool:
    """Run a check, print its findings, and return whether it found no problem."""
    try:
        found = list(check())
    except Skipped as skipped:
        click.echo(f"-      {name}: {skipped}")
        return True
    except Exception as error:  # a check must not hide the results of the others
        found = [f"This could not be checked: {type(error).__name__}: {reason(error)}"]
    is_well = all(isinstance(sentence, Recommendation) for sentence in found)
    click.echo("\n    ".join([f"{'well ' if is_well else 'wrong'}  {name}", *found]))
    return is_well

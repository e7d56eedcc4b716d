"""`flask limits`: show the rate limits, and show and clear their counters."""

from datetime import UTC, datetime

import click
from flask import current_app
from sqlalchemy.exc import SQLAlchemyError

from app import clock
from app.cli.commands import Commands, echo_row, json_option
from app.models import User
from app.security.rate_limits import report
from app.security.rate_limits.counters import storage_errors
from app.security.rate_limits.policies import POLICIES
from app.security.rate_limits.report import Entry

limits = Commands("limits", help="Show the rate limits, and clear their counters.")


@limits.command()
@click.argument("name", metavar="[NAME-OR-ADDRESS-OR-NETWORK]", required=False)
@json_option
def show(name: str | None, as_json: bool) -> None:
    """Show the limits and the full counters.

    Given a name, an email address or a network, show all of its counters.
    """
    if not current_app.config["RATELIMIT_ENABLED"]:
        raise click.ClickException("RATELIMIT_ENABLED is 0: nothing is limited.")
    for policy, (rates, *_) in POLICIES.items():
        for subjects, rate in rates.items():
            by = subjects.__name__.replace("_", " ")
            echo_row("{policy:16} {rate:20} {by}", as_json, policy=policy, rate=rate, by=by)
    for entry in _entries(name):
        if name or entry.is_full:
            row = {field: getattr(entry, field) for field in ("policy", "count", "limit", "subject")}
            ends_at = datetime.fromtimestamp(entry.expires_at, UTC)
            until = ends_at if ends_at > clock.now() else None  # no delay has begun, or it is over
            when = "until {until}" if until else " " * 26
            layout = "{state:8} " + when + " {policy:16} {count} of {limit} {subject}"
            echo_row(layout, as_json, state="refused" if entry.is_full else "counted", until=until, **row)


@limits.command()
@click.argument("name", metavar="[NAME-OR-ADDRESS-OR-NETWORK]", required=False)
def clear(name: str | None) -> None:
    """Clear the counters of a name, an email address or a network, or all counters.

    The numbers of emails that addresses received are kept.
    """
    entries = _entries(name)
    for entry in entries:
        entry.clear()
    click.echo(f"{len(entries)} {'counter' if len(entries) == 1 else 'counters'} cleared.")


def _entries(name: str | None) -> list[Entry]:
    """Return all counters, or those of a name. An account has counters by username and by email address."""
    user = User.find(name) if name else None
    try:
        if name is None:
            return list(report.entries())
        return report.entries_of(name, *([user.username, user.email] if user else []))
    except SQLAlchemyError:
        raise
    except storage_errors() as error:
        advice = "Is REDIS_URL right, and is Redis running?"
        raise click.ClickException(f"The counters can't be reached: {error}. {advice}") from error

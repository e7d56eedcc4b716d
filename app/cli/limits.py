# mypy: ignore-errors
"""`flask limits`: what is counted, who is refused, and how to let them in."""

from datetime import UTC, datetime

import click
from flask import current_app

from app.cli.commands import Commands
from app.models import User
from app.security import rate_limit_storage
from app.security import rate_limits as table

limits = Commands("limits", help="Show what is limited, and let those in again who are refused.")


@limits.command()
@click.argument("who", metavar="[NAME-OR-ADDRESS-OR-NETWORK]", required=False)
def show(who):
    """Show the limits and who is refused now.

    Of one name, address or network: all that is counted.
    """
    if not current_app.config["RATELIMIT_ENABLED"]:
        raise click.ClickException("RATELIMIT_ENABLED is 0: nothing is limited.")
    for name, limit in table.POLICIES.items():
        for by, rate in limit.rates.items():
            click.echo(f"{name:16} {rate:20} {by.__doc__.partition('.')[0].lower()}")
    for kept in _kept(who):
        if who or kept.is_full:
            until = f"until {datetime.fromtimestamp(kept.expires_at, UTC):%H:%M:%S} UTC"
            refused = "refused" if kept.is_full else "counted"
            click.echo(f"{refused:8} {until} {kept.name:16} {kept.times} of {kept.most} {kept.subject}")


@limits.command()
@click.argument("who", metavar="[NAME-OR-ADDRESS-OR-NETWORK]", required=False)
def clear(who):
    """Forget what was counted of one, or of everybody.

    How many emails went to an address is not forgotten.
    """
    found = _kept(who)
    for kept in found:
        kept.forget()
    click.echo(f"{len(found)} {'count is' if len(found) == 1 else 'counts are'} forgotten.")


def _kept(who):
    """What is counted, of one or of everybody; of an account, by its address and by its username."""
    user = User.find(who) if who else None
    try:
        return (
            rate_limit_storage.about(who, *([user.username, user.email] if user else []))
            if who
            else list(rate_limit_storage.kept())
        )
    except rate_limit_storage.away() as error:
        raise click.ClickException(f"The counts are away: {error}") from error

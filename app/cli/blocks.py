"""`flask users block`, `unblock` and `blocks`."""

from collections.abc import Callable
from datetime import UTC, datetime

import click
from sqlalchemy import select

from app.accounts import blocks
from app.cli import prompts
from app.cli.commands import echo_row, json_option
from app.cli.users import users
from app.extensions import db
from app.models import Block, User

LAYOUT = "{subject:40} until {until:20} {reason}"


@users.command()
@click.argument("subject", metavar="ADDRESS|DOMAIN|NETWORK")
@click.option("--reason", required=True, help="Why. Only administrators see it.")
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="The day, in UTC, on which the block ends.")
@click.option("--days", type=click.IntRange(1, blocks.MAX_DAYS), help="End the block after this number of days.")
@prompts.confirmation
def block(subject: str, reason: str, until: datetime | None, days: int | None, confirm: Callable[[str], None]) -> None:
    """Keep an address, a domain or a network from registering.

    A domain includes its subdomains. From a blocked network, nobody can log in or request emails, either. Existing
    accounts stay.
    """
    if until and days:
        raise click.UsageError("Give only one of --until and --days.")
    ends_at = until.replace(tzinfo=UTC) if until else blocks.end_after(days)
    try:
        if objection := blocks.objection(subject):
            confirm(f"{objection} Block it?")
        subject = blocks.add(subject, reason, ends_at)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    db.session.commit()
    click.echo(f"{subject} is blocked. To undo: flask users unblock {subject}")
    if count := blocks.count_accounts(subject):
        stay = "1 account has such an address and stays."
        click.echo(stay if count == 1 else f"{count} accounts have such an address and stay.", err=True)


@users.command()
@click.argument("subject", metavar="ADDRESS|DOMAIN|NETWORK")
def unblock(subject: str) -> None:
    """Remove a block."""
    try:
        is_removed = blocks.remove(subject)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    db.session.commit()
    click.echo(f"{subject} is no longer blocked." if is_removed else f"{subject} was not blocked.")


@users.command("blocks")
@json_option
def list_blocks(as_json: bool) -> None:
    """List the blocks, the newest first."""
    rows = select(Block, User).outerjoin(User, User.id == Block.created_by_id).order_by(Block.id.desc())
    for found, by in db.session.execute(rows.execution_options(yield_per=1000)):
        row = {"subject": found.subject, "reason": found.reason, "until": found.ends_at, "active": found.is_active}
        echo_row(LAYOUT, as_json, **row, since=found.created_at, by=by and by.known_as)

"""`flask users purge` and `flask users cleanup` run cleanup jobs now."""

import click
from sqlalchemy import func, select

from app import orphans
from app.accounts import account_deletion
from app.accounts import cleanup as rules
from app.cli.commands import progress_bar, with_progress
from app.cli.users import users
from app.extensions import db
from app.models import User

RUNNING = "Another process is running this job now."


@users.command()
def purge() -> None:
    """Delete the accounts whose 14 days are over. The server does this once a day."""
    due = db.session.scalar(select(func.count()).select_from(User).where(*account_deletion.is_due())) or 0
    with progress_bar(due) as bar:
        outcome = rules.run("deleted_accounts", even_if_done=True, progress=bar.update)
    if outcome is None:
        raise click.ClickException(RUNNING)
    if outcome.count or not outcome.error:
        click.echo(f"Deleted {outcome.count} {'account' if outcome.count == 1 else 'accounts'}.")
    if outcome.error:
        raise click.ClickException(outcome.error)


@users.command()
def cleanup() -> None:
    """Run all cleanup jobs, which delete expired data. The server does this once a day."""
    left = orphans.mend(db.session.connection())
    db.session.commit()
    outcomes = rules.run_now(with_progress)
    for name, outcome in outcomes.items():
        count, problem = (outcome.count, outcome.error) if outcome else ("-", RUNNING)
        click.echo(f"{count:>8} {name.replace('_', ' ')}")
        if problem:
            click.echo(f"{name}: {problem}", err=True)
    if left:
        click.echo(f"{orphans.in_words(left)}. Their foreign keys don't define what to do with them.", err=True)
    if left or any(outcome and outcome.error for outcome in outcomes.values()):
        raise click.exceptions.Exit(1)

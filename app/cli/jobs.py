"""`flask jobs`: list the jobs that run in the background, and run them."""

import click
from sqlalchemy import select

from app.accounts import cleanup
from app.accounts import jobs as runner
from app.cli.cleanup import RUNNING
from app.cli.commands import Commands, echo_row, json_option
from app.extensions import db
from app.models import Job
from app.models.job import EVERY

jobs = Commands("jobs", help="List the jobs that run in the background, and run them.")


@jobs.command("list")
@json_option
def list_jobs(as_json: bool) -> None:
    """List the jobs: how often each runs, when it finished last, and its error."""
    known = {job.name: job for job in db.session.scalars(select(Job))}
    for name in cleanup.registered:
        job = known.get(name) or Job(name=name, error="")
        every = str(runner.intervals.get(name, EVERY))
        row = {"name": name, "every": every, "finished": job.finished_at, "error": job.error}
        echo_row("{name:32} every {every:16} {finished:20} {error}", as_json, **row)


@jobs.command()
@click.argument("names", nargs=-1)
def run(names: tuple[str, ...]) -> None:
    """Run the jobs NAMES now, or without a name all that are due. The server does this by itself."""
    if unknown := [name for name in names if name not in cleanup.registered]:
        raise click.UsageError(f"There is no job {unknown[0]}. To list them: flask jobs list")
    outcomes = {name: cleanup.run(name, even_if_done=bool(names)) for name in names or cleanup.registered}
    for name, outcome in outcomes.items():
        if outcome or names:
            click.echo(f"{name}: {(outcome.error or outcome.count) if outcome else RUNNING}")
    if any(outcome.error if outcome else names for outcome in outcomes.values()):
        raise click.exceptions.Exit(1)

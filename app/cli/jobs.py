"""`flask jobs`: list the jobs that run in the background, and run them."""

from datetime import timedelta

import click

from app.accounts import cleanup
from app.accounts import jobs as runner
from app.cli.cleanup import RUNNING
from app.cli.commands import Commands, echo_row, json_option

jobs = Commands("jobs", help="List the jobs that run in the background, and run them.")


@jobs.command("list")
@json_option
def list_jobs(as_json: bool) -> None:
    """List the jobs, their last run with its rows and seconds, and the next one."""
    layout = "{name:32} {failed:6} {every:16} {finished:20} {rows:>8} {seconds:>8}  next {next:20} {error}"
    for job in runner.states():
        seconds = None if job.duration is None else round(job.duration, 2)
        row: dict[str, object] = {"name": job.name, "every": str(job.every), "finished": job.finished_at}
        row |= {
            "rows": job.row_count,
            "seconds": seconds,
            "next": job.next_at,
            "failed": job.failed_at,
            "error": job.error,
        }
        if not as_json:
            row["every"] = "daily" if job.every == timedelta(days=1) else f"every {job.every}"
            row["failed"] = "FAILED" if job.error else ""
        echo_row(layout, as_json, **row)


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

# mypy: ignore-errors
"""`flask mail`: emails on their way."""

import signal
import threading
from datetime import timedelta

import click
from flask import current_app
from sqlalchemy import select, update

from app import clock
from app.cli.commands import Commands
from app.email import delivery
from app.extensions import db, rows_changed
from app.models import OutboxEmail
from app.models.outbox_email import Status

mail = Commands("mail", help="Deliver emails, show them, try again.")


@mail.command("worker")
@click.option("--once", is_flag=True, help="Deliver what is due now, then end.")
def worker(once):
    """Deliver emails until stopped (MAIL_DELIVERY=worker leaves them to this)."""
    if once:
        count = delivery.deliver()
        click.echo(f"{count} {'email' if count == 1 else 'emails'} tried.")
    else:
        background = current_app.extensions["delivery"]
        # By a thread: the signal may come while this one holds the lock of what is to be set.
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=background.stop).start())
        background.run()


@mail.command("list")
@click.option("--all", "everything", is_flag=True, help="Those that are sent, too.")
def list_emails(everything):
    """List the emails that have not been sent, oldest first."""
    unsent = select(OutboxEmail).order_by(OutboxEmail.id)
    if not everything:
        unsent = unsent.where(OutboxEmail.status.in_([Status.WAITING, Status.FAILED]))
    for email in db.session.scalars(unsent.execution_options(yield_per=1000)):
        age = str(max(clock.now() - email.created_at, timedelta(0))).partition(".")[0]
        attempts = f"{email.attempts} attempts" if email.attempts != 1 else "1 attempt"
        click.echo(f"{email.id:6} {email.status:8} {email.name:20} {email.recipient:32} {age} {attempts} {email.error}")


@mail.command()
@click.argument("number", type=int, required=False)
@click.option("--all", "everything", is_flag=True, help="All that wait or were given up on.")
def retry(number, everything):
    """Try email NUMBER again now, as if for the first time."""
    if (number is None) != everything:
        raise click.UsageError("Give the number of an email, or --all.")
    unsent = update(OutboxEmail).where(OutboxEmail.status.in_([Status.WAITING, Status.FAILED]), OutboxEmail.unclaimed())
    if not everything:
        unsent = unsent.where(OutboxEmail.id == number)
    count = rows_changed(unsent.values(status=Status.WAITING, attempts=0, due_at=clock.now()))
    db.session.commit()
    if not count and not everything:
        raise click.ClickException(f"No email {number} waits or was given up on.")
    click.echo(f"{count} will be tried again.")

"""`flask mail`: deliver, list and retry emails."""

import signal
import sys
import threading
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

import click
from flask import current_app
from sqlalchemy import select

from app import clock
from app.cli.commands import Commands, echo_row, json_option
from app.email import bounces, delivery, outbox
from app.email.smtp_answers import explain, one_line
from app.extensions import db
from app.models import OutboxEmail

mail = Commands("mail", help="Deliver, list and retry emails.")


@mail.command("worker")
@click.option("--once", is_flag=True, help="Deliver the emails that are due now, then stop.")
def worker(once: bool) -> None:
    """Deliver emails until stopped. MAIL_DELIVERY=worker needs this process."""
    if once:
        count = delivery.deliver()
        click.echo(f"{count} {'email' if count == 1 else 'emails'} attempted.")
    else:
        background = current_app.extensions["delivery"]
        # stop() runs in a thread, because the main thread may hold the lock of the event that it sets.
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=background.stop).start())
        background.run()


@mail.command("list")
@click.option("--all", "everything", is_flag=True, help="Include the emails that were sent or dropped.")
@json_option
def list_emails(everything: bool, as_json: bool) -> None:
    """List the emails that wait or have failed, oldest first."""
    emails = select(OutboxEmail).order_by(OutboxEmail.id)
    if not everything:
        emails = emails.where(OutboxEmail.status.in_(outbox.UNSENT))
    for email in db.session.scalars(emails.execution_options(yield_per=1000)):
        age = str(max(clock.now() - email.created_at, timedelta(0))).partition(".")[0]
        row = {name: getattr(email, name) for name in ("id", "status", "name", "recipient", "attempts", "error")}
        attempts = "attempt" if email.attempts == 1 else "attempts"
        layout = f"{{id:6}} {{status:10}} {{name:20}} {{recipient:32}} {age} {{attempts}} {attempts} {{error}}"
        explanation = explain(email.error) if email.error else None
        echo_row(layout, as_json, created=email.created_at, **row, **(asdict(explanation) if explanation else {}))
        if explanation and not as_json:
            click.echo(f"{'':6} {explanation}")


@mail.command("bounces")
@click.option("--maildir", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Read its new messages.")
def read_bounces(maildir: Path | None) -> None:
    """Read a delivery report or complaint from standard input, or those of a Maildir: docs/email.md.

    An address that does not work is marked, and emails to it stop. Messages of a Maildir are then marked as read.
    """
    if maildir is None:
        _read_report(sys.stdin.buffer, "The message")
        return
    try:
        _read_maildir(maildir)
    except OSError as error:
        raise click.ClickException(f"{error.filename} can't be read: {error.strerror}.") from error


@mail.command()
@click.argument("number", type=int, required=False)
@click.option("--all", "everything", is_flag=True, help="All emails that wait or have failed.")
def retry(number: int | None, everything: bool) -> None:
    """Retry email NUMBER now, and reset its attempts."""
    if (number is None) != everything:
        raise click.UsageError("Give the number of an email, or --all.")
    count = outbox.retry(number)
    db.session.commit()
    if not count and not everything:
        raise click.ClickException(f"Email {number} is not waiting and has not failed.")
    click.echo(f"{count} {'email' if count == 1 else 'emails'} will be retried.")


@mail.command()
@click.argument("number", type=int, required=False)
@click.option("--all", "everything", is_flag=True, help="All emails that wait or have failed.")
def drop(number: int | None, everything: bool) -> None:
    """Drop email NUMBER, which is waiting or has failed, so that it is never sent."""
    if (number is None) != everything:
        raise click.UsageError("Give the number of an email, or --all.")
    count = outbox.drop_all() if number is None else outbox.drop_one(number)
    db.session.commit()
    if not count and not everything:
        raise click.ClickException(f"Email {number} is not waiting and has not failed.")
    dropped = "1 email was dropped." if count == 1 else f"{count} emails were dropped."
    click.echo(dropped if everything else f"Email {number} was dropped.")


def _read_maildir(maildir: Path) -> None:
    unread = [path for path in (maildir / "cur").iterdir() if "S" not in path.name.partition(":2,")[2]]
    for path in sorted([*(maildir / "new").iterdir(), *unread]):
        with path.open("rb") as file:
            _read_report(file, path.name)
        name, _, flags = path.name.partition(":2,")
        path.rename(maildir / "cur" / f"{name}:2,{''.join(sorted(f'{flags}S'))}")


def _read_report(file: BinaryIO, name: str) -> None:
    reports = bounces.read(file.read(bounces.MAX_SIZE))
    while file.read(bounces.MAX_SIZE):
        pass  # a mail server that writes into a closed pipe takes that for a failure
    found = [
        f"{recipient}: {report.status} ({report.reason})"
        for report in reports
        for recipient in dict.fromkeys(report.recipients)
        if bounces.record(report.message_id, recipient, report.status, report.reason)
    ]
    db.session.commit()
    for line in found or [f"{name} was ignored: it reports nothing about an email that this application sent."]:
        click.echo(one_line(line))

"""`flask mail test` sends one email and shows the dialogue with the mail server."""

import smtplib
from urllib.parse import urlsplit

import click
from flask import current_app

from app import clock
from app.cli.mail import mail
from app.email import delivery
from app.email.message import new_message_id
from app.email.rendering import render
from app.email.smtp_answers import LIMITED, REFUSED, RETRIED, answer_of, decoded, explain, one_line
from app.email.templates import Email
from app.models import OutboxEmail
from app.models.logins import ascii_email, normal_email

# The remedies for emails of the outbox, and those for this one, which is sent once.
REMEDIES = {
    RETRIED: "Run the command again in some minutes.",
    LIMITED: "Run the command again later, or ask the provider for more.",
    REFUSED: "The answer has the reason.",
}
MORE_DATA = 334  # the reply to a part of a login (RFC 4954)


class Shown(smtplib.SMTP):
    """A connection that prints its commands and replies, without passwords and tokens."""

    code = 0  # of the last reply

    def putcmd(self, cmd: str, args: str = "") -> None:
        shown = f"{cmd} {args.partition(' ')[0]} (secret)" if cmd.upper() == "AUTH" else f"{cmd} {args}".rstrip()
        click.echo(f"> {'(secret)' if self.code == MORE_DATA else shown}")
        super().putcmd(cmd, args)

    def getreply(self) -> tuple[int, bytes]:
        self.code, text = super().getreply()
        for line in decoded(text).splitlines() or [""]:
            click.echo(one_line(f"< {self.code} {line}"))
        return self.code, text


class ShownTls(Shown, smtplib.SMTP_SSL):
    """The same over TLS."""


class Connection(delivery.Connection):
    """The connection of delivery, shown."""

    plain, encrypted = Shown, ShownTls


@mail.command("test")
@click.argument("address")
def send_test(address: str) -> None:
    """Send an email to ADDRESS now, show the dialogue with the mail server, and explain a refusal."""
    config = current_app.config
    if not config["MAIL_SERVER"]:
        raise click.ClickException("MAIL_SERVER is not set. docs/email.md has the settings of many providers.")
    email = _email(address)
    click.echo(f"Connecting to {config['MAIL_SERVER']}:{config['MAIL_PORT']}")
    try:
        with Connection(current_app.extensions["mail"]) as connection:
            if message := render(email):
                connection.send(message)
    except (OSError, smtplib.SMTPException) as error:
        answer = answer_of(error)[1]
        raise click.ClickException(f"{answer}\n{_explained(answer)}".rstrip()) from error
    click.echo(
        f"The mail server accepted the email to {email.recipient}. If it doesn't arrive, look in the spam folder."
    )


def _email(address: str) -> OutboxEmail:
    """Return the row of the email, which is not added to the outbox."""
    try:
        recipient = ascii_email(normal_email(address))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="ADDRESS") from error
    message_id = new_message_id(urlsplit(current_app.config["PUBLIC_URL"]).hostname or "")
    values = {"details": {}, "claims": {}, "created_at": clock.now(), "message_id": message_id}
    return OutboxEmail(name=Email.TEST, recipient=recipient, **values)


def _explained(answer: str) -> str:
    explanation = explain(answer)
    return f"{explanation.cause} {REMEDIES.get(explanation.remedy, explanation.remedy)}" if explanation else ""

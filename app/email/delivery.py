"""Send the emails that are due, over SMTP."""

import logging
import smtplib
import ssl
import threading
from contextlib import suppress
from typing import Self

import flask_mail
from flask import current_app
from sqlalchemy.orm.exc import StaleDataError

from app.email.message import parse_sender
from app.email.rendering import Unsendable, write
from app.email.templates import Email
from app.extensions import db
from app.models import OutboxEmail
from app.models.outbox_email import Status

TIMEOUT = 10  # seconds for each answer of the mail server

log = logging.getLogger(__name__)


def deliver(stopped: threading.Event | None = None) -> int:
    """Post every email that is due, over one connection, until `stopped` is set; return how many were tried."""
    tried = 0
    with Connection(current_app.extensions["mail"]) as connection:
        while not (stopped and stopped.is_set()) and (email := OutboxEmail.claim()):
            tried += 1
            if not _try(email, connection):
                break  # the server is away: the other emails need not find that out, each for itself
    return tried


class Connection(flask_mail.Connection):
    """Flask-Mail's connection, opened by the first email, with a time limit, and TLS that looks at the certificate."""

    def __enter__(self) -> Self:
        return self

    def send(self, message: flask_mail.Message, envelope_from: str | tuple[str, str] | None = None) -> None:
        if not self.mail.suppress and not (self.host and self.host.sock):
            self.host = self.configure_host()
        try:
            super().send(message, envelope_from or ("", parse_sender(str(message.sender))[1]))
        except smtplib.SMTPRecipientsRefused:  # smtplib has made the connection ready for the next email, or closed it
            raise
        except Exception:
            self._close()
            raise

    def configure_host(self) -> smtplib.SMTP:
        server, port = self.mail.server, self.mail.port or 0
        if self.mail.use_ssl:
            context = ssl.create_default_context()
            host: smtplib.SMTP = smtplib.SMTP_SSL(server, port, timeout=TIMEOUT, context=context)
        else:
            host = smtplib.SMTP(server, port, timeout=TIMEOUT)
        try:
            self._introduce(host)
        except Exception:
            host.close()
            raise
        return host

    def __exit__(self, interrupted: object, *_: object) -> None:
        if interrupted:
            self._close()
        elif self.host and self.host.sock:
            with suppress(OSError):  # it has the emails
                self.host.quit()

    def _introduce(self, host: smtplib.SMTP) -> None:
        if self.mail.use_tls and not self.mail.use_ssl:
            host.starttls(context=ssl.create_default_context())
        if self.mail.username and self.mail.password:
            if not isinstance(host.sock, ssl.SSLSocket):
                raise smtplib.SMTPNotSupportedError("No password is sent without TLS: set MAIL_USE_TLS=1.")
            host.login(self.mail.username, self.mail.password)

    def _close(self) -> None:
        if self.host:
            self.host.close()


def _try(email: OutboxEmail, connection: Connection) -> bool:
    """Try to post one email, write down how that ended, and say whether the mail server is there."""
    number, is_there = email.id, True
    try:
        message = write(email)
        if message:
            connection.send(message)
        email.done(Status.SENT if message else Status.OBSOLETE)
    except Unsendable as reason:
        log.error("Email %s (%s) is given up. %s", number, email.name, reason)
        email.done(Status.FAILED, _in_a_line(str(reason)))
    except Exception as error:  # whatever is wrong with one email, the others go on
        log.warning("Email %s (%s) was not sent: %s", number, email.name, type(error).__name__)
        _refused(email, error)
        is_there = not isinstance(error, OSError) or _answer(error)[0] > 0
        if not is_there:
            log.error("No email goes: the mail server can't be used: %s", email.error)
    if email.name == Email.ACCOUNT_DELETED and email.status != Status.WAITING:
        db.session.delete(email)
    try:
        db.session.commit()
    except StaleDataError:
        log.warning("Email %s was taken over by another worker", number)
        db.session.rollback()
    return is_there


def _refused(email: OutboxEmail, error: Exception) -> None:
    """A mail server's 5xx to this email is final; all else may pass."""
    code, said = _answer(error)
    said = _in_a_line(said)
    if isinstance(error, smtplib.SMTPRecipientsRefused | smtplib.SMTPDataError) and code >= 500:
        email.done(Status.FAILED, said)
    else:
        email.retry_later(said)


def _in_a_line(words: str) -> str:
    return "".join(character if character.isprintable() else " " for character in words)[:500]


def _answer(error: Exception) -> tuple[int, str]:
    """Return the code that the mail server answered with, 0 if it did not, and what is to be kept of its words."""
    words: bytes | str
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        [(code, words)] = error.recipients.values()
    elif isinstance(error, smtplib.SMTPResponseException):
        code, words = error.smtp_code, error.smtp_error
    else:
        return 0, str(error) or type(error).__name__
    return code, f"{code} {words.decode(errors='replace') if isinstance(words, bytes) else words}"

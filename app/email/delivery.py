"""Deliver due emails over SMTP, and retry or give up the ones that the mail server refuses."""

import logging
import smtplib
import ssl
import threading
import time
from contextlib import suppress
from typing import Any, Self

import flask_mail
from flask import current_app
from sqlalchemy.orm.exc import StaleDataError

from app.email import bounces, oauth
from app.email.message import parse_sender
from app.email.rendering import Unsendable, render
from app.email.smtp_answers import MAX_ANSWER, answer_of, explain
from app.email.templates import Email
from app.extensions import db
from app.models import OutboxEmail
from app.models.outbox_email import Status
from app.request_state import new_id, state

TIMEOUT = 10  # seconds for each response of the mail server

OUTCOMES = {Status.SENT: "success", Status.OBSOLETE: "unknown"}

log = logging.getLogger(__name__)
attempts = logging.getLogger("email")


def deliver(stopped: threading.Event | None = None) -> int:
    """Send all due emails over one connection, until `stopped` is set, and return how many were attempted."""
    attempted = 0
    with Connection(current_app.extensions["mail"]) as connection:
        while not (stopped and stopped.is_set()) and (email := OutboxEmail.claim()):
            attempted += 1
            if not _attempt(email, connection):
                break  # the other emails would fail, too
    return attempted


class Connection(flask_mail.Connection):
    """Flask-Mail's connection with a timeout and verified TLS certificates. The first email opens it."""

    plain, encrypted = smtplib.SMTP, smtplib.SMTP_SSL

    def __enter__(self) -> Self:
        return self

    def open(self) -> bool:
        """Connect and log in, unless that is done, and return whether it was not. This can take minutes."""
        is_needed = not self.mail.suppress and not (self.host and self.host.sock)
        if is_needed:
            self.host = self.configure_host()
        return is_needed

    def send(self, message: flask_mail.Message, envelope_from: str | tuple[str, str] | None = None) -> None:
        self.open()
        try:
            super().send(message, envelope_from or ("", parse_sender(str(message.sender))[1]))
        except smtplib.SMTPRecipientsRefused:  # smtplib has already reset or closed the connection
            raise
        except Exception:
            self._close()
            raise

    def configure_host(self) -> smtplib.SMTP:
        server, port = self.mail.server, self.mail.port or 0
        if self.mail.use_ssl:
            context = ssl.create_default_context()
            host: smtplib.SMTP = self.encrypted(server, port, timeout=TIMEOUT, context=context)
        else:
            host = self.plain(server, port, timeout=TIMEOUT)
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
            with suppress(OSError):  # the server has already accepted the emails
                self.host.quit()

    def _introduce(self, host: smtplib.SMTP) -> None:
        if self.mail.use_tls and not self.mail.use_ssl:
            host.starttls(context=ssl.create_default_context())
        if self.mail.username and (self.mail.password or oauth.is_on()):
            if not isinstance(host.sock, ssl.SSLSocket):
                raise smtplib.SMTPNotSupportedError("The password is not sent without TLS: set MAIL_USE_TLS=1.")
            if oauth.is_on():
                oauth.log_in(host, self.mail.username)
            else:
                host.login(self.mail.username, self.mail.password or "")
        host.ehlo_or_helo_if_needed()

    def _close(self) -> None:
        if self.host:
            self.host.close()


def _attempt(email: OutboxEmail, connection: Connection) -> bool:
    """Try to send an email, record and log the outcome, and return whether the mail server is available."""
    number, is_available, began = email.id, True, time.perf_counter()
    failure: Exception | None = None
    state.request_id = new_id()
    try:
        if bounces.stops(email):
            email.done(Status.STOPPED, bounces.STOPPED)
        elif message := render(email):
            if connection.open() and not email.renew():
                return _leave(number)
            connection.send(message)
            email.done(Status.SENT)
        else:
            email.done(Status.OBSOLETE)
    except Unsendable as reason:
        failure = reason
        email.done(Status.FAILED, answer_of(reason)[1][:MAX_ANSWER])
    except Exception as error:  # the other emails must still be sent
        failure = error
        is_available = _record_failure(email, error)
    status, fields = email.status, _fields(email, failure, time.perf_counter() - began)
    if email.name == Email.ACCOUNT_DELETED and email.status != Status.WAITING:
        db.session.delete(email)
    try:
        db.session.commit()
    except StaleDataError:
        _leave(number)
    else:
        level = logging.WARNING if failure else logging.INFO
        attempts.log(logging.ERROR if status == Status.FAILED else level, "email %s", status, extra=fields)
    return is_available


def _leave(number: int) -> bool:
    """Leave an email, whose lease was lost, as it is now. Return that the mail server is available."""
    db.session.rollback()
    log.warning("Email %s was taken over by another worker, or dropped", number)
    return True


def _fields(email: OutboxEmail, failure: Exception | None, seconds: float) -> dict[str, Any]:
    """Return the fields of the line in the log. The mail server's answer is not among them: it may name the address."""
    reason = explain(failure) or answer_of(failure)[0] or type(failure).__name__ if failure else None
    return {
        "event.action": "email",
        "event.outcome": OUTCOMES.get(Status(email.status), "failure"),
        "event.reason": getattr(reason, "cause", reason),
        "event.duration": round(seconds * 1e9),
        "user.id": email.user_id and str(email.user_id),
        "labels.email": email.id,
        "labels.template": email.name,
        "labels.status": email.status,
        "labels.attempt": email.attempts,
    }


def _record_failure(email: OutboxEmail, error: Exception) -> bool:
    """Give up an email that the mail server refused with a 5xx response; retry it later after any other error.

    Return whether the mail server is available.
    """
    code, text = answer_of(error)
    text = text[:MAX_ANSWER]
    if isinstance(error, smtplib.SMTPRecipientsRefused | smtplib.SMTPDataError) and code >= 500:
        email.done(Status.FAILED, text)
    else:
        email.retry_later(text)
    is_available = code > 0 or not isinstance(error, OSError)
    if not is_available:
        log.error("No email can be sent, because the mail server is not available: %s", email.error)
    return is_available

"""Letters. send() queues one in the caller's transaction; deliver() writes and posts what is due.

A letter is two templates, `mail/<name>.txt`, whose first line is its subject, and `mail/<name>.html`. Both get `user`,
`app_name`, the details given to send(), `link(endpoint, ...)`, and `token` if the letter stands in PURPOSES.
"""

import logging
import smtplib
import ssl
import threading
from contextlib import suppress
from email.utils import make_msgid
from typing import Any, Self
from urllib.parse import urlsplit

import flask_mail
from flask import current_app
from sqlalchemy import event
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from app.extensions import db
from app.models import Letter, User
from app.models.outbox import Status
from app.models.user import ascii_email

TIMEOUT = 10  # seconds for each answer of the mail server
PURPOSES = {"confirm": "confirm"}  # of the token in a letter's link, by the letter's name

log = logging.getLogger(__name__)
queued = threading.Event()  # set when a transaction that queued a letter is committed


def send(name: str, user: User, to: str | None = None, **details: Any) -> None:
    """Queue the letter `name` to `user`, or to the address `to`; its templates get `details`."""
    purpose = PURPOSES.get(name)
    db.session.add(
        Letter(
            name=name,
            recipient=ascii_email(to or user.email),
            user_id=user.id,
            details=details,
            purpose=purpose,
            state=purpose and user.state(purpose),
            message_id=make_msgid(domain=urlsplit(current_app.config["PUBLIC_URL"]).hostname),
        )
    )
    db.session.info["queued"] = True


@event.listens_for(Session, "after_commit")
def _announce(session: Session) -> None:
    if session.info.pop("queued", False):
        queued.set()


def deliver(stopped: threading.Event | None = None) -> int:
    """Post every letter that is due, over one connection, until `stopped` is set; return how many were tried."""
    tried = 0
    with Connection(current_app.extensions["mail"]) as connection:
        while not (stopped and stopped.is_set()) and (letter := Letter.claim()):
            tried += 1
            if not _try(letter, connection):
                break  # the server is away: the other letters need not find that out, each for itself
    return tried


def write(letter: Letter) -> flask_mail.Message | None:
    """Write a letter, its link dated now; None if the account has moved on since it was queued."""
    if letter.is_obsolete:
        return None
    token = letter.purpose and letter.user and letter.user.issue_token(letter.purpose)
    words = {"user": letter.user, "token": token, "link": link, "app_name": current_app.config["APP_NAME"]}
    words |= letter.details
    subject, _, text = _render(f"mail/{letter.name}.txt", words).partition("\n")
    html = _render(f"mail/{letter.name}.html", words)
    message = flask_mail.Message(subject.removeprefix("Subject: "), [letter.recipient], text.strip() + "\n", html)
    message.msgId = letter.message_id
    message.extra_headers = {"Auto-Submitted": "auto-generated"}
    if not all(str(header).isprintable() for header in (message.subject, message.sender, letter.recipient)):
        raise ValueError("a control character in a header")
    return message


def link(endpoint: str, **values: Any) -> str:
    """Return the full address of a page. It starts with PUBLIC_URL, whatever host a request named."""
    public = urlsplit(current_app.config["PUBLIC_URL"])
    adapter = current_app.url_map.bind(public.netloc, public.path or "/", url_scheme=public.scheme)
    return adapter.build(endpoint, values, force_external=True)


class Connection(flask_mail.Connection):
    """Flask-Mail's connection, opened by the first letter, with a time limit, and TLS that looks at the certificate."""

    def __enter__(self) -> Self:
        return self

    def send(self, message: flask_mail.Message, envelope_from: str | tuple[str, str] | None = None) -> None:
        if not self.mail.suppress and not (self.host and self.host.sock):
            self.host = self.configure_host()
        try:
            super().send(message, envelope_from)
        except smtplib.SMTPRecipientsRefused:  # smtplib has made the connection ready for the next letter, or closed it
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
            with suppress(OSError):  # it has the letters
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


def _try(letter: Letter, connection: Connection) -> bool:
    """Try to post one letter, write down how that ended, and say whether the mail server is there."""
    number, is_there = letter.id, True
    try:
        message = write(letter)
        if message:
            connection.send(message)
        letter.done(Status.SENT if message else Status.OBSOLETE)
    except Exception as error:  # whatever is wrong with one letter, the others go on
        log.warning("Letter %s (%s) was not sent: %s", number, letter.name, type(error).__name__)
        _refused(letter, error)
        is_there = not isinstance(error, OSError) or _answer(error)[0] > 0
    try:
        db.session.commit()
    except StaleDataError:
        log.warning("Letter %s was taken over by another worker", number)
        db.session.rollback()
    return is_there


def _render(template: str, words: dict[str, Any]) -> str:
    return current_app.jinja_env.get_template(template).render(words)


def _refused(letter: Letter, error: Exception) -> None:
    """A mail server's 5xx to this letter is final; all else may pass."""
    code, said = _answer(error)
    said = "".join(character if character.isprintable() else " " for character in said)[:500]
    if isinstance(error, smtplib.SMTPRecipientsRefused | smtplib.SMTPDataError) and code >= 500:
        letter.done(Status.FAILED, said)
    else:
        letter.try_later(said)


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

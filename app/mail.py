"""Letters on their way. send() queues one in the caller's transaction; deliver() has it written, and posts it."""

import logging
import smtplib
import ssl
import threading
from contextlib import suppress
from datetime import datetime, timedelta
from email.utils import parseaddr
from typing import Any, Self
from urllib.parse import urlsplit

import flask_mail
from flask import current_app, has_request_context
from sqlalchemy import ColumnElement, and_, case, event, func, not_, select, update
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from app import audit, clock, limits, mime, tokens
from app.extensions import db
from app.letters import Unsendable, write
from app.models import Device, Event, Letter, User
from app.models.logins import ascii_email, email_key
from app.models.outbox import Budget, Status

TIMEOUT = 10  # seconds for each answer of the mail server
HOURLY, DAILY = 10, 30  # emails that strangers can have sent to one address
DEVICE_HOURLY, DEVICE_DAILY = 3, 10  # and a device that the account recognises, when those are used up
RESET_EVERY = timedelta(minutes=55)  # a reset goes when the hour's are used up: the one before works until then
NOTICES_AN_HOUR = 3  # of one kind

# What people ask for, and counts against the budget of an address. An application's own emails, and notices, do not.
ASKED_FOR = frozenset("account_exists change_email code confirm magic_link no_account reset verify_device".split())
NOBODY = "nobody@invalid"  # RFC 2606: no domain ends so
LAST = "goodbye"  # of a letter to who is gone nothing is kept

PURPOSES = {  # of the token in a letter's link, by the letter's name
    "confirm": "confirm",
    "reset": "reset",
    "first_password": "reset",
    "account_exists": "reset",
    "magic_link": "magic_link",
    "change_email": "change_email",
}

log = logging.getLogger(__name__)
queued = threading.Event()  # set when a transaction that queued a letter is committed


def send(
    name: str,
    user: User | None,
    to: str | None = None,
    claims: dict[str, Any] | None = None,
    event: Event | None = None,
    budget: Budget | None = None,
    **details: Any,
) -> Letter:
    """Queue the letter `name` to `user`, or to the address `to`.

    Its template gets `details`, and where the present request comes from; its token says `claims`. `event` is what the
    email is about: its link "This wasn't me" takes the account back to before that.
    """
    purpose = "secure_account" if event else PURPOSES.get(name)
    if event:
        db.session.flush()
        recipient = recipient_hash(to or (user.email if user else ""))
        claims = (claims or {}) | {"event": event.id, "to": recipient}
    state = (user or User()).state(purpose or "reset")  # the same work for nobody
    letter = Letter(
        name=name,
        recipient=ascii_email(to or (user.email if user else "")),
        user_id=user and user.id,
        details=audit.origin() | details,
        purpose=purpose,
        state=state if user and purpose else None,
        claims=claims or {},
        budget=budget or (Budget.ASKED if name in ASKED_FOR else None),
        message_id=mime.new_message_id(urlsplit(current_app.config["PUBLIC_URL"]).hostname or ""),
    )
    db.session.add(letter)
    db.session.info["queued"] = True
    return letter


def recipient_hash(email: str) -> str:
    """Return what stands for an address in a link that is good only for whoever it was sent to."""
    return tokens.fingerprint(email_key(email))


def warn(name: str, user: User | None) -> None:
    """Queue a notice to the owner of a confirmed account. For anybody else the same row is written, and never sent."""
    if user and user.confirmed:
        send(name, user)
    else:
        send(name, None, to=NOBODY).done(Status.OBSOLETE)


def notify(name: str, user: User, event: Event, **details: Any) -> None:
    """Queue a notice of what may happen again and again, unless three of its kind went within the hour."""
    hour = clock.now() - timedelta(hours=1)
    lately = select(func.count()).where(Letter.user_id == user.id, Letter.name == name, Letter.created_at > hour)
    if (db.session.scalar(lately) or 0) < NOTICES_AN_HOUR:
        send(name, user, event=event, **details)


def budget_for(email: str, lets_in: bool = False, is_reset: bool = False) -> Budget | None:
    """Return the budget that an email which anybody can ask for comes out of; None if it is not to be sent.

    An address has so many an hour and a day, of all kinds together; one without an account, too. No stranger who uses
    them up keeps the owner from resetting: within the hour a reset goes every RESET_EVERY, to an account also when the
    other addresses of its mailbox used up theirs; the last email of a day is a reset, whose link works until there are
    others; and a device that the account recognises has some more of what `lets_in`: resets and magic links. Raises
    limits.Exceeded as limits.spend() does.
    """
    limits.spend("email")
    now, key = clock.now(), email_key(email)
    _one_at_a_time(key)
    hour, day = now - timedelta(hours=1), now - timedelta(days=1)
    resets = {Budget.RESET, Budget.LAST, Budget.OWNER}
    ordinary = resets | {Budget.ASKED}
    counted = select(
        _count(ordinary, hour),
        _count(ordinary, day),
        _count({Budget.DEVICE}, hour),
        _count({Budget.DEVICE}, day),
        func.max(case((Letter.budget.in_(resets), Letter.created_at))),
    ).where(Letter.recipient_key == key, Letter.created_at > day)
    hourly, daily, device_hourly, device_daily, last_reset = db.session.execute(counted).one()
    is_repeat = is_reset and (not last_reset or last_reset <= now - RESET_EVERY)
    if (hourly < HOURLY or is_repeat) and daily < DAILY - (0 if is_reset else 1):
        if daily == DAILY - 1:
            return Budget.LAST
        if limits.allows("mailbox", mailbox(email)):
            return Budget.RESET if is_reset else Budget.ASKED
        if is_repeat:
            return Budget.OWNER
    has_more = lets_in and device_hourly < DEVICE_HOURLY and device_daily < DEVICE_DAILY
    return Budget.DEVICE if has_more and _is_recognised(key) else None


def _count(budgets: set[Budget], since: datetime) -> ColumnElement[int]:
    return func.count(case((Letter.budget.in_(budgets) & (Letter.created_at > since), 1)))


def _one_at_a_time(key: str) -> None:
    if db.engine.dialect.name == "postgresql":
        db.session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(key, 0))))
    else:  # whatever is written, SQLite lets nobody else write until the end; reading alone takes no lock
        db.session.execute(update(Letter).where(Letter.id == 0).values(tries=0))


def mailbox(email: str) -> str:
    """Return the one form of the addresses that usually share a mailbox: with a tag behind a plus, or with dots.

    It is for counting alone: two such addresses may belong to two people, and are two accounts.
    """
    local, _, domain = email_key(email).rpartition("@")
    return f"{local.partition('+')[0].replace('.', '') or local}@{domain.replace('googlemail.com', 'gmail.com')}"


def _is_recognised(key: str) -> bool:
    """Say whether the present request comes from a device that the account with this address was logged in from."""
    device = audit.device() if has_request_context() else ""
    return bool(device) and Device.is_known(device, key)


def drop(user: User, since: int = 0) -> None:
    """Drop the emails to `user` that wait with a link: what it was for is over.

    "This wasn't me" is not, if its event was before the audit event `since`.
    """
    earlier = and_(Letter.purpose == "secure_account", Letter.claims["event"].as_integer() < since)
    with_link = and_(Letter.purpose.is_not(None), not_(earlier))
    waiting = update(Letter).where(Letter.user_id == user.id, Letter.status == Status.WAITING, with_link)
    db.session.execute(
        waiting.values(status=Status.OBSOLETE, done_at=clock.now()), execution_options={"synchronize_session": False}
    )


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


class Connection(flask_mail.Connection):
    """Flask-Mail's connection, opened by the first letter, with a time limit, and TLS that looks at the certificate."""

    def __enter__(self) -> Self:
        return self

    def send(self, message: flask_mail.Message, envelope_from: str | tuple[str, str] | None = None) -> None:
        if not self.mail.suppress and not (self.host and self.host.sock):
            self.host = self.configure_host()
        try:
            super().send(message, envelope_from or parseaddr(str(message.sender))[1])
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
    except Unsendable as reason:
        log.error("Letter %s (%s) is given up. %s", number, letter.name, reason)
        letter.done(Status.FAILED, _in_a_line(str(reason)))
    except Exception as error:  # whatever is wrong with one letter, the others go on
        log.warning("Letter %s (%s) was not sent: %s", number, letter.name, type(error).__name__)
        _refused(letter, error)
        is_there = not isinstance(error, OSError) or _answer(error)[0] > 0
        if not is_there:
            log.error("No letter goes: the mail server can't be used: %s", letter.error)
    if letter.name == LAST and letter.status != Status.WAITING:
        db.session.delete(letter)
    try:
        db.session.commit()
    except StaleDataError:
        log.warning("Letter %s was taken over by another worker", number)
        db.session.rollback()
    return is_there


def _refused(letter: Letter, error: Exception) -> None:
    """A mail server's 5xx to this letter is final; all else may pass."""
    code, said = _answer(error)
    said = _in_a_line(said)
    if isinstance(error, smtplib.SMTPRecipientsRefused | smtplib.SMTPDataError) and code >= 500:
        letter.done(Status.FAILED, said)
    else:
        letter.try_later(said)


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

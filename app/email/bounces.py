"""Emails that came back: delivery reports (RFC 3464) and complaints (RFC 5965) about emails of the outbox.

Anyone can send a report. One counts only if it names the Message-ID and the recipient of an email that was sent lately,
since others have not seen the Message-ID. docs/email.md says how reports arrive.
"""

import re
from collections.abc import Iterable
from datetime import timedelta
from email import message_from_bytes
from email.message import Message
from itertools import islice
from typing import NamedTuple

from sqlalchemy import func, select

from app import clock
from app.email.smtp_answers import MAX_ANSWER, one_line
from app.extensions import db
from app.models import AuditAction, DailyCount, OutboxEmail, User
from app.models.logins import email_key
from app.models.outbox_email import Priority, Status
from app.models.user import UNREACHABLE_FOR
from app.security import audit
from app.security.token_purposes import TokenPurpose

MAX_SIZE = 64 * 1024  # bytes of a message that are read
MAX_REPORTS = 10  # of one message
# A header field, with its continuations, that costs the parser seconds. It ends lines at \r, too.
LONG_FIELD = re.compile(rb"(?:\A|[\r\n])[!-9;-~]+:(?:[^\r\n]|\r?\n[ \t]|\r[ \t]){8192}")
# RFC 3463: the address, its mailbox or domain is at fault, not this email (5.2.3), the sender (5.1.8), a limit (5.4.5)
OF_THE_ADDRESS = re.compile(r"5\.(0\.0|1\.([01236]|10)|2\.[012]|4\.[14])\b")
STOPPED = "An earlier email to this address came back, or was reported as spam."
# How the daily counts of app/accounts/statistics.py change with the state of an email that was sent
CORRECTIONS = {Status.BOUNCED: {"undelivered": 1}, Status.FAILED: {"sent": -1, "undelivered": 1}}
ACTIONS = {Status.BOUNCED: AuditAction.EMAIL_BOUNCED, Status.COMPLAINED: AuditAction.EMAIL_COMPLAINED}


class Report(NamedTuple):
    """What a report says about one email."""

    message_id: str
    recipients: tuple[str, ...]  # as written by different servers; one of them is ours
    status: Status
    reason: str


class Counts(NamedTuple):
    """The numbers of emails that were sent, of those that came back, of those reported as spam, and of failed ones."""

    sent: int
    bounced: int
    complained: int
    failed: int


def record(message_id: str, recipient: str, status: Status, reason: str) -> bool:
    """Record what became of an email, and mark the address of its account if it bounced.

    Return False if no such email was sent to the recipient in the past UNREACHABLE_FOR.

    Args:
        status: BOUNCED (the address does not work), COMPLAINED (reported as spam) or FAILED (for another reason).
    """
    if not f"{_text(message_id)}{recipient}".isprintable():  # PostgreSQL refuses NUL
        return False
    try:
        mine = (OutboxEmail.recipient_key == email_key(recipient), OutboxEmail.message_id == f"<{_text(message_id)}>")
    except ValueError:  # no address
        return False
    lately = (OutboxEmail.status.in_([Status.SENT, status]), OutboxEmail.done_at > clock.now() - UNREACHABLE_FOR)
    email = db.session.scalar(select(OutboxEmail).where(*mine, *lately))
    if email is None:
        return False
    is_news, email.status, email.error = email.status == Status.SENT, status, one_line(reason)[:MAX_ANSWER]
    if is_news:
        _correct_counts(email)
    user = db.session.scalar(select(User).where(User.email_key == email.recipient_key))
    if user and is_news and status in ACTIONS:
        user.email_bounced_at = clock.now() if status == Status.BOUNCED else user.email_bounced_at
        audit.record(user, ACTIONS[status], reason=email.error)
    return True


def stops(email: OutboxEmail) -> bool:
    """Return whether an email must not be sent, because an earlier one came back lately, or was reported as spam.

    After UNREACHABLE_FOR, the address is tried again. A complaint stops only emails that no account depends on. Nothing
    stops an email with the link "This wasn't me".
    """
    if email.purpose == TokenPurpose.SECURE_ACCOUNT:
        return False
    user = db.session.scalar(select(User).where(User.email_key == email.recipient_key))
    earlier = [] if user else [Status.BOUNCED]
    earlier += [] if email.priority == Priority.ACCOUNT else [Status.COMPLAINED]
    same = (OutboxEmail.recipient_key == email.recipient_key, OutboxEmail.created_at > clock.now() - UNREACHABLE_FOR)
    found = select(OutboxEmail.id).where(*same, OutboxEmail.status.in_(earlier)).limit(1)
    return (user is not None and user.is_unreachable) or (bool(earlier) and db.session.scalar(found) is not None)


def counts(period: timedelta) -> Counts:
    """Return the numbers of a recent period."""
    sent = (Status.SENT, Status.BOUNCED, Status.COMPLAINED)
    states = (sent, sent[1:2], sent[2:], (Status.FAILED,))
    numbers = select(*(func.count().filter(OutboxEmail.status.in_(several)) for several in states))
    found = db.session.execute(numbers.where(OutboxEmail.done_at > clock.now() - period)).one()
    return Counts(*map(int, found))


def read(data: bytes) -> list[Report]:
    """Return what a message reports about emails; nothing if it is no report, or too strange to be read."""
    try:
        message = _parsed(data[:MAX_SIZE])
        is_report = message.get_content_type() == "multipart/report"
        return list(islice(_reports(message), MAX_REPORTS)) if is_report else []
    except (ValueError, LookupError, RecursionError, AttributeError, TypeError):  # hostile or broken messages
        return []


def _correct_counts(email: OutboxEmail) -> None:
    """Correct the counts of the day on which an email was sent, if the job has counted that day."""
    day = email.done_at and email.done_at.replace(hour=0, minute=0, second=0, microsecond=0)
    if day and db.session.get(DailyCount, (day, "sent")):
        for name, number in CORRECTIONS.get(Status(email.status), {}).items():
            DailyCount.add(day, name, number)


def _parsed(data: bytes) -> Message:
    if LONG_FIELD.search(data):
        raise ValueError("a header field is too long")
    return message_from_bytes(data)


def _reports(message: Message) -> Iterable[Report]:
    parts = {part.get_content_type(): part for part in reversed(list(message.walk()))}  # the first of each type
    original = parts.get("message/rfc822", parts.get("text/rfc822-headers"))
    if original is None:
        return
    content = original.get_payload(decode=True)
    headers = _parsed(content) if isinstance(content, bytes) else _blocks(original)[0]
    message_id, to = _text(headers["Message-ID"]), _text(headers["To"])
    for block in _blocks(parts.get("message/delivery-status")):
        if _text(block["Action"]).lower() == "failed":
            said = _text(block["Diagnostic-Code"]).partition(";")[2].strip()
            status = Status.BOUNCED if OF_THE_ADDRESS.match(_text(block["Status"])) else Status.FAILED
            named = [_text(_text(block[name]).rpartition(";")[2]) for name in ("Original-Recipient", "Final-Recipient")]
            yield Report(message_id, (*named, to), status, said or _text(block["Status"]))
    for block in _blocks(parts.get("message/feedback-report")):
        kind = _text(block["Feedback-Type"])
        yield Report(message_id, (_text(block["Original-Rcpt-To"]), to), Status.COMPLAINED, f"complaint: {kind}")


def _blocks(part: Message | None) -> list[Message]:
    content = part.get_payload() if part else []
    return [block for block in content if isinstance(block, Message)] if isinstance(content, list) else []


def _text(header: object) -> str:
    return str(header or "").strip(" \t\r\n<>")

"""Numbers of the site over time: sign-ups, logins by method, emails and others, by hour, day or month in UTC.

A job keeps the numbers of each day that is over, because failed logins and emails are deleted after 30 days, and
counting the events of a year takes seconds.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Self

from flask_babel import lazy_gettext as _l
from sqlalchemy import func, select, text

from app import clock
from app.accounts import jobs
from app.email.templates import Email
from app.extensions import db
from app.models import AuditAction, AuditEvent, DailyCount, OutboxEmail
from app.models.outbox_email import Status

DAY, YEAR = timedelta(days=1), timedelta(days=366)
BY_ALL = text("1, 2, 3")  # the selected columns; PostgreSQL takes an expression with a parameter for another one

Counts = Iterator[tuple[datetime, str, int]]  # the hour or day that begins then, a Measure or LOGINS:method, how many


class Range(StrEnum):
    """A span of time up to now. The value is for addresses and commands."""

    label: str
    periods: int

    DAY = "24h", _l("Last 24 hours"), 24
    MONTH = "30d", _l("Last 30 days"), 30
    YEAR = "12m", _l("Last 12 months"), 12

    def __new__(cls, value: str, label: str, periods: int) -> Self:
        member = str.__new__(cls, value)
        member._value_, member.label, member.periods = value, label, periods
        return member


RANGES = {span.value: span for span in Range}


class Measure(StrEnum):
    label: str

    SIGN_UPS = AuditAction.REGISTERED.value, _l("Sign-ups")
    CONFIRMATIONS = AuditAction.CONFIRMED.value, _l("Confirmations")
    LOGINS = AuditAction.LOGGED_IN.value, _l("Logins")
    FAILED_LOGINS = AuditAction.LOGIN_FAILED.value, _l("Failed logins")
    LOCKED = "locked", _l("Accounts locked")  # new devices have to wait between passwords, and the user was told
    DELETIONS = AuditAction.ACCOUNT_DELETED.value, _l("Accounts deleted")
    EMAILS_SENT = "sent", _l("Emails sent")
    EMAILS_UNDELIVERED = "undelivered", _l("Emails undelivered")  # not sent in the end, or sent and came back

    def __new__(cls, value: str, label: str) -> Self:
        member = str.__new__(cls, value)
        member._value_, member.label = value, label
        return member


EVENTS = [Measure.SIGN_UPS, Measure.CONFIRMATIONS, Measure.LOGINS, Measure.FAILED_LOGINS, Measure.DELETIONS]
OUTCOMES = {
    Status.SENT: [Measure.EMAILS_SENT],
    Status.COMPLAINED: [Measure.EMAILS_SENT],
    Status.BOUNCED: [Measure.EMAILS_SENT, Measure.EMAILS_UNDELIVERED],
    Status.FAILED: [Measure.EMAILS_UNDELIVERED],
}


@dataclass(frozen=True)
class Report:
    """The numbers of each period, the oldest first, and the logins by method, the most frequent first."""

    starts: list[datetime]
    counts: dict[Measure, list[int]]
    methods: dict[str, int]


def report(span: Range) -> Report:
    now, counted, methods = clock.now(), Counter[tuple[str, datetime]](), Counter[str]()
    starts = [_start(now, span, back) for back in reversed(range(span.periods))]
    for at, name, number in _recent(starts[0]) if span is Range.DAY else _since(starts[0]):
        measure, _, method = name.partition(":")
        counted[measure, _start(at, span)] += number
        methods[method] += number
    counts = {measure: [counted[measure, start] for start in starts] for measure in Measure}
    return Report(starts, counts, {method: number for method, number in methods.most_common() if method})


@jobs.register
def daily_counts() -> jobs.Batches:
    """Keep the numbers of each day that is over, up to a year back."""
    today = _start(clock.now(), Range.MONTH)
    first = db.session.scalar(select(func.min(AuditEvent.at))) or today
    day = max(_counted_until() or _start(first, Range.MONTH), today - YEAR)
    while day < today:
        counts = Counter[str]()
        for _, name, number in _recent(day, day + DAY):
            counts[name] += number
        db.session.add_all(DailyCount(day=day, name=name, count=number) for name, number in counts.items())
        if counts:
            yield len(counts)
        day += DAY


def _since(since: datetime) -> Counts:
    """Yield the numbers of the days that the job has counted, and those of the hours after them."""
    days = select(DailyCount.day, DailyCount.name, DailyCount.count).where(DailyCount.day >= since)
    yield from ((day, name, number) for day, name, number in db.session.execute(days))
    yield from _recent(max(_counted_until() or since, since))


def _counted_until() -> datetime | None:
    last = db.session.scalar(select(func.max(DailyCount.day)))
    return last and last + DAY


def _recent(since: datetime, until: datetime | None = None) -> Counts:
    """Yield the numbers of each hour since a time, and before another one, from the events and emails themselves."""
    until, method = until or datetime.max.replace(tzinfo=UTC), AuditEvent.detail["method"].as_string()
    events = select(_hour(AuditEvent.at), AuditEvent.action, method, func.sum(AuditEvent.count)).group_by(BY_ALL)
    period = (AuditEvent.at >= since, AuditEvent.at < until, AuditEvent.action.in_(EVENTS))
    for hour, action, how, number in db.session.execute(events.where(*period)):
        yield _parsed(hour), f"{action}:{how}" if action == Measure.LOGINS and how else action, number
    ended, is_warning = OutboxEmail.done_at, OutboxEmail.name == Email.PASSWORD_GUESSING
    emails = select(_hour(ended), OutboxEmail.status, is_warning, func.count()).group_by(BY_ALL)
    period = (ended >= since, ended < until, OutboxEmail.status.in_(OUTCOMES))
    for hour, status, is_locked, number in db.session.execute(emails.where(*period)):
        for measure in OUTCOMES[status] + ([Measure.LOCKED] if is_locked else []):
            yield _parsed(hour), measure, number


def _hour(at: Any) -> Any:
    """Return the hour of a time in UTC as text, in the words of either database."""
    is_sqlite = db.engine.dialect.name == "sqlite"
    return func.strftime("%Y-%m-%d %H", at) if is_sqlite else func.to_char(func.timezone("UTC", at), "YYYY-MM-DD HH24")


def _parsed(hour: str) -> datetime:
    return datetime.fromisoformat(f"{hour}:00+00:00")


def _start(at: datetime, span: Range, back: int = 0) -> datetime:
    """Return the beginning of the period of a range that a time is in, or of one some periods `back`."""
    hour = at.replace(minute=0, second=0, microsecond=0)
    if span is Range.DAY:
        return hour - timedelta(hours=back)
    if span is Range.MONTH:
        return hour.replace(hour=0) - back * DAY
    years, month = divmod(at.year * 12 + at.month - 1 - back, 12)
    return hour.replace(year=years, month=month + 1, day=1, hour=0)

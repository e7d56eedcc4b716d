"""The numbers for Prometheus. Like a probe, the page uses no session, sets no cookie and answers for any host."""

import hmac
from collections.abc import Iterator
from datetime import datetime, timedelta

from flask import current_app, request
from flask.typing import ResponseReturnValue
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from app import clock, metrics
from app.accounts import jobs
from app.extensions import db
from app.main.views import bp
from app.models import OutboxEmail
from app.models.outbox_email import Status
from app.web.hosts import is_from_this_machine


@bp.route("/metrics", endpoint="metrics")
def show_metrics() -> ResponseReturnValue:
    """Answer a request with METRICS_TOKEN or, where that is not set, one from this machine and not through a proxy."""
    if token := current_app.config["METRICS_TOKEN"]:
        if not hmac.compare_digest(request.headers.get("Authorization", "").encode(), f"Bearer {token}".encode()):
            return "The token is missing or wrong.\n", 401, {"Content-Type": "text/plain", "WWW-Authenticate": "Bearer"}
    elif not is_from_this_machine(request):
        return "Set METRICS_TOKEN, or send the request from this machine.\n", 403, {"Content-Type": "text/plain"}
    return metrics.page(Database()), 200, {"Content-Type": metrics.CONTENT_TYPE_LATEST}


class Database(metrics.Collector):
    """The numbers that are in the database, and whether it answers."""

    def collect(self) -> Iterator[metrics.GaugeMetricFamily]:
        try:
            emails, states = _emails(), jobs.states()
        except SQLAlchemyError:
            db.session.rollback()
            yield metrics.GaugeMetricFamily("flasky_database_up", "Whether the database answers", value=0)
            return
        yield metrics.GaugeMetricFamily("flasky_database_up", "Whether the database answers", value=1)
        yield from _of_emails(emails)
        yield from _of_jobs(states)


def _emails() -> dict[str, tuple[int, datetime]]:
    """Count the emails that wait, and those that were finished within an hour, each by an index."""
    status = func.lower(OutboxEmail.status)  # grouped by the column, SQLite would read all of its index
    counts = select(status, func.count(), func.min(OutboxEmail.created_at)).group_by(status)
    waiting = counts.where(OutboxEmail.status == Status.WAITING)
    within_an_hour = OutboxEmail.done_at > clock.now() - timedelta(hours=1)
    done = counts.where(within_an_hour, OutboxEmail.status != Status.WAITING)
    return {name: (count, at) for name, count, at in db.session.execute(waiting.union_all(done))}


def _of_emails(emails: dict[str, tuple[int, datetime]]) -> Iterator[metrics.GaugeMetricFamily]:
    now = clock.now()
    _, oldest = emails.get(Status.WAITING, (0, now))
    counts = [(status.value, emails.get(status, (0, None))[0]) for status in Status]
    yield metrics.gauge("emails", "Emails that wait, or were finished within an hour", "status", counts)
    age = max((now - oldest).total_seconds(), 0)
    yield metrics.GaugeMetricFamily("flasky_emails_oldest_seconds", "Age of the oldest email that waits", value=age)


def _of_jobs(states: list[jobs.State]) -> Iterator[metrics.GaugeMetricFamily]:
    ends = [(state.name, state.finished_at.timestamp()) for state in states if state.finished_at]
    yield metrics.gauge("job_finished_timestamp_seconds", "When a job finished last", "name", ends)
    due = [(state.name, state.next_at.timestamp()) for state in states]
    yield metrics.gauge("job_due_timestamp_seconds", "When a job is due", "name", due)
    lasted = [(state.name, state.duration) for state in states if state.duration is not None]
    yield metrics.gauge("job_duration_seconds", "Duration of a job's last run", "name", lasted)
    failed = [(state.name, bool(state.failed_at)) for state in states]
    yield metrics.gauge("job_failed", "Whether a job's last run failed", "name", failed)

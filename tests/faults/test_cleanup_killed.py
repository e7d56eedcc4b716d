"""Cleanup by real processes that are stopped, killed, doubled, or robbed of their database: none of its work is lost.

The lease of a killed process lasts two minutes, and a job that failed waits for ten. The tests put both back in the
database instead of waiting, and start another worker, which looks at once.
"""

import signal
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, insert, select, update
from support.clients import on_sqlite
from support.postgresql import on_postgresql, stopped
from support.serving import Browser
from support.waiting import PATIENCE, until

from app.accounts import cleanup
from app.extensions import db
from app.models import AuditAction, AuditEvent, Job, OutboxEmail, User, UserSession

pytestmark = pytest.mark.extended

ROWS = 30_000  # sixty batches
PEOPLE = 60


@pytest.fixture
def old_rows(app, ada):
    """So many sessions that are out of date."""
    _add_sessions(ada, range(ROWS))


@pytest.fixture
def leaving(app):
    """So many people whose 14 days are over."""
    for number in range(PEOPLE):
        due = datetime.now(UTC) - timedelta(days=1)
        name = f"person{number}"
        db.session.add(User(username=name, email=f"{name}@example.com", confirmed=True, deletion_due_at=due))
    db.session.commit()


def left():
    db.session.rollback()
    return db.session.scalar(select(func.count()).select_from(UserSession))


def job(name="expired_sessions"):
    db.session.rollback()
    return db.session.get(Job, name, populate_existing=True)


def is_half_done():
    return 0 < left() < ROWS


def is_all_done():
    db.session.rollback()
    finished = select(func.count()).select_from(Job).where(Job.finished_at.is_not(None), Job.leased_until.is_(None))
    return db.session.scalar(finished) == len(cleanup.registered)


def minutes_later():
    """Let leases run out, and jobs that failed be tried again."""
    db.session.rollback()
    db.session.execute(update(Job).values(leased_until=None, failed_at=None))
    db.session.commit()


@pytest.mark.parametrize(("database", "kind"), [("postgresql", "worker"), ("sqlite", "web")], indirect=["database"])
def test_sigterm_stops_cleanup_between_two_batches(site, sink, ledger, old_rows, kind):
    running = site(MAIL_DELIVERY="worker" if kind == "worker" else "thread", web=kind == "web")
    process = running.web if kind == "web" else running.work()
    until(is_half_done, "cleanup")
    process.process.send_signal(signal.SIGTERM)
    assert process.process.wait(PATIENCE) == 0
    assert left() > 0
    assert (job().finished_at, job().leased_until, job().error) == (None, None, "")
    running.environment["MAIL_DELIVERY"] = "worker"
    running.work()
    until(is_all_done, "the next process")
    assert left() == 0


def test_another_process_continues_a_killed_cleanup_after_its_lease(site, sink, ledger, old_rows):
    running = site(MAIL_DELIVERY="worker", web=False)
    worker = running.work()
    until(is_half_done, "cleanup")
    worker.kill()
    ledger.the_dead_are_gone()
    rest = left()
    assert rest > 0
    assert job().finished_at is None
    assert job().leased_until <= datetime.now(UTC) + timedelta(minutes=2)

    other = running.work()
    until(lambda: job("devices") and job("devices").finished_at, "the other jobs")
    assert left() == rest, "until then, no other process touches it"
    other.end()
    minutes_later()
    running.work()
    until(is_all_done, "the next process")
    assert left() == 0


def test_two_servers_at_once_run_each_job_once(site, sink, old_rows, leaving):
    running = site(processes=2)
    for _ in range(2):
        running.work()
    until(is_all_done, "all of it")
    assert db.session.scalars(select(Job.run)).all() == [1] * len(cleanup.registered)
    assert left() == 0
    deleted = select(func.count()).select_from(AuditEvent).where(AuditEvent.action == AuditAction.ACCOUNT_DELETED)
    assert db.session.scalar(deleted) == PEOPLE
    until(lambda: len(sink.received) == PEOPLE, "the deletion_emails")


@on_sqlite
def test_emails_are_delivered_during_cleanup(site, sink, ledger, old_rows, ada):
    _add_sessions(ada, range(ROWS, 3 * ROWS))
    running = site(MAIL_DELIVERY="thread")
    until(lambda: left() < 3 * ROWS, "cleanup")
    assert Browser(running).register("eve").status == 302
    until(lambda: sink.received, "the email")
    assert left() > 0


def test_killed_cleanup_keeps_each_account_or_sends_its_email(site, sink, ledger, leaving):
    running = site(MAIL_DELIVERY="worker", web=False)
    sink.pause = 0.01
    for sent in (5, 25):
        worker = running.work()
        until(lambda sent=sent: len(sink.received) >= sent, "some deletion_emails")
        worker.kill()
        ledger.the_dead_are_gone()
        told = {email.recipient for email in sink.received} | {row.recipient for row in ledger.rows()}
        assert told.isdisjoint(ledger.accounts())
        assert len(told) + len(ledger.accounts()) == PEOPLE
        minutes_later()
        ledger.a_minute_later()
    running.work()
    until(lambda: is_all_done() and ledger.count(OutboxEmail) == 0, "the rest")
    assert {email.recipient for email in sink.received} == {f"person{number}@example.com" for number in range(PEOPLE)}


@on_postgresql
@pytest.mark.parametrize("how", ["fast", "immediate"])
def test_a_postgresql_restart_costs_a_cleanup_job_one_batch(site, sink, ledger, database, old_rows, how):
    running = site(MAIL_DELIVERY="worker", web=False)
    worker = running.work()
    until(is_half_done, "cleanup")
    db.session.rollback()  # the test itself holds no connection meanwhile
    with stopped(database, how):
        pass
    until(lambda: "Job expired_sessions failed" in running.log.read_text(), "an end of that run")
    assert worker.process.poll() is None
    worker.end()
    minutes_later()
    running.work()
    until(is_all_done, "the next process")
    assert left() == 0


def _add_sessions(user, numbers):
    long_ago = datetime.now(UTC) - timedelta(days=400)
    same = {"user_id": user.id, "method": "password", "remembered": False, "expires_at": long_ago}
    db.session.execute(insert(UserSession), [{"id": f"session{number}"} | same for number in numbers])
    db.session.commit()

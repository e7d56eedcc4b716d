"""Cleanup jobs: what they delete and when, their batches and leases, errors, and email delivery beside them."""

import re
import threading
from datetime import timedelta

import pytest
from sqlalchemy import event, select, text
from support.clients import PASSWORD, on_sqlite
from support.concurrency import at_once
from support.records import count, rows
from support.registration import FORM
from support.retention import LIMITS, email, session
from support.routes import addresses
from support.waiting import PATIENCE, until

from app.accounts import account_deletion, cleanup, jobs, personal_data
from app.email import worker
from app.email.outbox import enqueue
from app.email.templates import Email
from app.email.worker import Delivery
from app.extensions import db
from app.models import (
    AuditAction,
    AuditEvent,
    Block,
    Device,
    EmailChallenge,
    EmailChange,
    Invitation,
    Job,
    OAuthState,
    OutboxEmail,
    PasskeyChallenge,
    RemovedCredential,
    User,
    UserSession,
)
from app.models.job import EVERY, LEASE, RETRY

MOMENT = timedelta(microseconds=1)
YEAR = timedelta(days=365)


def run(name):
    """Run a job whether it is due or not, and return how many rows it handled."""
    return cleanup.run(name, even_if_done=True).count


def run_all():
    return {name: outcome.count for name, outcome in cleanup.run_now().items()}


def job(name):
    return db.session.get(Job, name, populate_existing=True)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(jobs, "PAUSE", 0)


@pytest.fixture
def own_job():
    """Return a function that registers a job for this test, as an application would."""
    names = []

    def register(name, job):
        job.__name__ = name
        names.append(name)
        return cleanup.register(job)

    yield register
    for name in names:
        cleanup.registered.pop(name, None)
        jobs.intervals.pop(name, None)


# What is deleted, and when


def test_cleanup_deletes_rows_at_their_age_and_not_before(ada, clock):
    """Of two rows of each kind, the one that is a microsecond younger stays."""
    made = {}
    for name, (_, days, make) in LIMITS.items():
        made[name] = [make(ada, clock.time - timedelta(days=days) + younger) for younger in (MOMENT, timedelta(0))]
        db.session.add_all(made[name])
    db.session.commit()
    young = {name: (type(pair[0]), pair[0].id) for name, pair in made.items()}
    counts = run_all()
    assert {name for name, (model, key) in young.items() if not db.session.get(model, key)} == set()
    assert {model: count(model) for model, _, _ in LIMITS.values()} == {
        UserSession: 2, EmailChallenge: 2, PasskeyChallenge: 1, OAuthState: 1, EmailChange: 1, OutboxEmail: 3,
        AuditEvent: 4, Device: 1, RemovedCredential: 1, Invitation: 1, Block: 1,
    }  # fmt: skip
    assert (counts["audit_events"], counts["sent_emails"], counts["deleted_accounts"]) == (2, 3, 0)
    assert User.find("ada") == ada

    clock.time += MOMENT
    assert sum(run_all().values()) == len(LIMITS)
    assert sum(run_all().values()) == 0


def test_cleanup_keeps_waiting_emails(ada, outbox, clock):
    for _ in range(2):
        enqueue(Email.RESET, ada)
    db.session.flush()
    db.session.get(OutboxEmail, 1).done_at = clock.time  # as if it had failed and an administrator had retried it
    db.session.commit()
    clock.move(days=400)
    assert run("sent_emails") == 0
    assert len(outbox()) == 2
    clock.move(days=30)
    assert run("sent_emails") == 2


def test_unconfirmed_account_is_deleted_after_a_week_without_an_email(client, ada, outbox, clock):
    before = rows()
    client.post("/auth/register", data=FORM)
    client.post("/auth/login", data={"login": "eve", "password": "wrong"})
    outbox()
    clock.move(days=7, microseconds=-1)
    assert run("unconfirmed_accounts") == 0
    assert User.find("eve")
    clock.time += MOMENT
    assert run("unconfirmed_accounts") == 1
    assert len(outbox()) == 1, "the confirmation email of a week ago"
    after = rows()
    assert [line.action for line in after.pop("audit_events")] == ["account_deleted"]
    del before["audit_events"], before["jobs"], after["jobs"]
    assert after == before
    assert "Welcome to Flasky" in client.get("/").text
    assert client.post("/auth/register", data=FORM).status_code == 302


@pytest.mark.parametrize("settings", [{"PREVENT_ENUMERATION": True}])
def test_concealed_accounts_are_deleted_and_free_their_usernames(client, another_client, ada, outbox, clock):
    client.post("/auth/register", data=FORM | {"email": "ada@example.com"})
    assert User.find("eve").email.endswith("@invalid")
    clock.move(days=7)
    assert run("unconfirmed_accounts") == 1
    assert db.session.scalars(select(User.username)).all() == ["ada"]
    another_client.post("/auth/register", data=FORM)
    assert User.find("eve").email == "eve@example.com"
    assert not [sent for sent in outbox() if "invalid" in sent.recipients[0]]


# In small batches, by an index


@pytest.fixture
def statements(app):
    """The statements that the database executes, with their values, and the commits."""
    asked = []
    event.listen(db.engine, "before_cursor_execute", lambda *call: asked.append((call[2], call[3])))
    event.listen(db.engine, "commit", lambda _: asked.append(("COMMIT", None)))
    return asked


def test_cleanup_deletes_in_batches_that_start_where_the_previous_one_ended(ada, clock, monkeypatch, statements):
    """PostgreSQL keeps deleted rows in the index until a vacuum: starting over, each batch would take longer."""
    monkeypatch.setattr(cleanup, "BATCH", 2)
    ages = [YEAR + timedelta(days=days) for days in (5, 4, 3, 3, 3, 2, 1)]  # more of one age than fit into a batch
    db.session.add_all([AuditEvent(user_id=ada.id, action=AuditAction.LOGGED_IN, at=clock.time - age) for age in ages])
    db.session.commit()
    statements.clear()
    assert (run("audit_events"), count(AuditEvent)) == (7, 0)
    words = [statement.split()[0] for statement, _ in statements]
    start = words.index("DELETE") - 1
    assert words[start:][:12] == ["SELECT", "DELETE", "UPDATE", "COMMIT"] * 3
    assert [len(values) for statement, values in statements if statement.startswith("DELETE")] == [2, 2, 2, 1]
    selects = [statement for statement, _ in statements if statement.startswith("SELECT audit_events")]
    assert [statement.count("audit_events.at >= ") for statement in selects] == [0, 1, 1, 1, 1]


def test_accounts_due_at_the_same_time_are_deleted_in_batches(app, clock, monkeypatch):
    monkeypatch.setattr(cleanup, "BATCH", 2)
    for number in range(7):
        made = {"username": f"person{number}", "email": f"person{number}@example.com", "created_at": clock.time}
        db.session.add(User(**made, deletion_due_at=clock.time - timedelta(days=number // 3)))
    db.session.commit()
    assert (run("deleted_accounts"), count(User)) == (7, 0)


def test_no_cleanup_job_scans_a_whole_table(app, ada, phone, clock, monkeypatch, statements):
    """Explain each statement of each job. On PostgreSQL, sequential scans are disabled unless no index can be used."""
    app.config["SECRET_KEY_FALLBACKS"] = ("an earlier key, which is long enough",)
    monkeypatch.setattr(cleanup, "BATCH", 1)
    db.session.add_all([make(ada, clock.time - YEAR) for _ in range(2) for _, _, make in LIMITS.values()])
    for name in ("grace", "alan", "bob", "eve"):
        late = {"created_at": clock.time - YEAR} if len(name) == 3 else {"deletion_due_at": clock.time - YEAR}
        db.session.add(User(username=name, email=f"{name}@example.com", confirmed=len(name) > 3, **late))
    db.session.commit()
    statements.clear()
    assert min(run_all().values()) >= 0
    asked = {
        statement: values for statement, values in statements if statement.split()[0] in ("SELECT", "DELETE", "UPDATE")
    }
    assert {table for table in TABLES if any(f"DELETE FROM {table}" in statement for statement in asked)} == TABLES
    db.session.rollback()
    assert {statement: found for statement in asked if (found := whole_tables(statement, asked[statement]))} == {}


def test_account_deletion_scans_no_rows_without_a_user(leaving, statements):
    """Most rows of these tables may have no user: they were requested for addresses without an account."""
    leaving("ada")
    statements.clear()
    assert run("deleted_accounts") == 1
    plans = {}
    for statement, values in statements:
        if statement.startswith("DELETE FROM ") and "coalesce" in statement:
            with db.engine.connect() as connection:
                explain = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
                if explain == "EXPLAIN":
                    connection.exec_driver_sql("SET enable_seqscan = off")
                plans[statement.split()[2]] = str(connection.exec_driver_sql(f"{explain} {statement}", values).all())
    assert plans.keys() == {"email_challenges", "outbox", "account_invitations"}
    assert "ix_account_invitations_email_key" in plans["account_invitations"]
    assert "ix_email_challenges_email_key" in plans["email_challenges"]
    assert "ix_outbox_recipient_key_created_at" in plans["outbox"]


TABLES = {model.__tablename__ for model, _, _ in LIMITS.values()} | {"users"}


GROWS_NEVER = {"jobs", "roles"}


def whole_tables(statement, values):
    """Return the steps of a query plan that scan a whole table, except those that do not grow."""
    with db.engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)]
            small = {*(f"SCAN {table}" for table in GROWS_NEVER), "SCAN CONSTANT ROW"}
            return [step for step in plan if step.startswith("SCAN") and step not in small]
        connection.exec_driver_sql("SET enable_seqscan = off")
        plan = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", values).scalar()
        return seq_scans(plan[0]["Plan"])


def seq_scans(step):
    inner = [table for below in step.get("Plans", []) for table in seq_scans(below)]
    is_scan = step["Node Type"] == "Seq Scan" and step["Relation Name"] not in GROWS_NEVER
    return inner + ([step["Relation Name"]] if is_scan else [])


# One process at a time, once a day


def test_one_of_many_processes_runs_a_job(app, clock):
    def claim(name):
        with app.app_context():
            return Job.claim(name) or 0

    assert sorted(at_once(claim, ["sent_emails"] * 6)) == [0, 0, 0, 0, 0, 1]
    assert Job.claim("devices"), "each job has its own lease"


def test_job_runs_once_a_day(ada, clock, caplog):
    caplog.set_level("INFO", "app.accounts.jobs")
    for hour in range(25):
        db.session.add(session(ada, clock.time - YEAR))
        db.session.commit()
        cleanup.run_due(threading.Event())
        assert count(UserSession) == hour % 24
        clock.move(hours=1)
    said = [record.getMessage() for record in caplog.records if record.name == "app.accounts.jobs"]
    assert said == ["Job expired_sessions: 1", "Job expired_sessions: 24"]


def test_job_is_finished_only_after_its_work(app, clock, own_job):
    seen = []

    def work():
        seen.append(job("work").finished_at)
        yield 1
        seen.append(job("work").finished_at)

    own_job("work", work)
    cleanup.run("work")
    assert (seen, job("work").finished_at) == ([None, None], clock.time)


def test_job_of_a_killed_process_is_taken_over_when_its_lease_expires(app, ada, clock):
    db.session.add(session(ada, clock.time - YEAR))
    db.session.commit()
    Job.claim("expired_sessions")  # by a process that is then killed
    clock.time += LEASE - MOMENT
    assert cleanup.run("expired_sessions") is None
    clock.time += MOMENT
    assert cleanup.run("expired_sessions").count == 1
    assert job("expired_sessions").finished_at == clock.time


def test_job_that_lost_its_lease_commits_nothing(app, ada, clock, own_job):
    def slow():
        db.session.add(session(ada, clock.time))
        yield 1
        clock.time += LEASE
        assert Job.claim("slow") == 2, "another process takes over"
        db.session.add(session(ada, clock.time))
        yield 1

    own_job("slow", slow)
    outcome = cleanup.run("slow")
    assert (outcome.count, outcome.error, count(UserSession)) == (1, "Another process has taken over the job.", 1)
    assert (job("slow").finished_at, job("slow").failed_at, job("slow").run) == (None, None, 2)


def test_job_renews_its_lease_with_each_batch(app, clock, own_job):
    def long():
        for _ in range(5):
            clock.time += LEASE - MOMENT
            assert Job.claim("long") is None
            yield 1

    own_job("long", long)
    assert cleanup.run("long").count == 5


def test_jobs_run_after_the_clock_was_put_back(app, clock):
    cleanup.run("devices")
    Job.claim("sent_emails")
    clock.move(days=-30)
    assert cleanup.run("devices").is_finished
    assert cleanup.run("sent_emails").is_finished
    clock.move(hours=23)
    assert cleanup.run("devices") is None


def test_due_jobs_are_found_after_the_clock_was_put_back(app, clock):
    cleanup.run("devices")
    Job.claim("sent_emails")
    clock.move(days=-30)
    cleanup.run_due(threading.Event())
    assert {job("devices").finished_at, job("sent_emails").finished_at} == {clock.time}


def test_one_query_tells_that_no_job_is_due(app, clock, statements):
    cleanup.run_due(threading.Event())
    statements.clear()
    cleanup.run_due(threading.Event())
    assert len(statements) == 1


# Errors


def test_failed_job_blocks_no_other_and_is_retried(app, ada, clock, monkeypatch, caplog):
    db.session.add_all([session(ada, clock.time - YEAR), email(ada, clock.time - YEAR)])
    db.session.commit()
    works = cleanup.registered["expired_sessions"]
    monkeypatch.setitem(cleanup.registered, "expired_sessions", lambda: db.session.execute(text("SELECT nothing")))
    cleanup.run_due(threading.Event())
    assert (count(UserSession), count(OutboxEmail)) == (1, 0)
    failed = job("expired_sessions")
    assert (failed.finished_at, failed.failed_at, failed.leased_until) == (None, clock.time, None)
    assert "nothing" in failed.error
    assert "Job expired_sessions failed" in caplog.text

    monkeypatch.setitem(cleanup.registered, "expired_sessions", works)
    clock.time += RETRY - MOMENT
    assert cleanup.run("expired_sessions") is None
    clock.time += MOMENT
    assert cleanup.run("expired_sessions").count == 1
    mended = job("expired_sessions")
    assert (mended.finished_at, mended.failed_at, mended.error) == (clock.time, None, "")


def test_failed_job_keeps_its_committed_batches(app, ada, clock, own_job):
    def half():
        db.session.add(session(ada, clock.time))
        yield 1
        db.session.add(session(ada, clock.time))
        raise RuntimeError("half way\nand more")

    own_job("half", half)
    outcome = cleanup.run("half")
    assert (outcome.count, outcome.error, count(UserSession)) == (1, "RuntimeError: half way", 1)


@pytest.fixture
def leaving(app, clock):
    """Return a function that makes users whose deletion is due."""

    def make(*names):
        people = [
            User(username=name, email=f"{name}@example.com", confirmed=True, deletion_due_at=clock.time)
            for name in names
        ]
        db.session.add_all(people)
        db.session.commit()
        return people

    return make


def test_account_that_cannot_be_deleted_is_reported_and_retried_the_next_day(leaving, clock, monkeypatch, caplog):
    stuck = leaving("ada", "bob", "eve")[1].id
    erase = personal_data.erase
    monkeypatch.setattr(personal_data, "erase", lambda user: 1 / 0 if user.id == stuck else erase(user))
    cleanup.run_due(threading.Event())
    assert db.session.scalars(select(User.username)).all() == ["bob"]
    said = f"Account {stuck} can't be deleted: ZeroDivisionError: division by zero"
    assert job("deleted_accounts").error == said
    assert said.partition(":")[0] in caplog.text
    assert job("deleted_accounts").finished_at == clock.time

    clock.time += EVERY - MOMENT
    assert cleanup.run("deleted_accounts") is None
    clock.time += MOMENT
    monkeypatch.undo()
    monkeypatch.setattr("app.clock.now", lambda: clock.time)
    assert cleanup.run("deleted_accounts").count == 1
    assert (count(User), job("deleted_accounts").error) == (0, "")


@pytest.fixture
def plants(app):
    """A table of an application that is not registered with personal_data: its rows prevent their owner's deletion.

    Its foreign key is checked at the commit.
    """
    key = "owner_id INTEGER REFERENCES users (id) DEFERRABLE INITIALLY DEFERRED"
    db.session.execute(text(f"CREATE TABLE trees ({key})"))
    db.session.commit()
    yield lambda owner: db.session.execute(text(f"INSERT INTO trees VALUES ({owner.id})"))
    db.session.rollback()
    db.session.execute(text("DROP TABLE trees"))
    db.session.commit()


def test_commit_error_affects_only_its_account(leaving, plants):
    ada, bob, _ = leaving("ada", "bob", "eve")
    for person in (ada, bob):
        plants(person)
    db.session.commit()
    stuck = bob.id
    outcome = cleanup.run("deleted_accounts")
    assert (outcome.count, outcome.is_finished) == (1, True)
    assert db.session.scalars(select(User.username).order_by(User.id)).all() == ["ada", "bob"]
    assert outcome.error.count("can't be deleted: ") == 2
    assert f"Account {stuck} can't be deleted: " in outcome.error


def test_error_names_ten_accounts_at_most(leaving, monkeypatch):
    leaving(*(f"person{number}" for number in range(13)))
    monkeypatch.setattr(personal_data, "erase", lambda user: 1 / 0)
    error = cleanup.run("deleted_accounts").error
    assert error.count("ZeroDivisionError") == 10
    assert error.endswith("; and 3 more")


def test_deletion_that_is_cancelled_meanwhile_is_not_carried_out(leaving, monkeypatch):
    leaving("ada")
    purge = account_deletion.purge

    def kept_first(user, *conditions, **how):
        with db.engine.begin() as connection:
            connection.execute(text("UPDATE users SET deletion_due_at = NULL"))
        return purge(user, *conditions, **how)

    monkeypatch.setattr(account_deletion, "purge", kept_first)
    outcome = cleanup.run("deleted_accounts")
    assert (outcome.count, outcome.error, count(User)) == (0, "", 1)


@on_sqlite
def test_job_is_retried_when_another_process_has_locked_the_database(make_app, database, clock):
    options = {"connect_args": {"isolation_level": "IMMEDIATE", "timeout": 0.05}}
    with make_app("testing", database, {"SQLALCHEMY_ENGINE_OPTIONS": options}):
        user = User(username="ada", email="ada@example.com", confirmed=True, deletion_due_at=clock.time)
        db.session.add(user)
        Job.claim("deleted_accounts")
        db.session.commit()
        clock.time += LEASE
        locked = db.engine.connect()
        locked.exec_driver_sql("BEGIN IMMEDIATE")
        with pytest.raises(Exception, match="database is locked"):
            cleanup.run_due(threading.Event())
        db.session.rollback()  # as the thread does at the end of its app context
        locked.rollback()
        locked.close()
        cleanup.run_due(threading.Event())
        assert count(User) == 0


# Stopping


def test_stopped_job_finishes_its_batch_and_continues_later(app, ada, clock, monkeypatch):
    monkeypatch.setattr(cleanup, "BATCH", 2)
    db.session.add_all([session(ada, clock.time - YEAR) for _ in range(5)])
    db.session.commit()
    stopped, deleted = threading.Event(), []

    def stop(connection, cursor, statement, *_):
        if statement.startswith("DELETE"):
            deleted.append(cursor.rowcount)
            stopped.set()

    event.listen(db.engine, "after_cursor_execute", stop)
    cleanup.run_due(stopped)
    assert (deleted, count(UserSession)) == ([2], 3)
    half = job("expired_sessions")
    assert (half.finished_at, half.failed_at, half.leased_until) == (None, None, None)
    cleanup.run_due(threading.Event())
    assert count(UserSession) == 0


def test_interrupted_job_releases_its_lease(app, clock, own_job):
    def interrupted():
        yield 1
        raise KeyboardInterrupt

    own_job("interrupted", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cleanup.run("interrupted")
    assert (job("interrupted").leased_until, job("interrupted").finished_at) == (None, None)
    assert Job.claim("interrupted")


def test_pause_between_batches_does_not_delay_shutdown(app, clock, monkeypatch, own_job):
    monkeypatch.setattr(jobs, "PAUSE", 3600)
    stopped = threading.Event()

    def endless():
        threading.Timer(0.1, stopped.set).start()
        while True:
            yield 1

    own_job("endless", endless)
    assert cleanup.run("endless", stopped).count == 1


# Email delivery


@pytest.fixture
def thread(app, monkeypatch):
    """Return a function that starts the delivery threads, with this cleanup or the application's own."""
    monkeypatch.setattr(worker, "POLL_INTERVAL", 0.01)
    monkeypatch.setattr(worker, "CLEANUP_INTERVAL", 0.01)
    started = []

    def start(cleanup=None):
        started.append(Delivery(app, cleanup) if cleanup else app.extensions["delivery"])
        started[-1].start()
        return started[-1]

    yield start
    for each in started:
        each.stop(wait=PATIENCE)


def test_serving_process_runs_cleanup(thread, ada, clock):
    db.session.add(session(ada, clock.time - YEAR))
    ada.deletion_due_at = clock.time
    db.session.commit()
    thread()
    until(lambda: db.session.rollback() or count(User) + count(UserSession) + count(OutboxEmail) == 0)


def test_emails_are_sent_while_cleanup_runs(thread, ada, outbox):
    is_over, began = threading.Event(), threading.Event()

    def clean_up(stopped):
        began.set()
        is_over.wait(120)

    thread(clean_up)
    assert began.wait(120)
    enqueue(Email.RESET, ada)
    db.session.commit()
    until(lambda: len(outbox) == 1)
    assert not is_over.is_set()
    is_over.set()


def test_failed_cleanup_is_retried_and_emails_are_sent(thread, ada, outbox):
    asked = []

    def fail(stopped):
        asked.append(stopped)
        raise RuntimeError("the database is away")

    thread(fail)
    until(lambda: len(asked) >= 3)
    enqueue(Email.RESET, ada)
    db.session.commit()
    until(lambda: len(outbox) == 1)


def test_shutdown_does_not_wait_for_a_long_batch(thread, monkeypatch):
    monkeypatch.setattr(worker, "CLEANUP_STOP_TIMEOUT", 0.05)
    is_over, began = threading.Event(), threading.Event()

    def clean_up(stopped):
        began.set()
        is_over.wait(120)

    running = thread(clean_up)
    assert began.wait(120)
    running.stop(wait=PATIENCE)
    assert not running._thread.is_alive()
    assert running._cleanup_thread.is_alive(), "a daemon thread: the process ends without it"
    is_over.set()


@pytest.mark.parametrize(
    ("settings", "waits"), [({"MAIL_DELIVERY": "thread"}, True), ({"MAIL_DELIVERY": "off"}, False)]
)
def test_deletion_emails_do_not_delay_other_emails(leaving, outbox, waits):
    """The job deletes ten accounts, then waits until their emails are sent, ten seconds at most."""
    leaving(*(f"person{number}" for number in range(25)))
    batches, seen = cleanup.registered["deleted_accounts"](), []
    for handled in batches:
        db.session.commit()
        seen.append(handled)
        if seen[-3:] == [None] * 3 and len(seen) < 20:
            outbox()
    nothing = [None] * 3 if waits else []
    patience = [None] * 20 if waits else []
    assert seen == [1] * 10 + nothing + [1] * 10 + patience + [1] * 5
    assert len(outbox()) == 25


def test_requests_run_no_cleanup(app, client, another_client, ada, bob, clock):
    db.session.add_all([make(ada, clock.time - YEAR) for _, _, make in LIMITS.values()])
    bob.created_at = ada.deletion_due_at = clock.time - YEAR
    db.session.commit()
    before = {name: len(found) for name, found in rows().items()}
    for _, address in addresses(app, "GET"):
        client.get(address).close()
    assert {name: len(found) for name, found in rows().items()} == before
    another_client.post("/auth/login", data={"login": "bob", "password": PASSWORD})
    assert (count(User), count(Job), count(EmailChallenge)) == (2, 0, 2)


# Jobs of an application


@pytest.mark.parametrize(
    ("work", "handled"),
    [(lambda: iter([2, None, 3]), 5), (lambda: 4, 4), (lambda: None, 0), (lambda: iter(()), 0)],
    ids=["a generator", "a number", "nothing", "an empty generator"],
)
def test_registered_job_yields_or_returns_its_count(app, own_job, clock, monkeypatch, work, handled):
    monkeypatch.setattr(jobs, "LONG_PAUSE", 0)
    own_job("own", work)
    cleanup.run_due(threading.Event())
    assert job("own").finished_at == clock.time
    assert run("own") == handled


def test_work_after_the_last_batch_of_a_job_is_committed(ada, clock, own_job):
    def work():
        yield 1
        db.session.add(session(ada, clock.time))

    own_job("work", work)
    assert cleanup.run("work").is_finished
    assert count(UserSession) == 1


def test_two_jobs_cannot_have_the_same_name(own_job):
    own_job("mine", lambda: 1)
    with pytest.raises(ValueError, match="There is already a job named mine"):
        own_job("mine", lambda: 2)


def test_cleanup_command_runs_all_jobs_and_reports_failures(app, ada, clock, own_job):
    own_job("broken", lambda: 1 / 0)
    db.session.add(session(ada, clock.time - YEAR))
    db.session.commit()
    Job.claim("devices")
    for _ in range(2):  # the second time, no job is due
        result = app.test_cli_runner().invoke(args=["users", "cleanup"])
        assert result.exit_code == 1
        assert "broken: ZeroDivisionError: division by zero" in result.stderr
        assert "devices: Another process is running this job now." in result.stderr
    cleanup.registered.pop("broken")
    result = app.test_cli_runner().invoke(args=["users", "cleanup"])
    assert (result.exit_code, [line.split()[0] for line in result.stdout.splitlines()].count("-")) == (0, 1)


def test_job_runs_at_its_own_interval(app, own_job, clock):
    ran = []
    jobs.intervals["hourly"] = timedelta(hours=1)
    own_job("hourly", lambda: ran.append(clock.time))
    for minutes in (0, 59, 1, 30, 30):
        clock.move(minutes=minutes)
        cleanup.run_due(threading.Event())
    assert len(ran) == 3
    said = app.test_cli_runner().invoke(args=["jobs", "list"]).output
    minute = r"[\d-]{10} [\d:]{5} UTC"
    assert re.search(rf"^hourly +every 1:00:00 +{minute} +0 +0\.\d+ +next {minute}$", said, re.MULTILINE)
    assert re.search(r"^devices +daily ", said, re.MULTILINE)
    own_job("broken", lambda: 1 / 0)
    cleanup.run("broken")
    said = app.test_cli_runner().invoke(args=["jobs", "list"]).output
    assert re.search(r"^broken +FAILED daily .* ZeroDivisionError: division by zero$", said, re.MULTILINE)
    assert said.count("FAILED") == 1


def test_states_tell_the_last_run_of_each_job_and_when_it_is_due_again(app, own_job, clock):
    def state():
        return next(state for state in jobs.states() if state.name == "hourly")

    jobs.intervals["hourly"] = timedelta(hours=1)
    results = [4]
    own_job("hourly", lambda: results.pop() if results else 1 / 0)
    assert [each.name for each in jobs.states()] == list(cleanup.registered)
    never = state()
    assert (never.finished_at, never.row_count, never.duration, never.next_at) == (None, None, None, clock.time)
    began = clock.time
    cleanup.run_due(threading.Event())
    assert (state().finished_at, state().row_count, state().next_at) == (began, 4, began + timedelta(hours=1))
    assert 0 <= state().duration < 60
    clock.move(hours=1)
    Job.claim("hourly", timedelta(hours=1))
    assert state().is_running
    clock.time += LEASE
    cleanup.run_due(threading.Event())
    failed = state()
    assert (failed.finished_at, failed.failed_at, failed.row_count) == (began, clock.time, 0)
    assert (failed.next_at, failed.is_running) == (clock.time + RETRY, False)
    assert failed.error.startswith("ZeroDivisionError")


def test_every_is_a_decorator(own_job):
    def digest():
        """Do nothing."""

    assert jobs.every(days=7)(digest) is digest
    assert jobs.intervals.pop("digest") == timedelta(days=7)
    assert jobs.registered.pop("digest") is digest


def test_hourly_job_is_retried_and_reported_and_is_no_cleanup(app, own_job, clock, user_since):
    jobs.intervals["broken"] = timedelta(hours=1)
    fails = [True]
    own_job("broken", lambda: 1 / 0 if fails else 7)
    runner = app.test_cli_runner()
    assert "broken" not in runner.invoke(args=["users", "cleanup"]).output, "it would send a newsletter once more"
    cleanup.run_due(threading.Event())
    said = runner.invoke(args=["doctor"]).output
    assert "ZeroDivisionError: division by zero. To try again: flask jobs run broken" in said
    fails.clear()
    clock.move(minutes=9)
    cleanup.run_due(threading.Event())
    assert job("broken").failed_at
    clock.move(minutes=1)
    cleanup.run_due(threading.Event())
    assert (job("broken").failed_at, job("broken").finished_at) == (None, clock.time)
    clock.move(hours=2, microseconds=1)
    assert "broken has not finished since" in runner.invoke(args=["doctor"]).output


@pytest.fixture
def user_since(ada):
    """Let the site have a user, since whose registration its jobs are awaited."""


def test_jobs_command_runs_what_is_named_or_due(app, own_job, clock):
    jobs.intervals["hourly"] = timedelta(hours=1)
    own_job("hourly", lambda: 4)
    run = app.test_cli_runner().invoke
    assert run(args=["jobs", "run", "hourly"]).output.endswith("hourly: 4\n")
    assert run(args=["jobs", "run", "hourly"]).output.endswith("hourly: 4\n"), "due or not"
    said = run(args=["jobs", "run"]).output
    assert "devices: 0" in said
    assert "hourly" not in said
    Job.claim("devices", even_if_done=True)
    busy = run(args=["jobs", "run", "devices"])
    assert (busy.exit_code, "Another process is running this job now." in busy.output) == (1, True)
    assert "There is no job nothing. To list them: flask jobs list" in run(args=["jobs", "run", "nothing"]).output
    own_job("broken", lambda: 1 / 0)
    assert run(args=["jobs", "run"]).exit_code == 1

"""Enumeration: simultaneous requests for known and unknown names wait for each other alike, on PostgreSQL.

SQLite has one writer at a time, for whom all wait.
"""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import event, text
from support.postgresql import on_postgresql
from support.registration import FORM
from support.waiting import PATIENCE, until

from app.extensions import db

pytestmark = [
    pytest.mark.extended,
    on_postgresql,
    pytest.mark.parametrize("settings", [{"PREVENT_ENUMERATION": True}]),
]

SENT = {
    "login": ("/auth/login", {"login": "{}", "password": "wrong"}),
    "passkey": ("/auth/login", {"credential": "x"}),
    "reset": ("/auth/reset", {"email": "{}@example.com"}),
    "magic link": ("/auth/magic-link", {"email": "{}@example.com"}),
    "registration": ("/auth/register", FORM | {"email": "{}@example.com", "username": "new-{}"}),
}
WAITING = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")


@pytest.fixture
def held(app):
    """Hold the first transaction that has written an audit event, just before its commit."""
    reached, released, holders = threading.Event(), threading.Event(), []

    def note(connection, cursor, statement, *_):
        if "INTO audit_events" in statement and not holders:
            holders.append(threading.get_ident())

    def hold(connection):
        if threading.get_ident() in holders:
            reached.set()
            released.wait(PATIENCE)

    event.listen(db.engine, "after_cursor_execute", note)
    event.listen(db.engine, "commit", hold)
    yield reached, released
    released.set()


@pytest.fixture
def waiting(app):
    """Return how many connections wait for a lock."""
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        yield lambda: connection.scalar(WAITING)


@pytest.mark.parametrize("first", ["ada", "nobody"])
@pytest.mark.parametrize(("path", "form"), SENT.values(), ids=SENT)
def test_requests_wait_alike_for_one_that_is_about_to_commit(app, ada, bob, held, waiting, path, form, first):
    reached, released = held

    def send(name):
        return app.test_client().post(path, data={field: value.format(name) for field, value in form.items()})

    def waits(answer, already):
        until(lambda: answer.done() or waiting() > already)
        return not answer.done()

    with ThreadPoolExecutor() as pool:
        answers = [pool.submit(send, first)]
        assert reached.wait(PATIENCE)
        found = set()
        for name in sorted({"ada", "bob", "nobody", "no-one"} - {first}):
            answers.append(pool.submit(send, name))
            found.add(waits(answers[-1], waiting()))
        released.set()
        assert len({answer.result().status_code for answer in answers}) == 1
    assert len(found) == 1


@pytest.mark.parametrize("name", ["ada", "nobody"])
def test_two_registrations_of_one_address_are_done_once_each(app, ada, held, waiting, name):
    """Otherwise the slower one of a free address would hash its password twice."""
    (reached, released), done = held, []
    event.listen(db.engine, "before_cursor_execute", lambda *call: done.append(call[2].partition("(")[0]))

    def register(username):
        return app.test_client().post(
            "/auth/register", data=FORM | {"email": f"{name}@example.com", "username": username}
        )

    with ThreadPoolExecutor() as pool:
        answers = [pool.submit(register, "first")]
        assert reached.wait(PATIENCE)
        answers.append(pool.submit(register, "second"))
        until(lambda: waiting() or answers[1].done())
        released.set()
        assert {answer.result().status_code for answer in answers} == {302}
    assert done.count("INSERT INTO users ") == 2

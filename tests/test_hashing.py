"""The thread pool that hashes passwords, and its queue."""

import contextvars
import os
import sys
import threading
import time
from contextlib import contextmanager
from unittest.mock import Mock

import pytest
from sqlalchemy import func, select
from support.clients import PASSWORD, on_sqlite
from support.waiting import PATIENCE, until

from app.extensions import db
from app.models import RateLimitCounter, User
from app.security import hashing
from app.security.hash_threads import DISPLACED, FULL, NICENESS, TIMED_OUT, Busy, Threads
from app.security.hashing import check_password, hash_password

ADA, BOB, EVE = "192.0.2.1", "2001:db8:1:2::3", "192.0.2.9"
NEIGHBOUR_OF_BOB = "2001:db8:1:ffff::3"  # in the same /48


@pytest.fixture
def threads(monkeypatch):
    """Return a pool of one thread, with two waiting places."""
    threads = Threads(1, max_calls=3, max_wait=PATIENCE)
    monkeypatch.setattr(hashing, "threads", threads)
    yield threads
    threads._pool.shutdown()


@contextmanager
def kept_busy(threads):
    """Keep the only thread busy."""
    began, let_go = threading.Event(), threading.Event()
    worker = threading.Thread(target=threads.run, args=[lambda: (began.set(), let_go.wait())])
    until(lambda: threads.inside == 0)
    worker.start()
    assert began.wait(PATIENCE)
    try:
        yield
    finally:
        let_go.set()
        worker.join()
    until(lambda: threads.inside <= 1)


def aside(*calls):
    """Start each call in a thread with its own context, and return a function that waits for results and errors."""
    results = [None] * len(calls)

    def run(number, call):
        try:
            results[number] = call()
        except Busy as busy:
            results[number] = busy

    contexts = [contextvars.copy_context() for _ in calls]
    threads = [
        threading.Thread(target=context.run, args=[run, number, call])
        for number, (context, call) in enumerate(zip(contexts, calls, strict=True))
    ]
    for thread in threads:
        thread.start()

    def wait():
        for thread in threads:
            thread.join()
        return results

    return wait


either = pytest.mark.parametrize("work", [lambda: hash_password(PASSWORD), lambda: check_password(None, PASSWORD)])


@on_sqlite
@either
def test_hashing_raises_busy_when_the_queue_is_full(app, threads, work):
    with kept_busy(threads):
        wait = aside(work, work)
        until(lambda: threads.inside == 3)
        with pytest.raises(Busy) as refused:
            work()
    assert refused.value.reason == FULL
    assert Busy not in {type(result) for result in wait()}, "the queue is served"


@on_sqlite
@either
def test_hashing_raises_busy_when_the_queue_is_slower_than_expected(app, threads, work):
    threads.seconds, threads.max_wait = 0, 0.01
    with kept_busy(threads), pytest.raises(Busy) as refused:
        work()
    assert refused.value.reason == TIMED_OUT
    until(lambda: threads.inside == 0)
    threads.max_wait = PATIENCE
    work()


@pytest.fixture
def line_up(app):
    """Return a function that lets a network ask for a call, which notes its name, and returns once it waits."""
    waits, done, refused = [], [], {}

    def ask(threads, ip, name):
        with app.test_request_context(environ_base={"REMOTE_ADDR": ip}):
            try:
                threads.run(done.append, name)
            except Busy as busy:
                refused[name] = (busy.reason, busy.retry_after)

    def add(threads, ip, *names):
        for name in names:
            calls = threads.inside + len(refused)
            waits.append(aside(lambda name=name: ask(threads, ip, name)))
            until(lambda calls=calls: threads.inside + len(refused) > calls)
        return done, refused

    yield add
    for wait in waits:
        wait()


@on_sqlite
def test_calls_of_a_network_are_done_in_the_order_of_their_arrival(threads, line_up):
    threads.max_calls = 6
    with kept_busy(threads):
        done, _ = line_up(threads, ADA, *"abcde")
    until(lambda: len(done) == 5)
    assert done == list("abcde")


@on_sqlite
def test_networks_take_turns_in_the_queue(threads, line_up):
    threads.max_calls = 9
    with kept_busy(threads):
        line_up(threads, ADA, "a1", "a2", "a3", "a4")
        line_up(threads, BOB, "b1")
        line_up(threads, NEIGHBOUR_OF_BOB, "b2")
        done, _ = line_up(threads, EVE, "e1")
    until(lambda: len(done) == 7)
    assert done == ["a1", "b1", "e1", "a2", "b2", "a3", "a4"]


@on_sqlite
def test_a_full_queue_makes_room_for_a_network_with_fewer_calls(threads, line_up):
    threads.max_calls, threads.seconds = 4, 2.1
    with kept_busy(threads):
        line_up(threads, ADA, "a1", "a2", "a3")
        done, refused = line_up(threads, BOB, "b1")
        until(lambda: refused == {"a3": (DISPLACED, 9)})
        line_up(threads, BOB, "b2")
        until(lambda: refused.keys() == {"a3", "b2"})
        line_up(threads, EVE, "e1")
        line_up(threads, EVE, "e2")
    until(lambda: len(done) == 3)
    assert done == ["a1", "b1", "e1"]
    assert set(refused) == {"a2", "a3", "b2", "e2"}


@on_sqlite
def test_a_call_that_could_not_be_done_in_time_is_refused_at_once_and_the_others_run(threads, line_up):
    threads.max_calls, threads.seconds = 9, PATIENCE * 0.3
    with kept_busy(threads):
        done, refused = line_up(threads, ADA, *"abcd")
        assert refused == dict.fromkeys("cd", (FULL, PATIENCE * 0.9)), "three calls can be done in time, a fourth can't"
    until(lambda: len(done) == 2)
    assert done == ["a", "b"]


@on_sqlite
def test_the_time_of_a_call_is_measured(app, threads):
    threads.seconds = 1000
    threads.run(int)
    assert 900 <= threads.seconds < 1000


@on_sqlite
@pytest.mark.skipif(sys.platform != "linux", reason="Only Linux has priorities of threads.")
@pytest.mark.parametrize("may", [True, False])
def test_pages_come_before_hashes(app, monkeypatch, may):
    if not may:
        monkeypatch.setattr(os, "setpriority", Mock(side_effect=PermissionError))
    threads, own = Threads(1), os.getpriority(os.PRIO_PROCESS, 0)
    assert threads.run(os.getpriority, os.PRIO_PROCESS, 0) == (min(own + NICENESS, 19) if may else own)
    threads._pool.shutdown()


@on_sqlite
def test_an_error_of_a_call_is_raised_to_its_caller(app, threads):
    with pytest.raises(ZeroDivisionError):
        threads.run(lambda: 1 / 0)
    assert threads.inside == 0


@pytest.mark.parametrize(
    ("address", "form"),
    [
        ("/auth/login", {"login": "ada", "password": PASSWORD}),
        ("/auth/login", {"login": "eve", "password": PASSWORD}),
        ("/auth/register", {"email": "eve@example.com", "username": "eve"}),
    ],
)
def test_a_login_while_hashing_is_busy_gets_503_and_counts_no_failure(app, client, ada, threads, address, form):
    form = {"password": PASSWORD, "confirm_password": PASSWORD} | form
    with kept_busy(threads):
        threads.max_calls, threads.seconds = 1, 6.5
        for _ in range(2):
            page = client.post(address, data=form)
            assert (page.status_code, page.headers["Retry-After"]) == (503, "7")
            assert "Nothing was changed. Try again" in page.text
    assert db.session.scalar(select(func.count()).select_from(User)) == 1
    counted = db.session.scalars(select(RateLimitCounter.id).where(RateLimitCounter.count > 0)).all()
    asked = {"availability", "login_attempts", "registration", "requests"}  # these count every request
    assert {key.split("/")[2] for key in counted} <= asked


@pytest.mark.parametrize("name", ["reset", "change"])
def test_a_new_password_while_hashing_is_busy_gets_503(app, client, ada, threads, outbox, name):
    new = {"password": "another lantern", "confirm_password": "another lantern"}
    if name == "reset":
        client.post("/auth/reset", data={"email": ada.email})
        address, form = outbox.link(), new
    else:
        client.log_in(ada)
        address, form = "/auth/change-password", new | {"old_password": PASSWORD}
    with kept_busy(threads):
        threads.max_calls = 1
        assert client.post(address, data=form).status_code == 503
    threads.max_calls = 3
    assert client.post(address, data=form).status_code == 302
    assert db.session.get(User, ada.id).verify_password("another lantern")


@pytest.mark.parametrize(
    "address", ["/auth/login", "/auth/register", "/auth/reset", "/auth/change-password", "/auth/reauthenticate"]
)
def test_a_waiting_hash_holds_no_database_connection(app, client, ada, threads, outbox, address):
    """More requests may wait than there are connections."""
    form = {"login": "ada", "email": "eve@example.com", "username": "eve", "old_password": PASSWORD}
    form |= {"password": PASSWORD if "reset" not in address else "another lantern"}
    form |= {"confirm_password": form["password"]}
    if address == "/auth/reset":
        client.post(address, data={"email": ada.email})
        address = outbox.link()
    elif address not in {"/auth/register", "/auth/login"}:
        client.log_in(ada)
    db.session.remove()
    with kept_busy(threads):
        wait = aside(lambda: client.post(address, data=form))
        until(lambda: threads.inside == 2)
        until(lambda: db.engine.pool.checkedout() == 0)
    assert wait()[0].status_code in {200, 302}
    assert client.get("/account").status_code in {200, 302}


def flushed(ada, bob):
    ada.username = "countess"
    db.session.flush()


def changed(ada, bob):
    ada.username = "countess"


def added(ada, bob):
    db.session.add(User(email="eve@example.com", username="countess"))


def deleted(ada, bob):
    db.session.delete(bob)
    ada.username = "countess"


@pytest.mark.parametrize("work", [flushed, changed, added, deleted])
def test_waiting_for_a_hash_keeps_uncommitted_writes(app, ada, bob, threads, work):
    work(ada, bob)
    with kept_busy(threads):
        wait = aside(lambda: setattr(ada, "password", "another lantern"))
        until(lambda: threads.inside == 2)
    wait()
    db.session.commit()
    db.session.expire_all()
    assert ada.verify_password("another lantern")
    assert User.find("countess")
    assert (User.find("bob") is None) is (work is deleted)


@pytest.mark.parametrize(("cores", "processes", "count"), [(8, 2, 5), (8, 3, 3), (2, 2, 2), (1, 4, 2)])
def test_server_processes_share_the_cores(monkeypatch, cores, processes, count):
    monkeypatch.setattr(hashing, "cores", lambda: cores)
    monkeypatch.setattr(hashing, "threads", hashing.threads)
    hashing.share(processes)
    assert hashing.threads.count == count


def test_hashing_uses_a_fixed_number_of_threads(app):
    """Otherwise every server thread would keep the memory of a hash."""
    threads, inside, most, who = Threads(2, max_wait=PATIENCE), [], [], set()

    def work():
        inside.append(1)
        most.append(len(inside))
        who.add(threading.get_ident())
        time.sleep(0.005)
        inside.pop()

    aside(*[lambda: threads.run(work)] * 20)()
    assert len(most) == 20
    assert max(most) == len(who) == 2
    threads._pool.shutdown()

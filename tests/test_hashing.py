"""The thread pool that hashes passwords, and its queue."""

import contextvars
import threading
import time
from contextlib import contextmanager

import pytest
from sqlalchemy import func, select
from support.clients import PASSWORD, on_sqlite
from support.waiting import PATIENCE, until

from app.extensions import db
from app.models import RateLimitCounter, User
from app.security import hashing
from app.security.hashing import Busy, Threads, check_password, hash_password


@pytest.fixture
def threads(monkeypatch):
    """Return a pool of one thread, with two waiting places."""
    threads = Threads(1, max_waiting=2, timeout=PATIENCE)
    monkeypatch.setattr(hashing, "threads", threads)
    yield threads
    threads._pool.shutdown()


@contextmanager
def kept_busy(threads, timeout=PATIENCE):
    """Keep the only thread busy; a call that waits is refused after `timeout` seconds."""
    threads.timeout = timeout
    began, let_go = threading.Event(), threading.Event()
    worker = threading.Thread(target=threads.run, args=[lambda: (began.set(), let_go.wait())])
    until(lambda: threads.inside == 0)
    worker.start()
    assert began.wait(PATIENCE)
    try:
        yield
    finally:
        threads.timeout = PATIENCE
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
        with pytest.raises(Busy):
            work()
    assert Busy not in {type(result) for result in wait()}, "the queue is served"


@on_sqlite
@either
def test_hashing_raises_busy_when_the_queue_is_slow(app, threads, work):
    with kept_busy(threads, timeout=0.01), pytest.raises(Busy):
        work()
    until(lambda: threads.inside == 0)
    work()


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
    with kept_busy(threads, timeout=0.01):
        for _ in range(2):
            page = client.post(address, data=form)
            assert (page.status_code, page.headers["Retry-After"]) == (503, "5")
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
    with kept_busy(threads, timeout=0.01):
        assert client.post(address, data=form).status_code == 503
    assert client.post(address, data=form).status_code == 302
    assert db.session.get(User, ada.id).verify_password("another lantern")


def test_a_waiting_hash_holds_no_database_connection(app, ada, threads):
    client, pool = app.test_client(), db.engine.pool
    db.session.remove()
    with kept_busy(threads):
        wait = aside(lambda: client.post("/auth/login", data={"login": "ada", "password": PASSWORD}))
        until(lambda: threads.inside == 2)
        until(lambda: pool.checkedout() == 0)
    assert wait()[0].status_code == 302
    assert client.get("/account").status_code == 200


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
    threads, inside, most, who = Threads(2, max_waiting=30, timeout=PATIENCE), [], [], set()

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

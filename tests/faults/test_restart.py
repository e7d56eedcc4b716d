"""A new release, or SIGTERM: no request fails, and the email being sent is finished or returned to the outbox."""

import os
import signal
import threading
import time
from collections import Counter
from contextlib import contextmanager
from http.client import HTTPException

import pytest
from support.clients import PASSWORD, on_sqlite
from support.serving import Browser, Running, registration
from support.waiting import PATIENCE, until

from app.email.outbox import enqueue
from app.email.templates import Email
from app.extensions import db
from app.models import OutboxEmail, User

pytestmark = [pytest.mark.extended, on_sqlite]


def test_a_reload_under_load_fails_no_request(site, sink, ledger, ada):
    running = site(processes=2)
    with load(running) as (answers, failed):
        begun, old = len(answers), {answer.headers["X-Process"] for answer in answers}
        os.kill(running.web.process.pid, signal.SIGHUP)
        until(lambda: {answer.headers["X-Process"] for answer in answers[-20:]}.isdisjoint(old), "the new processes")
    assert (Counter(answer.status for answer in answers), failed) == ({200: len(answers)}, [])
    assert len(answers) > begun + 20
    all_is_well(running, sink, ledger)


def test_the_next_release_takes_over_under_load(site, sink, ledger, ada):
    """Both listen on one socket for a moment, as under a service's manager; the old one is told to end."""
    running = site(processes=2)
    with load(running) as (answers, failed):
        old, processes = running.web, {answer.headers["X-Process"] for answer in answers}
        running.start()
        until(lambda: {answer.headers["X-Process"] for answer in answers} - processes, "the next release")
        old.process.send_signal(signal.SIGTERM)
        assert old.process.wait(PATIENCE) == 0
        then = len(answers)
        until(lambda: len(answers) > then + 20, "requests")
    assert (Counter(answer.status for answer in answers), failed) == ({200: len(answers)}, [])
    old.end()
    all_is_well(running, sink, ledger)


def test_a_forced_restart_fails_requests(site, ada):
    """Or the two above would see nothing."""
    running = site(processes=2)
    with load(running) as (_, failed):
        for _ in range(20):
            if not failed:
                running.kill()
                running.start()
    assert failed


def test_sigterm_lets_waiting_requests_finish(site, sink, ledger, app, ada):
    """Registering waits for the database here, which another program holds."""
    running = site(MAIL_DELIVERY="worker")
    browser = Browser(running)
    form = {"csrf_token": browser.get("/auth/register").token} | registration("eve")
    answers = []
    with db.engine.connect() as another:
        another.exec_driver_sql("BEGIN IMMEDIATE")
        waiting = threading.Thread(target=lambda: answers.append(browser.post("/auth/register", **form)))
        waiting.start()
        until(lambda: "counts for itself" in running.log.read_text(), "the database to be waited for")
        running.web.process.send_signal(signal.SIGTERM)
        until(lambda: "Handling signal: term" in running.log.read_text(), "the end to begin")
        assert (answers, running.web.process.poll()) == ([], None)
        another.rollback()
    waiting.join()
    assert answers[0].status == 302
    assert running.web.process.wait(PATIENCE) == 0
    assert (ledger.count(User), ledger.count(OutboxEmail)) == (2, 1)


@pytest.mark.parametrize("who", ["worker", "web"])
def test_sigterm_finishes_the_email_being_sent_and_leaves_the_next(site, sink, ledger, who):
    running = begin(site, sink, who, emails=5)
    running.process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert running.process.poll() is None, "it waits for the mail server's answer"
    sink.holds = None
    assert running.process.wait(PATIENCE) == 0
    assert sorted(row.status for row in ledger.rows()) == ["sent"] + ["waiting"] * 4
    assert len(sink.received) == 1
    assert ledger.in_hand() == []


@pytest.mark.parametrize("who", ["worker", "web"])
def test_sigterm_returns_an_unanswered_email_to_the_outbox(site, sink, ledger, who):
    running = begin(site, sink, who, emails=1)
    running.process.send_signal(signal.SIGTERM)
    running.process.wait(PATIENCE)
    assert [row.status for row in ledger.rows()] == ["waiting"]


def begin(site, sink, who, emails):
    """Start who delivers, with so many emails waiting; return once the first is under way."""
    sink.holds = "before"
    for number in range(emails):
        user = User(email=f"person{number}@example.com", username=f"person{number}", password=PASSWORD)
        db.session.add(user)
        db.session.flush()
        enqueue(Email.CONFIRM, user)
    db.session.commit()
    running = site(web=who == "web", MAIL_DELIVERY="worker" if who == "worker" else "thread")
    process: Running = running.work() if who == "worker" else running.web
    until(lambda: sink.in_hand, "an email under way")
    return process


@contextmanager
def load(site, count=4):
    """A little traffic: browsers that are logged in open their account again and again."""

    def ask(browser):
        while not over.wait(0.02):
            try:
                answers.append(browser.get("/account"))
            except (OSError, HTTPException) as failure:
                failed.append(failure)

    browsers, answers, failed, over = [Browser(site) for _ in range(count)], [], [], threading.Event()
    assert {browser.log_in("ada").status for browser in browsers} == {302}
    threads = [threading.Thread(target=ask, args=[browser]) for browser in browsers]
    for thread in threads:
        thread.start()
    try:
        until(lambda: len(answers) > 20, "requests")
        yield answers, failed
    finally:
        over.set()
        for thread in threads:
            thread.join()


def all_is_well(site, sink, ledger):
    assert Browser(site).register("eve").status == 302
    ledger.settled(sink)
    assert [email.recipient for email in sink.received] == ["eve@example.com"]
    assert site.requests().keys() <= {"200", "302"}

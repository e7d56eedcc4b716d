"""The database stopped, restarted or locked: pages say so with Retry-After, and the application recovers."""

import sqlite3
import threading
import time
from collections import Counter
from contextlib import closing, contextmanager

import pytest
from sqlalchemy import make_url
from support.clients import on_sqlite
from support.postgresql import on_postgresql, stopped
from support.serving import Browser, registration
from support.waiting import until

from app.models import OutboxEmail, User

pytestmark = pytest.mark.extended

BOUND = 9.5  # seconds: one wait of 5, never two; a machine with other work takes its time over the rest
AWAY = 4  # seconds without a database


@on_postgresql
def test_pages_report_a_stopped_postgresql_and_recover(site, sink, ledger, database, ada):
    running = site(wsgi="flasky:app")
    browsers = _logged_in(running, 2)
    with _load(running, browsers) as asked, stopped(database):
        since = time.monotonic()
        until(lambda: time.monotonic() > since + AWAY and len(asked.since(since)) > 20, "requests")
        assert Browser(running).get("/healthz").status == 200
        assert Browser(running).get("/readyz").status == 503
        back = time.monotonic()
    meanwhile = asked.between(since, back)
    assert Counter(answer.status for answer in meanwhile) == {503: len(meanwhile)}
    assert all(_says_when_to_come_back(answer) for answer in meanwhile)
    _all_is_well(running, sink, ledger, browsers, asked)


@on_postgresql
def test_a_postgresql_restart_costs_only_the_requests_in_flight(site, sink, ledger, database, ada):
    running = site(wsgi="flasky:app", processes=2)
    browsers = _logged_in(running, 6)
    with _load(running, browsers) as asked:
        for how in ("fast", "immediate"):
            begun = time.monotonic()
            until(lambda begun=begun: len(asked.since(begun)) > 30, "requests")
            with stopped(database, how):
                pass
            back = time.monotonic()
            until(lambda back=back: len(asked.since(back)) > 30, "requests")
            assert {answer.status for answer in asked.since(back)} == {200}
    assert {answer.status for answer in asked} <= {200, 503}
    assert all(_says_when_to_come_back(answer) for answer in asked if answer.status == 503)
    _all_is_well(running, sink, ledger, browsers, asked)


@on_sqlite
def test_a_locked_sqlite_delays_registration_but_not_reading(site, sink, ledger, app, ada):
    running = site(wsgi="flasky:app")
    (reader,) = _logged_in(running, 1)
    send = _sending(running, "eve")
    with _locked(app):
        answers, thread = _aside(send)
        reads = [reader.get("/account")]
        while thread.is_alive():
            reads.append(reader.get("/account"))
    refused = answers[0]
    assert refused.status == 503
    assert _says_when_to_come_back(refused)
    assert {read.status for read in reads} == {200}
    assert len(reads) > 10
    assert (ledger.count(User), ledger.count(OutboxEmail)) == (1, 0)
    assert send().status == 302
    ledger.settled(sink)
    assert [email.recipient for email in sink.received] == ["eve@example.com"]
    assert "500" not in running.requests()


@on_sqlite
def test_requests_that_wait_for_one_lock_do_not_wait_for_each_other(site, ledger, app):
    running = site()
    sent = [_sending(running, f"person{number}") for number in range(24)]  # more than a pool's first 15 connections
    with _locked(app):
        waiting = [_aside(send) for send in sent]
        for _, thread in waiting:
            thread.join()
    refused = [answer for answers, _ in waiting for answer in answers]
    assert [answer.status for answer in refused] == [503] * 24
    assert max(answer.seconds for answer in refused) < BOUND
    assert (ledger.count(User), ledger.count(OutboxEmail)) == (0, 0)
    assert {send().status for send in sent} == {302}


class Asked(list):
    """What was asked and answered: when it was asked, when answered, and how."""

    def since(self, moment):
        return [answer for answer in list(self) if answer.asked_at > moment]

    def between(self, first, last):
        return [answer for answer in self.since(first) if answer.asked_at + answer.seconds < last]


@contextmanager
def _load(site, browsers):
    """A little traffic, which no answer stops: each browser opens its account again and again."""

    def ask(browser):
        while not over.is_set():
            now = time.monotonic()
            answer = browser.get("/account")
            answer.asked_at = now
            asked.append(answer)
            over.wait(0.02)

    asked, over = Asked(), threading.Event()
    threads = [threading.Thread(target=ask, args=[browser]) for browser in browsers]
    for thread in threads:
        thread.start()
    try:
        yield asked
    finally:
        over.set()
        for thread in threads:
            thread.join()


@contextmanager
def _locked(app):
    """Another program writes to SQLite, and takes its time."""
    with closing(sqlite3.connect(make_url(app.config["SQLALCHEMY_DATABASE_URI"]).database)) as another:
        another.execute("BEGIN IMMEDIATE")
        yield
        another.rollback()


def _sending(site, username):
    """Fill the form in; return how to send it, once or again."""
    browser = Browser(site)
    form = {"csrf_token": browser.get("/auth/register").token} | registration(username)
    return lambda: browser.post("/auth/register", **form)


def _logged_in(site, count):
    browsers = [Browser(site) for _ in range(count)]
    assert {browser.log_in("ada").status for browser in browsers} == {302}
    return browsers


def _says_when_to_come_back(answer):
    layout = '<nav class="page"' in answer.text and "<h1>This site is busy</h1>" in answer.text
    return layout and int(answer.headers["Retry-After"]) > 0 and answer.seconds < BOUND


def _all_is_well(site, sink, ledger, browsers, asked):
    """Nobody was logged out, the same process delivers emails again, and nothing was ever a 500."""
    assert {browser.get("/account").status for browser in browsers} == {200}
    assert Browser(site).get("/readyz").status == 200
    assert Browser(site).register("eve").status == 302
    ledger.settled(sink)
    assert [email.recipient for email in sink.received] == ["eve@example.com"]
    assert "500" not in site.requests()
    assert site.requests()["200"] > len(browsers)  # or the log was not read


def _aside(asking):
    answers = []
    thread = threading.Thread(target=lambda: answers.append(asking()))
    thread.start()
    return answers, thread

"""Fifty people want the same at once, of two processes: one gets it, the others are told so, nobody sees a 500."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from serving import Browser, registration
from sqlalchemy import select

from app.extensions import db
from app.models import Event, Letter, User, UserSession

CROWD = 50

one_address = [(f"person{n}", "eVe@example.com" if n % 2 else "Eve@EXAMPLE.com") for n in range(CROWD)]
one_username = [("eVe" if n % 2 else "Eve", f"person{n}@example.com") for n in range(CROWD)]

crowds = pytest.mark.parametrize("crowd", [one_address, one_username], ids=["address", "username"])


@crowds
def test_of_fifty_who_register_the_same_at_once_one_gets_it(site, sink, ledger, crowd):
    running = site(processes=2)
    answers = _all_at_once([_registering(running, *person) for person in crowd])
    assert sorted(answer.status for answer in answers) == [302] + [422] * (CROWD - 1)
    assert len({answer.headers["X-Process"] for answer in answers}) == 2
    assert [ledger.count(table) for table in (User, Letter, UserSession)] == [1, 1, 1]
    assert ledger.count(Event, Event.action == "registered") == 1
    ledger.settled(sink)
    assert len(sink.letters) == 1
    refused = next(answer for answer in answers if answer.status == 422)
    assert ("already registered" if crowd is one_address else "already in use") in refused.text


@pytest.mark.extended
@crowds
def test_so_it_is_with_the_real_hash(site, sink, ledger, crowd):
    running = site(processes=2, wsgi="flasky:app")
    answers = _all_at_once([_registering(running, *person) for person in crowd])
    assert sorted(answer.status for answer in answers) == [302] + [422] * (CROWD - 1)
    assert [ledger.count(table) for table in (User, Letter, UserSession)] == [1, 1, 1]


def test_a_link_that_ten_browsers_follow_at_once_confirms_once(site, sink, ledger):
    running = site(processes=2)
    assert Browser(running).register("eve").status == 302
    ledger.settled(sink)
    link = sink.letters[0].link
    browsers = [Browser(running) for _ in range(10)]
    assert {browser.sign_in("eve").status for browser in browsers} == {302}
    answers = _all_at_once([lambda browser=browser: browser.get(link) for browser in browsers])
    assert {answer.status for answer in answers} <= {302, 410}
    assert ledger.count(Event, Event.action == "confirmed") == 1
    assert db.session.scalar(select(User.confirmed))
    # The first is welcomed; those who come meanwhile have an unusable link, those who come later an account confirmed.
    pages = [browser.get("/").text for browser in browsers]
    assert sum("You have confirmed your account. Welcome." in page for page in pages) == 1


def _registering(site, username, email):
    """Open the form; return how to send it."""
    browser = Browser(site)
    token = browser.get("/auth/register").token
    return lambda: browser.post("/auth/register", csrf_token=token, **registration(username, email))


def _all_at_once(askings):
    """Do all of it at the same moment, and return the answers."""

    def ask(asking):
        start.wait()
        return asking()

    start = threading.Barrier(len(askings))
    with ThreadPoolExecutor(len(askings)) as threads:
        return list(threads.map(ask, askings))

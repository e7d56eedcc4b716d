"""kill -9 at any moment: whoever was told that an email is on its way gets it, and nobody gets one for nothing.

The lease of an email that was in dead hands is a minute. The tests put its end back in the database instead of waiting.
"""

import random  # noqa: TID251  (a seed, not a secret)
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from http.client import HTTPException

import pytest
from support.clients import PASSWORD
from support.ledger import Row, wrong
from support.serving import Browser, registration
from support.sink import Arrived
from support.waiting import until

from app.email.outbox import enqueue
from app.email.templates import Email
from app.extensions import db
from app.models import AuditEvent, OutboxEmail, User, UserSession

pytestmark = pytest.mark.extended

KILLS = 5  # a test: 20 in all, over two databases and two kinds of process
SEED = 1
EMAILS = 200


@pytest.fixture
def chance():
    return random.Random(SEED)


def test_a_web_process_killed_before_delivery_loses_no_email(site, sink, ledger, chance):
    running = site()
    for number in range(KILLS):
        sink.holds = chance.choice(["before", "after", None])
        assert Browser(running).register(f"told{number}").status == 302
        untold = _hurry(running, f"untold{number}")
        if sink.holds:
            until(lambda: sink.in_hand, "the email to be under way")
        time.sleep(chance.uniform(0, 0.05))
        running.kill()
        untold.join()
        ledger.the_dead_are_gone()
        assert ledger.in_hand() or not sink.holds
        assert ledger.wrong(sink, kills=number + 1) or not sink.holds  # or the check would see nothing below
        sink.holds = None
        ledger.a_minute_later()
        running.start()
        ledger.settled(sink)
        assert ledger.wrong(sink, kills=number + 1) == []
        assert f"told{number}@example.com" in ledger.accounts()


def test_a_worker_killed_among_200_emails_loses_none(app, site, sink, ledger, chance):
    _queue(EMAILS)
    running = site(MAIL_DELIVERY="worker", web=False)
    sink.pause = 0.002
    for number, moment in enumerate(sorted(chance.sample(range(1, EMAILS - 1), KILLS))):
        worker = running.work()
        until(lambda moment=moment: len(sink.received) > moment, f"email {moment}")
        time.sleep(chance.uniform(0, 0.01))
        worker.kill()
        ledger.the_dead_are_gone()
        assert len(ledger.in_hand()) <= 1
        ledger.a_minute_later()
        if moment < EMAILS - 10:
            assert ledger.wrong(sink, kills=number + 1)  # or the check would see nothing below
    running.work()
    ledger.settled(sink)
    assert ledger.wrong(sink, KILLS) == []


def test_four_workers_at_once_send_each_email_once(app, site, sink, ledger):
    _queue(50)
    running = site(MAIL_DELIVERY="worker", web=False)
    sink.holds = "before"
    for _ in range(4):
        running.work()
    until(lambda: sink.in_hand == 4, "all four to have an email in hand")
    sink.holds = None
    ledger.settled(sink)
    assert ledger.wrong(sink) == []


def test_killed_before_the_commit_nothing_is_written_and_the_form_works_again(site, sink, ledger):
    running = site(MAIL_DELIVERY="worker")
    browser = Browser(running)
    form = {"csrf_token": browser.get("/auth/register").token} | registration("eve")
    running.order.write_text("before")
    with pytest.raises((OSError, HTTPException)):
        browser.post("/auth/register", **form)
    ledger.the_dead_are_gone()
    assert [ledger.count(table) for table in (User, OutboxEmail, AuditEvent, UserSession)] == [0, 0, 0, 0]
    assert browser.post("/auth/register", **form).status == 302  # gunicorn has another process by now
    _deliver(running, ledger, sink)
    assert ledger.wrong(sink) == []


def test_killed_after_the_commit_everything_is_written_once(site, sink, ledger):
    running = site(MAIL_DELIVERY="worker")
    browser = Browser(running)
    form = {"csrf_token": browser.get("/auth/register").token} | registration("eve")
    running.order.write_text("after")
    with pytest.raises((OSError, HTTPException)):
        browser.post("/auth/register", **form)
    assert [ledger.count(table) for table in (User, OutboxEmail, UserSession)] == [1, 1, 1]
    again = browser.post("/auth/register", **form)
    assert again.status == 422
    assert "already registered" in again.text
    assert browser.log_in("eve").status == 302
    _deliver(running, ledger, sink)
    assert ledger.wrong(sink) == []


ROW = Row("ada@example.com", "<1@example.com>", "sent", None)
EMAIL = Arrived("ada@example.com", "<1@example.com>", "")


@pytest.mark.parametrize(
    ("rows", "arrived", "complaint"),
    [
        ([ROW], [EMAIL], None),
        ([ROW], [EMAIL] * 2, None),
        ([ROW], [EMAIL] * 3, "2 emails came again after 1 kills"),
        ([ROW], [], "ada@example.com got no email"),
        ([], [], "ada@example.com has 0 emails queued"),
        ([ROW] * 2, [EMAIL], "ada@example.com has 2 emails queued"),
        ([ROW._replace(status="waiting")], [EMAIL], "ada@example.com's email is stuck"),
        ([ROW._replace(claimed_until=datetime.now(UTC))], [EMAIL], "ada@example.com's email is stuck"),
        ([ROW], [EMAIL._replace(message_id="<2@example.com>")], "got an email with another Message-ID"),
        ([ROW, ROW._replace(recipient="bob@example.com")], [EMAIL], "bob@example.com has an email queued and no"),
        ([ROW], [EMAIL, EMAIL._replace(recipient="bob@example.com")], "bob@example.com got an email and has no"),
    ],
)
def test_the_check_sees_what_is_lost(rows, arrived, complaint):
    found = wrong(["ada@example.com"], rows, arrived, kills=1)
    assert any(complaint in line for line in found) if complaint else found == []


def _hurry(site, username):
    """Register somebody in the background who may be killed half-way."""

    def register():
        with suppress(OSError, HTTPException):
            browser.post("/auth/register", **form)

    browser = Browser(site)
    form = {"csrf_token": browser.get("/auth/register").token} | registration(username)
    thread = threading.Thread(target=register)
    thread.start()
    return thread


def _queue(count):
    for number in range(count):
        user = User(email=f"person{number}@example.com", username=f"person{number}", password=PASSWORD)
        db.session.add(user)
        db.session.flush()
        enqueue(Email.CONFIRM, user)
    db.session.commit()


def _deliver(site, ledger, sink):
    worker = site.work()
    ledger.settled(sink)
    worker.end()

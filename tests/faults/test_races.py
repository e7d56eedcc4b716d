"""Simultaneous requests to two processes for the same thing: one wins, the others get an error, none a 500."""

import re
from datetime import UTC, datetime, timedelta
from functools import partial

import pyotp
import pytest
from sqlalchemy import select, update
from support.authenticators import key_on
from support.clients import PASSWORD
from support.postgresql import on_postgresql
from support.serving import Browser, all_at_once, registration

from app.extensions import db
from app.models import AuditAction, AuditEvent, EmailChange, OutboxEmail, User, UserSession

# SQLite has one writer at a time: there, four of these stories show that nobody meets a lock as an error.
pytestmark = pytest.mark.extended

CROWD = 50

one_address = [(f"person{n}", "eVe@example.com" if n % 2 else "Eve@EXAMPLE.com") for n in range(CROWD)]
one_username = [("eVe" if n % 2 else "Eve", f"person{n}@example.com") for n in range(CROWD)]

crowds = pytest.mark.parametrize("crowd", [one_address, one_username], ids=["address", "username"])


@crowds
def test_one_of_fifty_simultaneous_registrations_of_a_name_wins(site, sink, ledger, crowd):
    running = site(processes=2)
    answers = all_at_once([_registering(running, *person) for person in crowd])
    assert sorted(answer.status for answer in answers) == [302] + [422] * (CROWD - 1)
    assert len({answer.headers["X-Process"] for answer in answers}) == 2
    assert [ledger.count(table) for table in (User, OutboxEmail, UserSession)] == [1, 1, 1]
    assert ledger.count(AuditEvent, AuditEvent.action == AuditAction.REGISTERED) == 1
    ledger.settled(sink)
    assert len(sink.received) == 1
    refused = next(answer for answer in answers if answer.status == 422)
    assert ("already registered" if crowd is one_address else "already taken") in refused.text


def test_one_of_many_simultaneous_registrations_wins_with_the_real_hash(site, sink, ledger):
    running = site(processes=2, wsgi="flasky:app")
    answers = all_at_once([_registering(running, *person) for person in one_address[:16]])
    statuses = [answer.status for answer in answers]
    assert statuses.count(302) == 1
    assert set(statuses) <= {302, 422, 503}, "who has waited for a core for five seconds is told to come back"
    assert [ledger.count(table) for table in (User, OutboxEmail, UserSession)] == [1, 1, 1]


def test_a_confirm_link_followed_ten_times_at_once_confirms_once(site, sink, ledger):
    running = site(processes=2)
    assert Browser(running).register("eve").status == 302
    ledger.settled(sink)
    link = sink.received[0].link
    browsers = [Browser(running) for _ in range(10)]
    assert {browser.log_in("eve").status for browser in browsers} == {302}
    answers = all_at_once([lambda browser=browser: browser.get(link) for browser in browsers])
    assert {answer.status for answer in answers} <= {302, 410}
    assert ledger.count(AuditEvent, AuditEvent.action == AuditAction.CONFIRMED) == 1
    assert db.session.scalar(select(User.confirmed))
    # The first is welcomed; those who come meanwhile have an unusable link, those who come later an account confirmed.
    pages = [browser.get("/").text for browser in browsers]
    assert sum("Your email address is confirmed. Welcome." in page for page in pages) == 1


@on_postgresql
def test_one_of_ten_simultaneous_resets_sets_the_password(site, sink, ledger, ada):
    running = site(processes=2, RATELIMIT_ENABLED="0")  # nine of the passwords are wrong
    link = _ask_for_email(running, sink, ledger, "/auth/reset", email=ada.email).link
    posts = []
    for number in range(10):
        browser = Browser(running)
        token = browser.get(link).token
        words = {"password": f"lantern number {number}", "confirm_password": f"lantern number {number}"}
        posts.append(partial(browser.post, link, csrf_token=token, **words))
    answers = all_at_once(posts)
    assert sorted(answer.status for answer in answers) == [302] + [410] * 9
    assert ledger.count(AuditEvent, AuditEvent.action == AuditAction.PASSWORD_RESET) == 1
    ledger.settled(sink)
    assert sum("was changed" in email.text for email in sink.received) == 1
    won = next(number for number, answer in enumerate(answers) if answer.status == 302)
    lets_in = [Browser(running).log_in("ada", f"lantern number {number}").status for number in range(10)]
    assert lets_in == [302 if number == won else 422 for number in range(10)]


@on_postgresql
def test_one_of_eight_simultaneous_email_changes_gets_the_address(site, sink, ledger):
    names = [f"person{number}" for number in range(8)]
    db.session.add_all(User(email=f"{n}@example.com", username=n, password=PASSWORD, confirmed=True) for n in names)
    db.session.commit()
    running = site(processes=2)
    browsers, links = {name: Browser(running) for name in names}, {}
    for name, browser in browsers.items():
        browser.log_in(name)
        asked = browser.submit("/auth/change-email", email="shared@example.com", password=PASSWORD)
        assert asked.status == 302
        ledger.settled(sink)
        links[name] = [email.link for email in sink.received if "shared" in email.recipient][-1]
    answers = all_at_once([partial(browser.get, links[name]) for name, browser in browsers.items()])
    assert sorted(answer.status for answer in answers) == [302] + [410] * 7
    winner = names[[answer.status for answer in answers].index(302)]
    assert db.session.scalars(select(User.username).where(User.email == "shared@example.com")).all() == [winner]
    assert ledger.count(AuditEvent, AuditEvent.action == AuditAction.EMAIL_CHANGED) == ledger.count(EmailChange) == 1
    assert {browser.get("/account").status for browser in browsers.values()} == {200}


@on_postgresql
def test_one_of_twenty_simultaneous_logins_by_one_code_succeeds(site, sink, ledger, ada):
    """All in copies of the browser that asked."""
    running = site(processes=2)
    browser = Browser(running)
    text = _ask_for_email(running, sink, ledger, "/auth/magic-link", browser, email=ada.email).text
    code = re.search(r"\b\d{4} \d{4}\b", text)[0]
    token = browser.get("/auth/magic-link/sent").token
    copies = [browser.copy() for _ in range(20)]
    typing = [partial(copy.post, "/auth/magic-link/sent", csrf_token=token, code=code) for copy in copies]
    answers = all_at_once(typing)
    assert sorted(answer.status for answer in answers) == [302] + [422] * 19
    assert ledger.count(UserSession) == ledger.count(AuditEvent, AuditEvent.action == AuditAction.LOGGED_IN) == 1
    assert sum("ada" in copy.get("/account").text for copy in copies) == 1


@on_postgresql
def test_a_session_revoked_under_load_ends_for_all_requests(site, ledger, ada):
    """Another browser changes the password. Each request has a page or is led to login, and once out means out."""
    running = site(processes=2)
    browser, another = Browser(running), Browser(running)
    assert browser.log_in("ada").status == another.log_in("ada").status == 302
    form = another.get("/auth/change-password").token
    words = {"old_password": PASSWORD, "password": "another lantern", "confirm_password": "another lantern"}
    a_while_ago = datetime.now(UTC) - timedelta(minutes=10)  # so that each request wants to note that it was here
    db.session.execute(update(UserSession).values(last_seen_at=a_while_ago))
    db.session.commit()

    def use():
        return [browser.copy().get("/account") for _ in range(6)]

    def change():
        return [another.post("/auth/change-password", csrf_token=form, **words)]

    *uses, [changed] = all_at_once([*[use] * 20, change])
    assert (changed.status, another.get("/account").status) == (302, 200)
    for answers in uses:
        ways = [answer.headers["Location"] for answer in answers]
        assert set(ways) <= {None, "/auth/login?next=/account"}
        assert ways == sorted(ways, key=bool)
        assert {answer.status for answer in answers} <= {200, 302}
    assert browser.get("/account").status == 302
    assert running.requests().keys() <= {"200", "302"}
    assert ledger.count(AuditEvent, AuditEvent.action == AuditAction.PASSWORD_CHANGED) == 1


def test_thirty_simultaneous_requests_send_ten_emails_to_one_address(site, sink, ledger, ada):
    running = site(processes=2)
    askings = []
    for number in range(30):
        browser = Browser(running)
        path = ("/auth/reset", "/auth/magic-link")[number % 2]
        askings.append(partial(browser.post, path, csrf_token=browser.get(path).token, email=ada.email))
    assert {answer.status for answer in all_at_once(askings)} == {302}
    assert ledger.count(OutboxEmail) == 10


@on_postgresql
def test_one_of_ten_simultaneous_uses_of_an_authenticator_code_succeeds(site, sink, ledger, ada):
    """Five at two-factor authentication, and five, already in, who are asked once more who they are."""
    running = site(processes=2)
    owner = Browser(running)
    owner.log_in("ada")
    page = owner.get("/auth/two-factor/set-up")
    app = pyotp.TOTP(key_on(page))
    assert owner.post("/auth/two-factor/set-up", csrf_token=page.token, code=app.now()).status == 200
    db.session.execute(update(UserSession).values(authenticated_at=None))
    db.session.commit()
    typing = []
    for number in range(10):
        browser = Browser(running) if number % 2 else owner.copy()
        if number % 2:
            assert browser.log_in("ada").headers["Location"] == "/auth/two-factor/verify"
            token = browser.get("/auth/two-factor/verify").token
            typing.append((browser, "/auth/two-factor/verify", "code", {"csrf_token": token}))
        else:
            token = browser.get("/auth/reauthenticate").token
            typing.append((browser, "/auth/reauthenticate", "factor_code", {"password": PASSWORD, "csrf_token": token}))
    code = app.at(datetime.now(UTC), counter_offset=1)
    answers = all_at_once([partial(browser.post, path, **form, **{name: code}) for browser, path, name, form in typing])
    assert {answer.status for answer in answers} == {302, 422}
    # Whoever proves it once more has another session from then on: copies of the one before are led to the login.
    passed = [answer for answer in answers if answer.status == 302 and "/auth/login" not in answer.headers["Location"]]
    assert len(passed) == 1
    assert ledger.count(AuditEvent, AuditEvent.action == AuditAction.TWO_FACTOR_USED) == 1
    assert ledger.count(AuditEvent, AuditEvent.action == AuditAction.TWO_FACTOR_FAILED) <= 5


def _registering(site, username, email):
    """Open the form; return how to send it."""
    browser = Browser(site)
    token = browser.get("/auth/register").token
    return lambda: browser.post("/auth/register", csrf_token=token, **registration(username, email))


def _ask_for_email(site, sink, ledger, path, browser=None, **fields):
    """Send a form that causes an email; return the email."""
    assert (browser or Browser(site)).submit(path, **fields).status == 302
    ledger.settled(sink)
    return sink.received[-1]

"""Compromised passwords: what leaves the site, what a service that fails does, and how a user gets a new password."""

import re
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from support import pwned
from support.clients import JSON, PASSWORD, ROOT, on_sqlite
from support.login_methods import by_code, by_link
from support.pages import beside, is_logged_in, notes
from support.passwords import NEW, choose
from support.records import has_happened, history, rows
from support.registration import FORM
from support.waiting import PATIENCE

from app.extensions import db
from app.models import OutboxEmail, User
from app.security import pwned_passwords
from app.security.remote import within

pytestmark = on_sqlite  # no rule of a database

KNOWN = "the heron of the harbour"
REFUSED = "This password has appeared in a data breach elsewhere. Choose a different one."
EMAILED = "This password has appeared in a data breach elsewhere. Check your email for a link to choose a new one."
WRONG = "Incorrect username or password."
FAILURES = [pwned.broken, pwned.busy, pwned.huge, pwned.redirecting, pwned.empty, pwned.page, pwned.cut_off]


@pytest.fixture
def service(monkeypatch):
    """A service that knows KNOWN."""
    monkeypatch.setattr(pwned_passwords, "TIMEOUT", PATIENCE)
    service = pwned.Range(KNOWN)
    yield service
    service.stop()


@pytest.fixture
def settings(service, more):
    return {"PWNED_PASSWORDS_URL": service.url} | more


@pytest.fixture
def breached(ada, service):
    """Ada, whose password has appeared in a data breach since she chose it."""
    service.known.add(PASSWORD)
    return ada


def create(flask, password):
    options = ("--email", "eve@example.com", "--username", "eve", "--password-stdin", "--no-input")
    return flask("users", "create", *options, typed=password)


def unsecret(caplog, *secrets):
    """Return the log, after a check that it has no password, no hash and no prefix."""
    everything = caplog.text + str([record.__dict__ for record in caplog.records])
    for password in (KNOWN, PASSWORD, NEW, *secrets):
        assert not re.search(rf"{re.escape(password)}|{pwned.digest(password)[:5]}", everything, re.IGNORECASE)
    return caplog.text


# New passwords


def test_a_compromised_password_is_refused_wherever_one_is_chosen(client, ada, service, outbox, flask, caplog):
    form = FORM | {"password": KNOWN, "confirm_password": KNOWN}
    page = client.post("/auth/register", data=form)
    assert (page.status_code, beside("password", page)) == (422, REFUSED)
    assert KNOWN not in page.text
    assert REFUSED in create(flask, KNOWN).output
    client.post("/auth/reset", data={"email": ada.email})
    assert beside("password", choose(client, outbox.link(), KNOWN)) == REFUSED
    client.log_in(ada)
    words = {"old_password": PASSWORD, "password": NEW, "confirm_password": NEW}
    page = client.post("/auth/change-password", data=words | {"password": KNOWN, "confirm_password": KNOWN})
    assert beside("password", page) == REFUSED
    assert client.post("/auth/change-password", data=words).status_code == 302
    secure_account = outbox.link()
    assert "/secure-account/" in secure_account
    assert beside("password", choose(client, secure_account, KNOWN)) == REFUSED
    assert choose(client, secure_account, "seven otters on a raft").location == "/auth/login"
    assert User.find("eve") is None
    unsecret(caplog)


def test_this_wasnt_me_lets_others_write_while_the_service_is_asked(app, client, ada, service, outbox):
    client.log_in(ada)
    client.post("/auth/change-password", data={"old_password": PASSWORD, "password": NEW, "confirm_password": NEW})
    locked = []

    path = db.engine.url.database

    def write(service, handler):
        with closing(sqlite3.connect(path, timeout=0)) as other:
            try:
                other.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                locked.append(error)
        pwned.send(handler, service.lines("00000"))

    service.fails = write
    assert choose(client, outbox.link(), "seven otters on a raft").location == "/auth/login"
    assert locked == []


def test_the_service_gets_five_digits_of_the_hash_and_asks_for_padding(client, service):
    assert client.post("/auth/register", data=FORM).status_code == 302
    assert service.asked == [(f"/range/{pwned.digest(PASSWORD)[:5]}", "true", 0)]


def test_composed_and_decomposed_characters_have_one_hash(app, service):
    service.known.add("café à la crème")
    assert pwned_passwords.is_known("cafe\u0301 a\u0300 la cre\u0300me")


def test_padding_is_not_taken_for_a_known_password(client, service, monkeypatch):
    padded = f"{pwned.digest(PASSWORD)[5:]}:0\r\n{'F' * 35}:12".encode()
    monkeypatch.setattr(service, "lines", lambda prefix: padded)
    assert client.post("/auth/register", data=FORM).status_code == 302


@pytest.mark.parametrize("line", ["{}:1", "{}:2\n", "{}:12345678\r\n"])
@pytest.mark.parametrize("case", [str.upper, str.lower])
def test_answers_of_mirrors_differ_in_case_and_line_breaks(app, service, monkeypatch, line, case):
    answer = case(line.format(pwned.digest(PASSWORD)[5:])).encode()
    monkeypatch.setattr(service, "lines", lambda prefix: answer)
    assert pwned_passwords.is_known(PASSWORD)


@pytest.mark.parametrize("password", ["short", "password password", "eve@example.com", "x" * 1025, ""])
def test_a_password_that_is_refused_anyway_is_not_asked_about(client, service, password):
    page = client.post("/auth/register", data=FORM | {"password": password, "confirm_password": password})
    assert page.status_code == 422
    assert service.asked == []


@pytest.mark.parametrize("more", [{"PWNED_PASSWORDS_URL": ""}])
def test_without_the_setting_no_service_is_asked(client, breached, service):
    assert client.post("/auth/register", data=FORM).status_code == 302
    client.post("/auth/logout")
    assert client.log_in(breached).location == "/"
    assert service.asked == []


# A service that fails


@pytest.mark.parametrize("fails", FAILURES)
def test_a_service_that_fails_refuses_nothing_and_is_counted(client, ada, service, clock, caplog, fails):
    service.fails = fails
    service.known.add(PASSWORD)
    assert client.post("/auth/register", data=FORM).status_code == 302
    client.post("/auth/logout")
    assert client.log_in(ada).location == "/"
    client.post("/auth/logout")
    assert len(service.asked) == 1, "it is not asked again at once"
    said = [line for line in unsecret(caplog).splitlines() if "Pwned Passwords fails" in line]
    assert [line.rpartition(": ")[2] for line in said] == ["1", "2"]
    assert "failed just now" in said[1]
    clock.move(seconds=10)
    service.fails = None
    assert client.log_in(ada).status_code == 422, "it is asked again after ten seconds"


def test_the_log_names_the_status_of_a_refusal(client, service, caplog):
    service.fails = pwned.busy
    client.post("/auth/register", data=FORM)
    assert "Pwned Passwords fails (HTTPError 429). Unchecked passwords in this process: 1" in unsecret(caplog)


@pytest.mark.parametrize("fails", [pwned.silent, pwned.dripping])
def test_a_slow_service_delays_nobody_for_long(client, ada, service, monkeypatch, caplog, fails):
    monkeypatch.setattr(pwned_passwords, "TIMEOUT", 0.5)
    service.fails = fails
    assert client.log_in(ada).location == "/"
    assert "Pwned Passwords fails (TimeoutError)" in unsecret(caplog)


HANGS = """
import threading
from app.security.remote import within
try:
    within(0, threading.Event().wait)
except TimeoutError:
    print("too late")
"""


def test_other_servers_that_hang_hold_up_neither_the_service_nor_the_exit(app, service):
    for _ in range(20):
        with pytest.raises(TimeoutError):
            within(0, service.over.wait)
    assert pwned_passwords.is_known(KNOWN)
    ended = subprocess.run([sys.executable, "-c", HANGS], cwd=ROOT, capture_output=True, timeout=PATIENCE, check=True)
    assert ended.stdout == b"too late\n"


def test_a_service_that_is_down_refuses_nothing(client, ada, service, caplog):
    service.stop()
    assert client.log_in(ada).location == "/"
    assert "Pwned Passwords fails (URLError)" in unsecret(caplog)


# Login


def test_a_login_with_a_compromised_password_leads_through_an_email_to_a_new_one(client, breached, outbox, caplog):
    page = client.log_in(breached)
    assert (page.status_code, beside("password", page)) == (422, EMAILED)
    assert 'value="ada"' in page.text
    assert PASSWORD not in page.text
    assert not is_logged_in(client)
    [email] = outbox()
    assert (email.recipients, email.subject) == (["ada@example.com"], "Choose a new Flasky password")
    assert "IP address: 127.0.0.1" in email.body
    assert history() == ["password_compromised"]

    page = client.get(outbox.link())
    assert "Choose a new password" in page.text
    assert beside("password", choose(client, outbox.link(), PASSWORD)) == REFUSED
    page = client.get(choose(client, outbox.link()).location)
    assert notes(page) == ["Your password was changed. Log in with your new password."]
    assert client.log_in(breached, NEW).location == "/"
    assert is_logged_in(client)
    assert "Breached password refused" in client.get("/auth/history").text
    unsecret(caplog)


def test_an_unconfirmed_user_gets_all_the_way_in_through_the_one_link(client, bob, service, outbox):
    service.known.add(PASSWORD)
    assert beside("password", client.log_in(bob)) == EMAILED
    [email] = outbox()
    assert "IP address" not in email.body, "a mistyped address is someone else's"
    location = choose(client, outbox.link()).location
    page = client.get(location)
    assert any("Your email address is confirmed." in note for note in notes(page))
    assert client.post(location, data={"login": "bob", "password": NEW}).status_code == 302
    assert is_logged_in(client)
    assert User.find("bob").confirmed


def test_two_factor_is_asked_for_after_the_new_password(client, ada, phone, service, outbox):
    service.known.add(PASSWORD)
    assert beside("password", client.log_in(ada)) == EMAILED
    assert client.get("/auth/two-factor/verify").location == "/auth/login", "no login is pending"
    choose(client, outbox.link())
    assert client.log_in(ada, NEW).location == "/auth/two-factor/verify"
    phone.clock.move(minutes=1)
    assert client.post("/auth/two-factor/verify", data={"code": phone.code()}).location == "/"
    assert is_logged_in(client)


def test_a_user_who_is_about_to_be_deleted_can_still_cancel(client, breached, outbox, clock):
    breached.deletion_due_at = clock.time
    db.session.commit()
    assert beside("password", client.log_in(breached)) == EMAILED
    choose(client, outbox.link())
    client.log_in(breached, NEW)
    assert client.get("/account").location == "/auth/cancel-deletion"
    assert client.post("/auth/cancel-deletion").status_code == 302
    assert is_logged_in(client)


def test_a_deactivated_user_is_told_so_and_gets_no_email(client, breached, service, outbox, clock):
    breached.deactivated_at = clock.time
    db.session.commit()
    assert client.log_in(breached).location == "/auth/login"
    assert "This account has been deactivated." in notes(client.get("/auth/login"))[0]
    assert (outbox(), service.asked) == ([], [])


def test_a_wrong_password_gets_the_usual_answer_and_is_not_asked_about(client, breached, service, outbox):
    for login in ("ada", "nobody"):
        page = client.post("/auth/login", data={"login": login, "password": KNOWN})
        assert (page.status_code, beside("password", page)) == (422, WRONG)
    assert (outbox(), service.asked) == ([], [])


@pytest.mark.parametrize("more", [{"PREVENT_ENUMERATION": True}])
def test_a_concealed_unconfirmed_account_is_not_asked_about(client, bob, service, outbox):
    service.known.add(PASSWORD)
    assert beside("password", client.log_in(bob)) == WRONG
    assert (outbox(), service.asked) == ([], [])


def test_repeated_logins_send_three_emails_an_hour_and_delay_nobody(client, breached, outbox, clock):
    for _ in range(12):
        assert beside("password", client.log_in(breached)) == EMAILED
    assert len(outbox()) == 3
    assert has_happened("password_compromised") == 1, "one row, with its count"
    assert client.get(outbox.link(0)).status_code == 200
    assert choose(client, outbox.link(0)).status_code == 302
    assert client.log_in(breached, NEW).location == "/"


def test_the_email_counts_against_the_budget_of_the_address(client, breached, outbox, clock):
    for _ in range(10):
        client.post("/auth/reset", data={"email": breached.email})
    sent = len(outbox())
    assert beside("password", client.log_in(breached)) == EMAILED
    assert len(outbox()) == sent
    assert choose(client, outbox.link()).status_code == 302, "the newest reset link works as well"


def test_an_email_that_was_overtaken_by_a_new_password_is_not_sent(client, another_client, breached, outbox):
    client.post("/auth/magic-link", data={"email": breached.email})
    client.get(outbox.link())
    another_client.log_in(breached)
    form = {"old_password": PASSWORD, "password": NEW, "confirm_password": NEW}
    assert client.post("/auth/change-password", data=form).status_code == 302
    [waiting] = OutboxEmail.query.filter_by(name="password_compromised")
    outbox()
    assert waiting.status == "obsolete"


def test_programs_get_the_error_as_json(client, breached):
    answer = client.post("/auth/login", data={"login": "ada", "password": PASSWORD}, headers=JSON)
    assert (answer.status_code, answer.json) == (422, {"errors": {"password": [EMAILED]}})


@pytest.mark.parametrize("more", [{"LOGIN_METHODS": ("magic_link",)}])
def test_where_no_password_logs_in_none_is_asked_about(client, breached, service, outbox):
    answer = client.post("/auth/login", data={"login": breached.username, "password": PASSWORD})
    assert not answer.location
    assert (outbox(), service.asked) == ([], [])


@pytest.mark.parametrize("way", [by_link, by_code])
def test_an_emailed_link_logs_in_without_the_question(client, breached, service, outbox, way):
    way(client, outbox)
    assert is_logged_in(client)
    assert service.asked == []


def test_reauthentication_does_not_ask(client, ada, service, clock):
    client.log_in(ada)
    service.known.add(PASSWORD)
    service.asked.clear()
    clock.move(minutes=16)
    assert client.get("/auth/delete").location == "/auth/reauthenticate"
    assert client.post("/auth/reauthenticate", data={"password": PASSWORD}).location == "/auth/delete"
    assert service.asked == []


def test_a_login_that_fails_at_the_service_changes_no_answer(client, breached, service):
    service.fails = pwned.broken
    before = rows()["users"]
    assert client.log_in(breached).location == "/"
    assert len(rows()["users"]) == len(before)

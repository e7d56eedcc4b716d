"""Logging in by a magic link or its code."""

import html
import re
from io import BytesIO

import pytest
from sqlalchemy import select
from support.clients import JSON, PASSWORD
from support.concurrency import at_once, copies
from support.emails import code_in, wrong
from support.pages import FIREFOX, is_logged_in
from support.passwords import NEW
from support.records import history

from app.extensions import db
from app.models import EmailChallenge, UserSession

ASK, WAIT = "/auth/magic-link", "/auth/magic-link/sent"


def ask(browser, email="ada@example.com", **fields):
    return browser.post(ASK, data={"email": email, **fields}, follow_redirects=True)


def type_code(browser, code, **request):
    return browser.post(WAIT, data={"code": code}, **request)


# The browser that requested the link


def test_magic_link_from_request_to_login(client, ada, outbox, clock):
    form = client.get(client.get("/account").location)
    action = html.unescape(re.search(r'formaction="(/auth/magic-link[^"]*)"', form.text)[1])
    asked = {"login": "Ada@example.com", "password": "", "remember_me": "y"}
    page = client.post(action, data=asked, headers={"User-Agent": FIREFOX}, follow_redirects=True)
    assert (page.status_code, page.request.path) == (200, WAIT)
    assert "We sent a login link and a code to <strong><bdi>Ada@example.com</bdi></strong>" in page.text
    assert f"{clock.time:%H:%M} UTC</time>" in page.text
    assert "Open the link in this browser, or enter the code here" in page.text
    assert 'autocomplete="one-time-code"' in page.text
    assert "<noscript>You can do that in 60 seconds.</noscript>" in page.text
    assert 'data-wait="60">Send another email' in page.text

    [email] = outbox()
    assert email.recipients == ["ada@example.com"]
    for words in (email.body, email.html):
        assert outbox.link() in words
        assert code_in(email) in words
        assert "Firefox on Linux" in words
        assert f"{clock.time:%-d %B %Y, %H:%M} UTC" in words

    answer = client.get(outbox.link())
    assert (answer.status_code, answer.location) == (302, "/account")
    assert answer.headers["Cache-Control"] == "no-store"
    assert is_logged_in(client)
    assert client.get_cookie("session").expires is not None, "remember me"
    assert db.session.scalar(select(UserSession)).method == "magic_link"
    assert history() == ["magic_link_requested", "logged_in"]


def test_the_code_logs_in_the_browser_that_requested_it(client, another_client, ada, outbox):
    ask(client)
    typed = code_in(outbox()[0]).replace(" ", "-") + " "
    answer = type_code(client, typed)
    assert (answer.status_code, answer.location) == (302, "/")
    assert is_logged_in(client)
    assert client.get_cookie("session").expires is None

    ask(another_client, remember_me="y")
    assert type_code(another_client, code_in(outbox()[1])).location == "/"
    assert another_client.get_cookie("session").expires is not None


def test_head_and_prefetch_do_not_use_the_magic_link(client, ada, outbox):
    ask(client)
    link = outbox.link()
    before = history()
    assert client.head(link).status_code == 200
    for name, value in [("Sec-Purpose", "prefetch"), ("Sec-Purpose", "prefetch;prerender"), ("Purpose", "prefetch")]:
        page = client.get(link, headers={name: value})
        assert (page.status_code, page.headers["Cache-Control"]) == (200, "no-store")
    assert not is_logged_in(client)
    assert history() == before
    assert client.get(link).location == "/"
    assert is_logged_in(client)


def test_the_waiting_page_needs_a_requested_magic_link(client, another_client, ada, outbox):
    """Another browser cannot enter the code either."""
    ask(client)
    code = code_in(outbox()[0])
    assert another_client.get(WAIT).location == ASK
    assert type_code(another_client, code).location == ASK
    ask(another_client)
    assert type_code(another_client, code).status_code == 422
    ask(another_client, "eve@example.com")
    assert type_code(another_client, code).status_code == 422
    assert not is_logged_in(another_client)
    assert type_code(client, code).location == "/"


# In another browser


def test_in_another_browser_the_magic_link_shows_a_button(client, another_client, ada, outbox):
    """Also while it waits for a link of its own: an attacker's link must not log the user in."""
    ask(client)
    link = outbox.link()
    ask(another_client, "eve@example.com")
    before = history()
    for _ in range(2):
        page = another_client.get(link)
        assert (page.status_code, page.headers["Cache-Control"]) == (200, "no-store")
        assert "Log in as ada?" in page.text
        assert "asked for this link in another browser" in page.text
        assert re.findall(r"<button[^>]*>([^<]+)", page.text) == ["Log in here"]
    assert not is_logged_in(another_client)
    assert history() == before

    answer = another_client.post(link, data={"remember_me": "y"})
    assert (answer.status_code, answer.location) == (302, "/")
    assert answer.headers["Cache-Control"] == "no-store"
    assert is_logged_in(another_client)
    assert another_client.get_cookie("session").expires is not None
    assert not is_logged_in(client)


def test_a_magic_link_of_another_user_switches_accounts(app, client, ada, bob, outbox):
    bob.confirmed = True
    db.session.commit()
    browser, copy = app.test_client(), app.test_client()
    ask(client)
    browser.log_in(bob)
    copy.set_cookie("session", browser.get_cookie("session").value)
    page = browser.get(outbox.link())
    assert (
        "You're logged in here as <strong><bdi>bob</bdi></strong>. If you continue, you'll be logged out" in page.text
    )
    assert "Hello, <bdi>bob</bdi>!" in copy.get("/").text
    browser.post(outbox.link())
    assert "Hello, <bdi>ada</bdi>!" in browser.get("/").text
    assert "Welcome to Flasky" in copy.get("/").text
    active = {row.user.username: row.revoked_at is None for row in db.session.scalars(select(UserSession))}
    assert active == {"bob": False, "ada": True}


def test_a_magic_link_of_the_logged_in_user_is_not_used(client, another_client, ada, outbox):
    another_client.log_in(ada)
    ask(client)
    before = history()
    for use in (another_client.get, another_client.post):
        assert use(outbox.link()).location == "/"
    assert another_client.get(ASK).location == "/"
    assert history() == before
    assert client.get(outbox.link()).location == "/"
    assert is_logged_in(client)


# Lifetime and attempts


def test_magic_link_and_code_work_once_together(app, client, another_client, ada, outbox):
    ask(client)
    link, code = outbox.link(), code_in(outbox()[0])
    another_client.set_cookie("session", client.get_cookie("session").value)
    client.get(link)
    page = app.test_client().get(link)
    assert page.status_code == app.test_client().post(link).status_code == another_client.get(link).status_code == 410
    assert "This link has expired or was already used" in page.text
    assert page.headers["Cache-Control"] == "no-store"
    refused = app.test_client().get(link, headers=JSON)
    assert (refused.status_code, set(refused.json)) == (410, {"error", "advice"})
    page = type_code(another_client, code)
    assert page.status_code == 422
    assert "is incorrect or has expired" in page.text.replace("&#39;", "'")
    refused = type_code(another_client, code, headers=JSON)
    assert (refused.status_code, list(refused.json["errors"])) == (422, ["code"])
    assert not is_logged_in(another_client)

    client.post("/auth/logout")
    ask(client)
    another_client.set_cookie("session", client.get_cookie("session").value)
    link, code = outbox.link(), code_in(outbox()[1])
    type_code(client, code)
    assert is_logged_in(client)
    assert app.test_client().post(link).status_code == another_client.get(link).status_code == 410
    assert type_code(another_client, code).status_code == 422
    assert not is_logged_in(another_client)


def test_the_lifetime_starts_when_the_magic_link_email_is_sent(app, ada, outbox, clock):
    """A late email still works for 15 minutes."""
    browsers = [app.test_client() for _ in range(3)]
    for browser in browsers:
        ask(browser)
        clock.move(hours=2)
        link, code = outbox.link(), code_in(outbox()[-1])
        clock.move(minutes=14, seconds=59)
        if browser is browsers[0]:
            assert browser.get(link).location == "/"
        elif browser is browsers[1]:
            assert type_code(browser, code).location == "/"
        else:
            clock.move(seconds=1)
            assert browser.get(link).status_code == app.test_client().post(link).status_code == 410
            assert type_code(browser, code).status_code == 422
    assert [is_logged_in(browser) for browser in browsers] == [True, True, False]


def test_a_code_can_be_tried_five_times(client, ada, outbox, clock):
    ask(client)
    code = code_in(outbox()[0])
    for _ in range(5):
        page = type_code(client, wrong(code))
        assert (page.status_code, "This code is incorrect" in page.text) == (422, True)
    page = type_code(client, code)
    assert (page.status_code, "Send another email" in page.text) == (422, True)
    clock.move(minutes=1)
    client.post(WAIT, data={"again": "y"})
    new = code_in(outbox()[1])
    assert new != code
    assert type_code(client, code).status_code == 422
    assert type_code(client, new).location == "/"


def test_a_magic_link_can_be_resent_once_a_minute_with_the_same_code(client, ada, outbox, clock):
    ask(client)
    clock.move(seconds=18)
    for again in (lambda: client.post(WAIT, data={"again": "y"}, follow_redirects=True), lambda: ask(client)):
        page = again()
        assert page.request.path == WAIT
        assert "You can request another email in 42 seconds." in page.text
    assert len(outbox()) == 1
    type_code(client, wrong(code_in(outbox()[0])))
    clock.move(seconds=42)
    page = client.post(WAIT, data={"again": "y"}, follow_redirects=True)
    assert "We sent another email." in page.text
    assert [code_in(email) for email in outbox()] == [code_in(outbox()[0])] * 2
    clock.move(minutes=14, seconds=59)
    assert type_code(client, code_in(outbox()[1])).location == "/", "its lifetime starts with the newest email"


def log_in_elsewhere(app, ada, home, outbox):
    app.test_client().log_in(ada)


def reset_the_password(app, ada, home, outbox):
    browser = app.test_client()
    browser.post("/auth/reset", data={"email": "ada@example.com"})
    assert browser.post(outbox.link(), data={"password": NEW, "confirm_password": NEW}).status_code == 302


def change_the_address(app, ada, home, outbox):
    home.post("/auth/change-email", data={"email": "countess@example.com", "password": PASSWORD})
    [email] = [email for email in outbox() if email.recipients == ["countess@example.com"]]
    assert home.get(outbox.link(outbox.index(email))).location == "/account"


@pytest.mark.parametrize("happening", [log_in_elsewhere, reset_the_password, change_the_address])
def test_changes_of_the_account_invalidate_magic_link_and_code(app, client, another_client, ada, outbox, happening):
    another_client.log_in(ada)
    ask(client)
    link, code = outbox.link(), code_in(outbox()[0])
    happening(app, ada, another_client, outbox)
    assert client.get(link).status_code == app.test_client().post(link).status_code == 410
    assert type_code(client, code).status_code == 422
    assert not is_logged_in(client)


def test_of_ten_concurrent_uses_of_a_magic_link_one_logs_in(app, client, ada, outbox):
    """Half of the requests come from copies of the requesting browser, half press the button in others."""
    ask(client)
    link = outbox.link()
    uses = [browser.get for browser in copies(client, 5)] + [app.test_client().post for _ in range(5)]
    answers = at_once(lambda use: use(link).status_code, uses)
    assert sorted(answers) == [302] + [410] * 9
    assert history().count("logged_in") == 1


def test_of_twenty_concurrent_right_codes_one_logs_in(app, client, ada, outbox):
    ask(client)
    code = code_in(outbox()[0])
    answers = at_once(lambda browser: type_code(browser, code).status_code, copies(client, 20))
    assert sorted(answers) == [302] + [422] * 19
    assert history().count("logged_in") == 1


# Enumeration and limits


def test_a_magic_link_request_for_an_unknown_address_sends_an_email_without_link_and_code(client, outbox):
    ask(client, "eve@example.com")
    [email] = outbox()
    assert email.recipients == ["eve@example.com"]
    assert "no account uses it" in email.body
    assert "magic-link" not in email.body
    assert re.search(r"^\d{4} \d{4}$", email.body, re.MULTILINE) is None
    assert "<h1>Create your account</h1>" in client.get(outbox.link()).text


def test_a_code_that_was_not_emailed_does_not_work(app, client, ada, outbox, clock):
    """It could be guessed without end, once the address is over its email budget."""
    for _ in range(10):
        app.test_client().post("/auth/reset", data={"email": "Ada@EXAMPLE.com"})
    clock.move(minutes=50)
    ask(client)
    with client.session_transaction() as session:
        carried_by_none = db.session.get(EmailChallenge, session["magic_link"]["challenge_id"]).code
    assert type_code(client, carried_by_none).status_code == 422
    clock.move(minutes=10)
    client.post(WAIT, data={"again": "y"})
    assert len(outbox()) == 11
    assert type_code(client, carried_by_none).status_code == 422
    assert type_code(client, code_in(outbox()[10])).location == "/"


# Invalid input


def test_an_invalid_code_is_refused_with_a_message(client, ada, outbox):
    ask(client)
    code = code_in(outbox()[0])
    arabic = code.translate({ord("0") + digit: 0x0660 + digit for digit in range(10)})
    for typed in ("", " ", "-", f"{code}\0", arabic, "1" * 10_240):
        page = type_code(client, typed)
        assert page.status_code == 422
        assert 'id="code-help"' in page.text
    surrogate = client.post(WAIT, data=b"code=%ED%A0%80", content_type="application/x-www-form-urlencoded")
    file = client.post(WAIT, data={"code": (BytesIO(code.encode()), "code.txt")})
    twice = client.post(WAIT, data={"code": [wrong(code), code]})
    assert {page.status_code for page in (surrogate, file, twice, client.post(WAIT))} == {422}
    assert type_code(client, code).location == "/"
    for token in ("x", "%00", "%ED%A0%80", "1" * 4096, "a.b.c"):
        assert client.get(f"{ASK}/{token}").status_code == 410


def test_the_magic_link_email_contains_no_link_from_the_request(app, ada, outbox):
    hostile = [
        "https://evil.example/ <b>Dear ada</b>",
        "Firefox\r\n\r\nLog in:\r\nhttps://evil.example/",
        "https://evil.example/1.0 CFNetwork/808.3 Darwin/16.3.0",
        FIREFOX + "<a href='https://evil.example/'>Dear ada</a>\nhttps://evil.example",
    ]
    for user_agent in hostile:
        app.test_client().post(
            ASK, data={"email": "ada@example.com"}, environ_overrides={"HTTP_USER_AGENT": user_agent}
        )
    for email in outbox():
        words = email.body + email.html
        assert "evil.example" not in words
        assert "Dear" not in words
        assert set(re.findall(r"https?://[^/\s\"<]+", words)) == {"http://localhost"}
        assert "Device: " in words
    assert "Firefox on Linux" in outbox()[-1].body

"""Login, the next page, session lifetimes, and logout."""

from io import BytesIO
from urllib.parse import unquote

import pytest
from flask_login import login_required
from sqlalchemy import event, select
from support.clients import PASSWORD, on_sqlite
from support.corpora import INSIDE, OUTSIDE

from app.accounts import sessions
from app.extensions import db
from app.models import AuditAction, AuditEvent, User, UserSession
from app.web.own_urls import safe_next_url


@pytest.mark.parametrize("login", ["ada", "ADA", "ada@example.com", "Ada@EXAMPLE.com", "  ada "])
def test_login_by_username_or_email_in_any_case(client, ada, login):
    page = client.post("/auth/login", data={"login": login, "password": PASSWORD}, follow_redirects=True)
    assert "Hello, <bdi>ada</bdi>!" in page.text


@pytest.mark.parametrize(
    ("login", "password", "error"),
    [
        ("", PASSWORD, "Enter your email or username."),
        ("ada", "", "Enter your password."),
        ("ada\0", PASSWORD, "used here"),
        ("ada", PASSWORD + "\0", "used here"),
    ],
)
def test_a_login_that_is_empty_or_contains_a_nul_is_refused(client, ada, login, password, error):
    page = client.post("/auth/login", data={"login": login, "password": password})
    assert (page.status_code, error in page.text) == (422, True)


def test_a_logged_in_user_is_redirected_home_from_the_login(client, ada):
    client.log_in(ada)
    assert [client.get(f"/auth/{page}").location for page in ("login", "register")] == ["/", "/"]
    assert client.log_in(ada).location == "/"


def test_the_next_page_survives_a_wrong_password_and_registering_instead(client, ada):
    page = client.post("/auth/login?next=/account", data={"login": "ada", "password": "wrong"})
    assert 'action="/auth/login?next=/account"' in page.text
    assert 'href="/auth/register?next=/account"' in page.text


def test_an_unconfirmed_user_reaches_the_next_page_after_confirming(client, bob, outbox):
    client.post("/auth/login?next=/account", data={"login": "bob", "password": PASSWORD})
    assert client.get("/account").location == "/auth/unconfirmed"
    client.post("/auth/confirm")
    assert client.get(outbox.link()).location == "/account"


def test_an_unusual_next_page_is_restored_as_it_was(own_app, client, app, ada):
    app.add_url_rule("/garden/<name>", "garden", login_required(lambda name: name))
    odd = ["my%20rose", "a%3Fb", "%C3%A9?x=%26", "%E2%80%8C", "a%E2%80%8Db?q=%E2%80%8D", "%C2%A0", "%E3%80%80", "a%5Cb",
           "a?q=%5C", "%E2%80%AE", "%F0%9F%8C%B9", "50%25", "%2541", "a%09b", "a%0Ab", "%E2%80%A8", "%EF%BB%BFx",
           "%C2%85", "%E5%BA%AD" * 300]  # fmt: skip
    for address in (f"/garden/{name}" for name in odd):
        browser = app.test_client()
        form = browser.get(browser.get(address).location)
        action = form.text.partition('<form method="post" action="')[2].partition('"')[0]
        assert browser.post(action, data={"login": "ada", "password": PASSWORD}).location == address


def test_the_next_page_of_one_user_is_not_used_for_another(client, ada, bob, outbox):
    client.log_in(bob)
    client.post("/auth/confirm")
    client.post("/auth/logout")
    client.get(outbox.link())
    asked = client.get("/account").location
    assert asked == "/auth/login?next=/account", "what is asked for now comes first"
    assert client.log_in(ada).location == "/"


@on_sqlite
@pytest.mark.parametrize("target", [*OUTSIDE, *INSIDE])
def test_next_does_not_redirect_to_another_site(client, ada, target):
    next_page = target if target in INSIDE else None
    assert safe_next_url(target) == next_page
    answer = client.post("/auth/login", query_string={"next": target}, data={"login": "ada", "password": PASSWORD})
    assert (answer.status_code, unquote(answer.location)) == (302, unquote(next_page or "/"))


def test_of_two_next_parameters_none_redirects_to_another_site(client, ada):
    answer = client.post("/auth/login?next=//evil.com&next=/ok", data={"login": "ada", "password": PASSWORD})
    assert answer.location == "/"


def test_a_session_cookie_copied_before_the_logout_is_worthless_after_it(client, another_client, ada):
    client.log_in(ada)
    another_client.set_cookie("session", client.get_cookie("session").value)
    assert "Hello, <bdi>ada</bdi>!" in another_client.get("/").text
    client.post("/auth/logout")
    assert "Welcome to Flasky" in another_client.get("/").text


def test_logout_clears_the_session_cookie(client, ada):
    client.log_in(ada)
    client.post("/auth/logout")
    with client.session_transaction() as session:
        assert set(session) <= {"_flashes"}


def test_logging_out_twice_is_one_audit_event(app, ada):
    browser, copy = app.test_client(), app.test_client()
    browser.log_in(ada)
    copy.set_cookie("session", browser.get_cookie("session").value)
    row = db.session.scalar(select(UserSession))
    browser.post("/auth/logout")
    sessions.revoke(row)
    db.session.commit()
    assert len(db.session.scalars(select(AuditEvent).where(AuditEvent.action == AuditAction.LOGGED_OUT)).all()) == 1


def test_a_forged_next_page_in_the_session_does_not_redirect_to_another_site(client, ada):
    with client.session_transaction() as session:
        session["next"] = "//evil.example"
    assert client.log_in(ada).location == "/"


@on_sqlite
@pytest.mark.parametrize(
    "body",
    ["[1,2]", '"abc"', "5", "true", "[" * 20_000, '{"login":5,"password":"x"}', '{"login":"\\ud800","password":5}'],
)
@pytest.mark.parametrize("address", ["/auth/login", "/auth/register"])
def test_login_accepts_only_form_data(client, ada, body, address):
    assert client.post(address, data=body, content_type="application/json").status_code == 422
    files = {
        name: (BytesIO(b"x"), "name.txt") for name in ("login", "password", "email", "username", "confirm_password")
    }
    assert client.post(address, data=files).status_code == 422


def test_a_login_that_is_too_long_is_refused(client, ada, monkeypatch):
    monkeypatch.setattr("app.security.hashing.threads", None)  # hashing would raise
    assert "too long" in client.post("/auth/login", data={"login": "a" * 255, "password": "x"}).text
    assert "too long" in client.post("/auth/login", data={"login": "ada", "password": "\u0315" * 1025}).text


def test_a_password_does_not_expire(client, ada, clock):
    clock.move(days=3650)
    assert client.log_in(ada).location == "/"
    assert client.get("/account").status_code == 200


def test_login_clears_the_session_of_before(client, ada):
    with client.session_transaction() as session:
        session["planted"] = session["csrf_token"] = "by somebody else"
    client.log_in(ada)
    with client.session_transaction() as session:
        assert set(session) == {"_user_id", "_fresh"}


@pytest.mark.parametrize(
    ("fields", "visits", "hours_between", "still_in"),
    [
        ({}, 1, 11, True),
        ({}, 1, 12, False),
        ({}, 15, 11, True),  # 165 hours
        ({}, 16, 11, False),  # 176 hours, over 7 days
        ({"remember_me": "y"}, 1, 29 * 24, True),
        ({"remember_me": "y"}, 1, 30 * 24, False),
        ({"remember_me": "y"}, 12, 29 * 24, True),
        ({"remember_me": "y"}, 13, 29 * 24, False),  # over a year
    ],
)
def test_session_lifetimes(client, ada, clock, fields, visits, hours_between, still_in):
    client.log_in(ada, **fields)
    for _ in range(visits):
        clock.move(hours=hours_between)
        page = client.get("/")
    assert ("Hello, <bdi>ada</bdi>!" in page.text) is still_in


def test_last_seen_and_the_cookie_are_renewed_every_five_minutes_at_most(client, ada, clock):
    client.log_in(ada, remember_me="y")
    client.get("/account")
    logged_in_at = clock.time
    clock.move(minutes=4)
    assert "Set-Cookie" not in client.get("/account").headers
    row = db.session.scalar(select(UserSession))
    assert row.last_seen_at == logged_in_at
    clock.move(minutes=1)
    assert "Expires=" in client.get("/account").headers["Set-Cookie"]
    db.session.refresh(row)
    assert row.last_seen_at == clock.time


def test_last_seen_is_written_once_by_concurrent_requests(client, ada, bob, clock):
    client.log_in(bob)
    clock.move(minutes=10)
    written = []
    event.listen(db.engine, "before_cursor_execute", lambda *call: written.append(call[2]))
    client.get("/auth/unconfirmed")
    assert len([statement for statement in written if not statement.startswith("SELECT")]) == 1


def test_session_ids_are_random_and_the_history_has_method_and_origin(client, ada):
    client.post("/auth/login", data={"login": "ada", "password": PASSWORD}, headers={"User-Agent": "Firefox"})
    row = db.session.scalar(select(UserSession))
    assert len(row.id) == 43
    assert (row.method, row.ip, row.user_agent) == ("password", "127.0.0.1", "Firefox")
    line = db.session.scalar(select(AuditEvent))
    assert (line.action, line.detail) == ("logged_in", {"method": "password"})
    assert (line.ip, line.user_agent) == ("127.0.0.1", "Firefox")


def test_get_id_outside_a_request_returns_none(ada, bob):
    assert ada.get_id() is None
    assert ada != bob
    assert ada == db.session.get(User, ada.id)


def test_a_new_secret_key_logs_nobody_out_while_the_old_one_is_a_fallback(app, client, ada):
    client.log_in(ada)
    app.config["WTF_CSRF_ENABLED"] = True
    page = client.get("/auth/logout").text
    open_form = {"csrf_token": page.rpartition('name="csrf_token" value="')[2].partition('"')[0]}
    former, app.config["SECRET_KEY"] = app.config["SECRET_KEY"], "another key, which is as long as the first"
    app.config["SECRET_KEY_FALLBACKS"] = [former]
    assert client.get("/account").status_code == 200
    stale = client.post("/auth/logout", data=open_form)
    assert (stale.status_code, "open for too long" in stale.text) == (400, True)
    app.config["SECRET_KEY_FALLBACKS"] = []
    assert client.get("/account").location.startswith("/auth/login")


def test_logout_by_get_shows_a_button_and_logs_nobody_out(client, ada):
    client.log_in(ada)
    assert "Log out" in client.get("/auth/logout").text
    client.head("/auth/logout")
    assert client.get("/account").status_code == 200


def test_logout_by_post_logs_out(client, ada):
    client.log_in(ada)
    assert "You have been logged out." in client.post("/auth/logout", follow_redirects=True).text
    assert client.get("/account").status_code == 302
    assert client.post("/auth/logout").location == "/"

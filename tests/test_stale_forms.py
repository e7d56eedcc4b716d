"""Forms without a valid token: none reaches a service, and each comes back with what was typed, except passwords."""

import time
from io import BytesIO

import pytest
from itsdangerous import TimestampSigner
from support.clients import JSON, PASSWORD, hidden_fields, hidden_token, on_sqlite, value_of
from support.records import rows
from support.registration import FORM
from support.routes import addresses, with_all_routes

pytestmark = on_sqlite  # what a page shows depends on no database


@pytest.fixture
def protected(app):
    """The application as it is outside the tests: forms need a CSRF token."""
    app.config["WTF_CSRF_ENABLED"] = True
    return app


FIELDS = {"login": "ada"} | FORM
CALLBACK = "/auth/sso/x/callback"  # accepts cross-site POSTs (response_mode=form_post)


@pytest.mark.parametrize("token", [None, "", "abc", "of another browser"])
@pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Site": "cross-site"}, JSON])
@with_all_routes
def test_no_post_without_its_token_reaches_a_service(app, client, another_client, ada, bob, token, headers):
    client.log_in(bob)
    app.config["WTF_CSRF_ENABLED"] = True
    if token == "of another browser":
        token = hidden_token(app.test_client().get("/auth/login"))
    before = rows()
    tried = 0
    for browser in (client, another_client):
        for _, address in addresses(app, "POST"):
            form = FIELDS | ({} if token is None else {"csrf_token": token})
            answer = browser.post(address, data=form, headers=headers)
            if address == CALLBACK:
                assert answer.status_code in {302, 403}, address  # redirects to the GET, which needs the state
                continue
            assert answer.status_code == (403 if "Sec-Fetch-Site" in headers else 400), address
            tried += 1
    assert tried >= 8
    assert rows() == before


def test_a_form_left_open_for_a_day_is_accepted(protected, client, ada, monkeypatch):
    page = client.get("/auth/login")
    later = time.time() + 24 * 3600
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda self: int(later))
    assert client.post("/auth/login", data=FIELDS | {"csrf_token": hidden_token(page)}).status_code == 302


def send_again(client, page, **more):
    """Press the button of the page that holds a form."""
    return client.post(page.request.full_path.rstrip("?"), data=hidden_fields(page) | more)


def test_a_stale_form_comes_back_as_it_was_typed_except_passwords(protected, client, ada):
    """It is sent again by a second click; its own page then asks for the passwords."""
    page = client.post("/auth/register", data=FIELDS)
    assert (page.status_code, "This form has no security token" in page.text) == (400, True)
    typed = hidden_fields(page)
    assert typed.keys() == {"csrf_token", "email", "login", "username"}
    assert (typed["email"], typed["username"]) == ("eve@example.com", "eve")
    assert PASSWORD not in page.text
    form = send_again(client, page)
    assert (form.status_code, "Choose a password." in form.text) == (422, True)
    assert (value_of(form, "email"), value_of(form, "username")) == ("eve@example.com", "eve")
    assert send_again(client, page, password=PASSWORD, confirm_password=PASSWORD).status_code == 302


def test_a_stale_login_keeps_the_name_the_checkbox_and_the_next_page(protected, client, ada):
    page = client.post("/auth/login?next=/account", data=FIELDS | {"remember_me": "y"})
    assert page.status_code == 400
    form = send_again(client, page)
    assert value_of(form, "login") == "ada"
    assert 'value="y" checked' in form.text
    assert 'action="/auth/login?next=/account"' in form.text


def test_a_stale_form_of_a_user_who_logged_in_meanwhile_redirects_home(protected, client, ada):
    """After a second click."""
    stale = hidden_token(client.get("/auth/login"))
    client.post("/auth/login", data=FIELDS | {"csrf_token": hidden_token(client.get("/auth/login"))})
    page = client.post("/auth/login", data=FIELDS | {"csrf_token": stale})
    assert (page.status_code, "This page was open for too long" in page.text) == (400, True)
    assert send_again(client, page).location == "/"
    assert "open for too long" not in client.get("/").text


def test_a_stale_logout_shows_a_button_and_logs_nobody_out(protected, client, ada):
    client.post("/auth/login", data=FIELDS | {"csrf_token": hidden_token(client.get("/auth/login"))})
    page = client.post("/auth/logout")
    assert (page.status_code, "Send again" in page.text) == (400, True)
    assert client.get("/account").status_code == 200
    assert send_again(client, page).location == "/"
    assert client.get("/account").status_code == 302


@pytest.mark.parametrize("address", ["/auth/login", "/auth/confirm"])  # the button to resend has no page of its own
def test_a_stale_form_of_an_unconfirmed_user_reaches_no_page_closed_to_them(app, client, bob, address):
    client.log_in(bob)
    app.config["WTF_CSRF_ENABLED"] = True
    page = client.post(address, data=FIELDS)
    assert (page.status_code, "This form has no security token" in page.text) == (400, True)
    assert send_again(client, page).location == "/auth/unconfirmed"


LIKE_SECRETS = "new_password billing-Passwort client_secret api_token pin recovery_code".split()


@pytest.mark.parametrize("name", [*LIKE_SECRETS, "postcode", "spinning", "note", "go"])
def test_a_stale_form_holds_no_field_named_like_a_secret(protected, client, name):
    page = client.post("/auth/register", data={name: "zyxomma"})
    assert (page.status_code, "zyxomma" in page.text) == (400, name not in LIKE_SECRETS)


def test_uploads_of_a_stale_form_are_not_kept_and_the_page_says_so(protected, client):
    form = {"email": "eve@example.com", "picture": (BytesIO(b"zyxomma"), "zyxomma.png")}
    page = client.post("/auth/register", data=form)
    assert (page.status_code, "Files aren't kept" in page.text) == (400, True)
    assert "zyxomma" not in page.text


EVIL = "https://evil.example"
ELSEWHERE = [
    {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site", "Origin": "http://other.localhost"},
    {"Sec-Fetch-Site": "none", "Origin": EVIL}, {"Origin": EVIL}, {"Origin": "null"}, {"Origin": "https://localhost"},
    {"Origin": "http://localhost:8080"}, {"Origin": "http://localhost.evil.example"}, {"Origin": "http://[bad"},
    {"Origin": "x"}, {"Referer": f"{EVIL}/http://localhost/"}, {"Referer": "http://localhost@evil.example/"},
    {"Origin": EVIL, "Referer": "http://localhost/"}, {"Origin": EVIL, "Accept": "application/json"},
]  # fmt: skip


@with_all_routes
@pytest.mark.parametrize("headers", ELSEWHERE, ids=str)
def test_a_stale_cross_site_form_is_not_shown_and_logs_nobody_out(protected, client, ada, headers):
    """A browser sends no cookie with such a form, but would store one from the response."""
    client.post("/auth/login", data=FIELDS | {"csrf_token": hidden_token(client.get("/auth/login"))})
    without_cookies = protected.test_client(use_cookies=False)
    for endpoint, address in list(addresses(protected, "POST")):
        if endpoint == "auth.sso_callback":
            continue
        form = FIELDS | {"login": "zyxomma", "username": "zyxomma", "email": "zyxomma@evil.example", "code": "zyxomma"}
        for browser in (client, without_cookies):
            page = browser.post(address, data=form | {"held-email": "zyxomma", "target": "/zyxomma"}, headers=headers)
            assert page.status_code in {400, 403}, address
            assert "zyxomma" not in page.text, address
            assert "Set-Cookie" not in page.headers, address
    assert client.get("/account").status_code == 200

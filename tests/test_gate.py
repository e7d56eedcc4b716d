"""Who reaches what: strangers, the unconfirmed, members; and no form without its token."""

import re
import time

import pytest
from flask import url_for
from itsdangerous import TimestampSigner
from sqlalchemy import select
from support.clients import PASSWORD, on_sqlite

from app.auth.account_state import ASKS_NOBODY, OPEN_TO_THE_UNCONFIRMED, OPEN_WHILE_DELETION_IS_PENDING
from app.extensions import db
from settings.providers import Provider

JSON = {"Accept": "application/json"}

# For tests that walk all addresses, which have an x where something is to be named.
with_all_routes = pytest.mark.parametrize(
    "settings", [{"OIDC_PROVIDERS": {"x": Provider("x", "X", "http://127.0.0.1:9", "an id", "a secret")}}]
)


def addresses(app, method):
    """Every route that answers `method`, as (endpoint, address), with a value for each part of it."""
    with app.test_request_context():
        for rule in app.url_map.iter_rules():
            if method in rule.methods:
                yield (
                    rule.endpoint,
                    url_for(rule.endpoint, **{name: 1 if name == "number" else "x" for name in rule.arguments}),
                )


def rows():
    """Everything in the database but what the limits count, to see whether anything changed."""
    return {
        table.name: db.session.execute(select(table)).all()
        for table in db.metadata.sorted_tables
        if table.name != "rate_limit_counters"
    }


@with_all_routes
def test_the_unconfirmed_reach_these_pages_and_no_others(app, client, bob):
    client.log_in(bob)
    open_to_them = {"auth.unconfirmed", "auth.confirm", "auth.send_again", "auth.logout"}
    open_to_them |= {"auth.reauthenticate", "auth.delete", "auth.cancel_deletion", "auth.secure_account"}
    open_to_them |= {"static", "bootstrap.static", "main.healthz", "main.readyz"}
    said = OPEN_TO_THE_UNCONFIRMED | OPEN_WHILE_DELETION_IS_PENDING | ASKS_NOBODY
    assert {endpoint for endpoint in said if not endpoint.startswith("dev.")} == open_to_them
    for endpoint, address in addresses(app, "GET"):
        with client.get(address) as answer:
            held_back = answer.location == "/auth/unconfirmed"
        assert held_back is (endpoint not in open_to_them), endpoint
    for endpoint, address in addresses(app, "POST"):
        if endpoint not in open_to_them:
            assert client.post(address).location == "/auth/unconfirmed", endpoint


def test_members_only_pages_ask_strangers_to_log_in(client):
    page = client.get("/account", follow_redirects=True)
    assert page.request.path == "/auth/login"
    assert "Log in to open this page." in page.text


def test_requests_for_json_alone_get_a_status_and_no_page(client, another_client, ada, bob):
    assert client.get("/account", headers=JSON).status_code == 401
    client.log_in(bob)
    assert client.get("/account", headers=JSON).status_code == 403
    assert client.get("/nowhere", headers=JSON).json == {
        "error": "There is no such page",
        "advice": "The address may be mistyped, or the page may be gone.",
    }
    refused = another_client.post("/auth/register", data={"email": "x"}, headers=JSON)
    assert refused.status_code == 422
    assert refused.json["errors"]["username"] == ["Choose a username."]
    wrong = another_client.post("/auth/login", data={"login": "ada", "password": "x"}, headers=JSON)
    assert (wrong.status_code, list(wrong.json["errors"])) == (422, ["form"])


def test_get_head_and_options_change_nothing(app, client, ada):
    client.log_in(ada)
    before = rows()
    for _, address in addresses(app, "GET"):
        for method in ("GET", "HEAD", "OPTIONS"):
            client.open(address, method=method).close()
    assert rows() == before


def test_pages_about_accounts_are_kept_from_search_engines(app, client, another_client, bob):
    client.log_in(bob)
    for endpoint, address in addresses(app, "GET"):
        for browser in (client, another_client):
            with browser.get(address) as page:
                if page.status_code == 200 and endpoint.startswith("auth."):
                    assert '<meta name="robots" content="noindex">' in page.text, endpoint
    assert "noindex" not in another_client.get("/").text


# Forms


SAY = {  # what each field says to browsers and password managers: type and autocomplete, or two of these
    "login": ["text username webauthn"],
    "username": ["text username", "hidden username"],  # hidden: whose password it is
    "password": ["password current-password", "password new-password"],
    "old_password": ["password current-password"],
    "confirm_password": ["password new-password"],
    "email": ["email email"],
    "code": ["text one-time-code"],
    "remember_me": ["checkbox"],
    "name": ["text off"],  # of a passkey
    "csrf_token": ["hidden"],
    "credential": ["hidden"],
    "again": ["hidden"],
}


@on_sqlite
@with_all_routes
def test_every_field_says_what_it_is_and_none_asks_a_secret_question(app, client, another_client, ada, bob, outbox):
    another_client.post("/auth/reset", data={"email": ada.email})
    link, found, bobs = outbox.link(), {}, app.test_client()
    another_client.post("/auth/magic-link", data={"email": ada.email})
    client.log_in(ada)
    bobs.log_in(bob)
    for browser in (another_client, bobs, client):
        for address in [link, *(address for _, address in addresses(app, "GET"))]:
            with browser.get(address) as page:
                if page.mimetype == "text/html" and page.status_code == 200:
                    assert ('action="/auth/logout"' in page.text) is (browser is not another_client), address
                    for field in re.findall(r"<input\b[^>]*>", page.text):
                        said = dict(re.findall(r'([\w-]+)="([^"]*)"', field))
                        words = f"{said['type']} {said.get('autocomplete', '')}".strip()
                        found.setdefault(said["name"], set()).add(words)
                        assert said["type"] != "password" or not said.get("value")
    assert found == {name: set(words) for name, words in SAY.items()}
    columns = {column.name for table in db.metadata.sorted_tables for column in table.columns}
    assert not [name for name in columns if "hint" in name or "question" in name or name.startswith("answer")]


@pytest.fixture
def protected(app):
    """The application as it is outside the tests: forms need their token."""
    app.config["WTF_CSRF_ENABLED"] = True
    return app


FIELDS = {
    "login": "ada",
    "password": PASSWORD,
    "confirm_password": PASSWORD,
    "email": "eve@example.com",
    "username": "eve",
}


CALLBACK = "/auth/sso/x/callback"  # a provider's page may post to it (response_mode=form_post)


@pytest.mark.parametrize("token", [None, "", "abc", "of another browser"])
@pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Site": "cross-site"}, JSON])
@with_all_routes
def test_no_post_without_its_token_reaches_a_verb(app, client, another_client, ada, bob, token, headers):
    client.log_in(bob)
    app.config["WTF_CSRF_ENABLED"] = True
    if token == "of another browser":
        token = hidden_token(app.test_client().get("/auth/login"))
    before = rows()
    tried = 0
    for browser in (client, another_client):
        for _, address in addresses(app, "POST"):
            answer = browser.post(
                address, data=FIELDS | ({} if token is None else {"csrf_token": token}), headers=headers
            )
            if address == CALLBACK:
                assert answer.status_code in {302, 403}, address  # to the GET, which needs the state
                continue
            refused = {400, 302, 410} if address.endswith("/x") else {400, 302}  # /x: a token that is none
            assert answer.status_code in ({403} if "Sec-Fetch-Site" in headers else refused), address
            tried += 1
    assert tried >= 8
    assert rows() == before


def hidden_token(page):
    return page.text.partition('name="csrf_token" value="')[2].partition('"')[0]


def test_with_its_token_a_form_goes_through(protected, client, ada):
    token = hidden_token(client.get("/auth/login"))
    assert client.post("/auth/login", data=FIELDS | {"csrf_token": token}).location == "/"
    assert client.get("/account").status_code == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_what_another_site_sends_is_refused_even_with_a_token(protected, client, ada, method, site):
    token = hidden_token(client.get("/auth/login"))
    headers = {"Sec-Fetch-Site": site}
    answer = client.open("/auth/login", method=method, data=FIELDS | {"csrf_token": token}, headers=headers)
    assert answer.status_code == 403
    assert "eve" not in answer.text


def test_a_form_left_open_for_a_day_goes_through(protected, client, ada, monkeypatch):
    page = client.get("/auth/login")
    later = time.time() + 24 * 3600
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda self: int(later))
    assert client.post("/auth/login", data=FIELDS | {"csrf_token": hidden_token(page)}).status_code == 302


def test_a_stale_form_comes_back_as_it_was_typed_but_for_passwords(protected, client, ada):
    page = client.post("/auth/register", data=FIELDS)
    assert page.status_code == 400
    assert "This form came without its security token" in page.text
    assert 'value="eve@example.com"' in page.text
    assert 'value="eve"' in page.text
    assert PASSWORD not in page.text
    assert "is-invalid" not in page.text
    sent_again = client.post("/auth/register", data=FIELDS | {"csrf_token": hidden_token(page)})
    assert sent_again.status_code == 302


def test_a_stale_login_keeps_the_name_and_the_box(protected, client, ada):
    page = client.post("/auth/login?next=/account", data=FIELDS | {"remember_me": "y"})
    assert page.status_code == 400
    assert 'value="ada"' in page.text
    assert 'value="y" checked' in page.text
    assert 'action="/auth/login?next=/account"' in page.text


def test_a_form_whose_person_logged_in_meanwhile_goes_where_they_would(protected, client, ada):
    stale = hidden_token(client.get("/auth/login"))
    client.post("/auth/login", data=FIELDS | {"csrf_token": hidden_token(client.get("/auth/login"))})
    answer = client.post("/auth/login", data=FIELDS | {"csrf_token": stale})
    assert answer.location == "/"
    assert "open too long" not in client.get("/").text


def test_a_stale_log_out_shows_its_button_and_signs_nobody_out(protected, client, ada):
    client.post("/auth/login", data=FIELDS | {"csrf_token": hidden_token(client.get("/auth/login"))})
    page = client.post("/auth/logout")
    assert (page.status_code, "Log out?" in page.text) == (400, True)
    assert client.get("/account").status_code == 200


def test_a_stale_form_of_the_unconfirmed_does_not_get_past_the_gate(app, client, bob):
    client.log_in(bob)
    app.config["WTF_CSRF_ENABLED"] = True
    assert client.post("/auth/login", data=FIELDS).location == "/auth/unconfirmed"


def test_a_stale_button_without_a_page_of_its_own_gets_an_error_page(app, client, bob):
    client.log_in(bob)
    app.config["WTF_CSRF_ENABLED"] = True
    page = client.post("/auth/confirm")
    assert page.status_code == 400
    assert "This form came without its security token" in page.text


EVIL = "https://evil.example"
ELSEWHERE = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site", "Origin": "http://other.localhost"},
    {"Sec-Fetch-Site": "none", "Origin": EVIL},
    {"Origin": EVIL},
    {"Origin": "null"},
    {"Origin": "https://localhost"},
    {"Origin": "http://localhost:8080"},
    {"Origin": "http://localhost.evil.example"},
    {"Origin": "http://[bad"},
    {"Origin": "x"},
    {"Referer": f"{EVIL}/http://localhost/"},
    {"Referer": "http://localhost@evil.example/"},
    {"Origin": EVIL, "Referer": "http://localhost/"},
    {"Origin": EVIL, "Accept": "application/json"},
]


@with_all_routes
@pytest.mark.parametrize("headers", ELSEWHERE, ids=str)
def test_nothing_is_shown_of_what_another_sites_page_sent_and_nobody_is_logged_out(protected, client, ada, headers):
    """A browser sends no cookie with such a form, but takes one from the answer."""
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


@pytest.mark.parametrize(
    "headers",
    [{}, {"Origin": "http://localhost"}, {"Origin": "HTTP://LOCALHOST:80"}, {"Referer": "http://localhost/auth/login"},
     {"Sec-Fetch-Site": "none"}],
    ids=str,
)  # fmt: skip
def test_a_stale_form_of_our_own_page_comes_back(protected, client, headers):
    page = client.post("/auth/register", data=FIELDS, headers=headers)
    assert page.status_code == 400
    assert 'value="eve@example.com"' in page.text

"""Access: which pages visitors, unconfirmed users and members reach, and what each field tells browsers."""

import re

from support.clients import on_sqlite
from support.ours import owners_fields
from support.records import rows
from support.routes import FILES, addresses, with_all_routes

from app.auth.account_state import OPEN_ENDPOINTS, WITHOUT_SESSION
from app.extensions import db


@with_all_routes
def test_unconfirmed_users_reach_these_pages_and_no_others(app, client, bob):
    client.log_in(bob)
    open_to_them = {"auth.unconfirmed", "auth.confirm", "auth.send_again", "auth.logout"}
    open_to_them |= {"auth.reauthenticate", "auth.delete", "auth.cancel_deletion", "auth.secure_account"}
    open_to_them |= FILES | {"main.healthz", "main.readyz", "main.metrics", "main.appearance", "main.language"}
    said = OPEN_ENDPOINTS["auth.unconfirmed"] | WITHOUT_SESSION
    assert said == open_to_them
    for endpoint, address in addresses(app, "GET"):
        with client.get(address) as answer:
            held_back = answer.location == "/auth/unconfirmed"
        assert held_back is (endpoint not in open_to_them), endpoint
    for endpoint, address in addresses(app, "POST"):
        if endpoint not in open_to_them:
            assert client.post(address).location == "/auth/unconfirmed", endpoint


@on_sqlite
@with_all_routes
def test_visitors_are_redirected_to_the_login_from_all_pages_but_these(app, client):
    open_to_them = {f"auth.{name}" for name in """
        accept_invitation change_email_link confirm login logout magic_link magic_link_sent
        passkey_request_options register request_reset reset_password secure_account sso_callback start_sso
        use_magic_link
    """.split()} | FILES | {"main.healthz", "main.readyz", "main.arrived", "main.index", "main.appearance"}  # fmt: skip
    open_to_them.add("main.metrics")
    open_to_them.add("main.well_known_change_password")  # which redirects to a page that asks
    for method in ("GET", "POST"):
        for endpoint, address in addresses(app, method):
            with client.open(address, method=method) as answer:
                is_asked = (answer.location or "").startswith("/auth/login")
            assert is_asked or endpoint in open_to_them, endpoint


def test_get_head_and_options_change_nothing(app, client, ada):
    client.log_in(ada)
    before = rows()
    for _, address in addresses(app, "GET"):
        for method in ("GET", "HEAD", "OPTIONS"):
            client.open(address, method=method).close()
    assert rows() == before


PUBLIC = {"auth.login", "auth.register", "auth.request_reset"}  # search engines may list these


def test_pages_about_accounts_are_kept_from_search_engines(app, client, another_client, bob):
    client.log_in(bob)
    for endpoint, address in addresses(app, "GET"):
        for browser in (client, another_client):
            with browser.get(address) as page:
                if page.status_code == 200 and endpoint.startswith("auth.") and endpoint not in PUBLIC:
                    assert '<meta name="robots" content="noindex">' in page.text, endpoint
    assert "noindex" not in another_client.get("/").text


AUTOCOMPLETE = {  # of each field: type and autocomplete, for browsers and password managers
    "login": ["text username webauthn"],
    "username": ["text username"],
    "password": ["password current-password", "password new-password"],
    "old_password": ["password current-password"],
    "confirm_password": ["password new-password"],
    "email": ["email email"],
    "code": ["text one-time-code"],
    "remember_me": ["checkbox"],
    "name": ["text off"],  # of a passkey
    "csrf_token": ["hidden"],
    "scheme": ["radio"],
    "credential": ["hidden"],
    "time_zone": ["hidden"],
    "again": ["hidden"],
}


@on_sqlite
@with_all_routes
def test_every_field_has_its_type_and_autocomplete_and_none_asks_a_secret_question(
    app, client, another_client, ada, bob, outbox
):
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
    found = {name: words for name, words in found.items() if name not in owners_fields()}
    assert found == {name: set(words) for name, words in AUTOCOMPLETE.items()}
    columns = {column.name for table in db.metadata.sorted_tables for column in table.columns}
    assert not [name for name in columns if "hint" in name or "question" in name or name.startswith("answer")]

"""USERNAMES=off: accounts are known by their email address, and no page, email or command mentions usernames."""

import json
import re

import pytest
from support.clients import JSON, PASSWORD, on_sqlite
from support.emails import send_whole
from support.passkeys import MAKE
from support.registration import FORM
from support.routes import addresses
from support.sso import ADA, told, travel

from app.accounts import registration
from app.email.templates import Email
from app.extensions import db
from app.models import User

pytestmark = on_sqlite  # what a page shows depends on no database

EVE = {name: value for name, value in FORM.items() if name != "username"}
SSO_EVE = ADA | {"sub": "eve", "email": "eve@example.com", "name": "Eve Adams", "preferred_username": "eve"}


@pytest.fixture
def settings():
    return {"USERNAMES": "off"}


@pytest.fixture
def acme(app, issuer):
    app.config["OIDC_PROVIDERS"] = {"acme": issuer.provider()}
    return issuer


def mentions(text):
    """Return whether a page or an email has the word, apart from what only browsers read."""
    return "username" in re.sub(r'(autocomplete|name)="[^"]*"', "", text).lower()


def register(client, **changes):
    return client.post("/auth/register", data=EVE | changes, follow_redirects=True)


def test_an_account_is_registered_confirmed_and_used_by_its_address(client, outbox):
    assert 'name="username"' not in client.get("/auth/register").text
    assert register(client).request.path == "/auth/unconfirmed"
    page = client.get(outbox.link(), follow_redirects=True)
    assert "<h1>Hello!</h1>" in page.text
    assert "You're logged in as <bdi>eve@example.com</bdi>." in page.text
    client.post("/auth/logout")
    form = client.get("/auth/login").text
    assert re.search(r'<label[^>]*>Email address</label>\s*<input[^>]* name="login" type="email"', form)
    page = client.post("/auth/login", data={"login": "EVE@example.com", "password": PASSWORD}, follow_redirects=True)
    assert "logged in as <bdi>eve@example.com</bdi>" in page.text
    assert outbox()[0].body.startswith("Hello,\n")


def test_the_name_behind_an_account_is_random_and_logs_nobody_in(client, outbox, ada):
    """Accounts that had a username before it was turned off keep it, in case it is turned on again."""
    register(client)
    client.post("/auth/logout")
    eve = User.find("eve@example.com")
    assert re.fullmatch(r"user-[0-9a-f]{16}", eve.username)
    for name in (eve.username, "ada"):
        page = client.post("/auth/login", data={"login": name, "password": PASSWORD})
        assert (page.status_code, "Incorrect email address or password." in page.text) == (422, True)
        assert User.find(name) is None


@pytest.mark.parametrize(
    ("path", "fields", "error"),
    [
        ("/auth/login", {"login": "", "password": PASSWORD}, "Enter your email address."),
        ("/auth/login", {"login": "ada@example.com", "password": "no"}, "Incorrect email address or password."),
        ("/auth/register", EVE | {"email": "ada@example.com"}, "This address is already registered."),
        ("/auth/register", EVE | {"password": "eve@example.com", "confirm_password": "eve@example.com"}, "easy to"),
    ],
)
def test_forms_name_each_error_without_a_username(client, ada, path, fields, error):
    page = client.post(path, data=fields)
    assert (page.status_code, error in page.text, mentions(page.text)) == (422, True, False)
    assert client.post(path, data=fields, headers=JSON).status_code == 422


def test_no_page_mentions_a_username(app, client, another_client, ada):
    client.log_in(ada)
    for browser in (client, another_client):
        for _, address in addresses(app, "GET"):
            with browser.get(address) as page:
                assert page.mimetype != "text/html" or not mentions(page.text), address
    for path in ("/auth/change-username", "/auth/change-password"):
        with client.get(path) as page:
            assert page.status_code == (404 if "username" in path else 200)
    form = client.get("/auth/change-password").text
    assert (
        '<input class="visually-hidden" type="text" name="username" autocomplete="username" value="ada@example.com"'
        in form
    )


@pytest.mark.parametrize("name", Email)
def test_no_email_mentions_a_username(app, ada, outbox, name):
    send_whole(name, ada)
    [email] = outbox()
    assert not mentions(email.subject + email.body + email.html)
    assert "Hello ada" not in email.body


def test_commands_take_and_show_the_address(app, flask, ada, bob):
    result = flask("users", "list")
    assert [line.split() for line in result.stdout.splitlines()] == [
        ["ada@example.com", "confirmed"],
        ["bob@example.com", "not", "confirmed"],
    ]
    assert flask("users", "show", "ada").exit_code == 1
    shown = flask("users", "show", "ada@example.com").stdout
    assert shown.startswith(f"Id         {ada.id}\nEmail      ada@example.com\n")
    assert json.loads(flask("users", "show", "ada@example.com", "--json").stdout).keys().isdisjoint({"username"})
    assert "ada@example.com can log in." in flask("users", "why", "ada@example.com").stdout
    assert flask("users", "delete", "bob@example.com", "--now", "--yes").stdout == "Deleted bob@example.com.\n"
    for group in (app.cli, app.cli.commands["users"]):
        for name, command in group.commands.items():
            arguments = ["users", name] if group is not app.cli else [name]
            assert "username" not in flask(*arguments, "--help").stdout.lower(), command


@pytest.mark.parametrize(
    ("arguments", "typed", "stdout"),
    [
        (["--email", "eve@example.com", "--no-input"], None, "Created the account eve@example.com.\n"),
        (["--email", "eve@example.com", "--password-stdin"], PASSWORD, "Created the account eve@example.com.\n"),
        ([], f"eve@example.com\n{PASSWORD}\n{PASSWORD}\n", "Created the account eve@example.com.\n"),
    ],
)
def test_users_create_asks_for_no_username(flask, arguments, typed, stdout):
    result = flask("users", "create", *arguments, typed=typed)
    assert result.stdout.endswith(stdout)
    assert "username" not in result.output.lower()
    assert User.find("eve@example.com").username.startswith("user-")


def test_users_create_says_what_is_missing_or_taken(flask, ada):
    taken = flask("users", "create", "--email", "ADA@example.com", "--no-input")
    assert taken.stderr.endswith("Error: This email address is already in use.\n")
    assert "--no-input needs --email.\n" in flask("users", "create", "--no-input").stderr
    assert "--password-stdin needs --email.\n" in flask("users", "create", "--password-stdin").stderr
    assert "Give --email, and the password by" in flask("users", "create", typed="").stderr
    assert "No such option '--username'" in flask("users", "create", "--username", "eve").stderr


def test_an_import_needs_no_usernames_and_ignores_those_of_the_file(flask, ada, tmp_path):
    file = tmp_path / "users.csv"
    file.write_text("email,username\neve@example.com,ada\nbob@example.com,\nada@example.com,eve\n")
    result = flask("users", "import", str(file))
    assert result.stdout.startswith("line 4: ada@example.com belongs to the account ada@example.com\nImported: 2.")
    assert {user.username[:5] for user in db.session.scalars(db.select(User)) if user != ada} == {"user-"}


def test_the_export_has_no_username(client, ada, flask):
    client.log_in(ada)
    assert "Your profile and email address" in client.get("/auth/export").text
    [row] = json.loads(flask("users", "export", "ada@example.com").stdout)["users"]
    assert (row["email"], "username" in row, "username_key" in row) == ("ada@example.com", False, False)


def test_a_reset_that_first_proves_the_address_leads_to_no_username(client, bob, outbox):
    client.post("/auth/reset", data={"email": bob.email})
    new = {"password": PASSWORD, "confirm_password": PASSWORD}
    page = client.post(outbox.link(), data=new, follow_redirects=True)
    assert page.request.full_path == "/auth/login?"
    assert "Your email address is confirmed." in page.text
    assert not mentions(page.text)


def test_an_sso_account_is_welcomed_without_a_name(client, acme):
    page = told(client, travel(client, acme, **SSO_EVE))
    assert "Welcome." in page
    assert not mentions(page)
    assert User.find("eve@example.com").username.startswith("user-")


def test_an_account_that_sso_takes_over_leads_to_the_requested_page(client, bob, acme):
    answer = travel(client, acme, **SSO_EVE | {"email": "bob@example.com"})
    assert answer.location == "/"
    assert "Your email address is confirmed." in told(client, answer)


def test_a_passkey_shows_the_address(client, ada):
    client.log_in(ada)
    user = client.post(MAKE).json["user"]
    assert (user["name"], user["displayName"]) == ("ada@example.com", "ada@example.com")


@pytest.mark.parametrize("settings", [{"USERNAMES": "off", "PREVENT_ENUMERATION": True}])
def test_concealed_registration_answers_alike_without_a_username(client, another_client, ada, outbox):
    pages = [register(client), register(another_client, email="ada@example.com")]
    assert pages[0].text.replace("eve@", "ada@") == pages[1].text
    first, second = outbox()
    assert (first.subject, second.subject) == (
        "Confirm your email address for Flasky",
        "You already have a Flasky account",
    )
    page = client.post(outbox.link(0), data={"password": PASSWORD}, follow_redirects=True)
    assert "logged in as <bdi>eve@example.com</bdi>" in page.text


def test_two_registrations_of_an_address_at_once_create_one_account(client, another_client, monkeypatch):
    """The second one's form was valid, and the address is taken when it writes."""
    is_taken, asked = registration.is_taken, []

    def find_it_free_at_first(email, user=None):
        asked.append(email)
        if len(asked) > 1:
            return is_taken(email, user)
        assert register(another_client).request.path == "/auth/unconfirmed"
        return False

    monkeypatch.setattr(registration, "is_taken", find_it_free_at_first)
    page = register(client)
    assert (page.status_code, "already registered" in page.text, mentions(page.text)) == (422, True, False)


@pytest.mark.parametrize("settings", [{"USERNAMES": "required"}])
def test_users_change_their_random_name_once_usernames_are_on_again(app, client, ada):
    ada.username = "user-0123456789abcdef"
    db.session.commit()
    client.log_in(ada)
    assert client.post("/auth/change-username", data={"username": "ada"}).location == "/account"
    assert ada.username == "ada"

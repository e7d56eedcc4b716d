"""Registration, and the confirmation of the email address by a link."""

import re

import pytest
from sqlalchemy import select
from support.clients import PASSWORD, on_sqlite, without_tokens
from support.concurrency import at_once
from support.records import count, has_happened, history
from support.registration import FORM, lose_the_username

from app.accounts import registration, sso
from app.extensions import db
from app.models import OutboxEmail, User, UserSession
from app.security.oidc import Claims
from settings.providers import Provider


def test_register_confirm_log_out_and_log_in(client, outbox):
    page = client.post("/auth/register", data=FORM, follow_redirects=True)
    assert page.request.path == "/auth/unconfirmed"
    assert "We sent a link and a code to <strong><bdi>eve@example.com</bdi></strong>" in page.text

    assert outbox()[0].recipients == ["eve@example.com"]
    page = client.get(outbox.link(), follow_redirects=True)
    assert "Your email address is confirmed" in page.text
    assert "Hello, <bdi>eve</bdi>!" in page.text

    assert "You have been logged out." in client.post("/auth/logout", follow_redirects=True).text
    assert "Welcome to Flasky" in client.get("/").text
    login = {"login": "EVE@example.com", "password": PASSWORD}
    assert "Hello, <bdi>eve</bdi>!" in client.post("/auth/login", data=login, follow_redirects=True).text
    assert history() == ["registered", "logged_in", "confirmed", "logged_out", "logged_in"]


@on_sqlite
@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("email", "", "Enter your email address."),
        ("email", "eve", "must have an @-sign"),
        ("email", "eve@localhost", "must have a period"),
        ("email", "a@example.com, b@example.com", "valid email address"),
        ("email", "x" * 65 + "@example.com", "at most 64 characters"),
        ("email", "é@example.com", "valid email address"),
        ("email", "ADA@example.com", "already registered"),
        ("username", "", "Choose a username."),
        *(("username", name, "starting with a-z") for name in ("1eve", "eve eve", "evé", "eve\neve")),
        ("username", "e" * 65, "at most 64"),
        *(("username", name, "reserved") for name in ("Admin", "FLASKY")),
        ("username", "Ada", "already taken"),
        ("username", "e\0ve", "used here"),
        ("password", "", "Choose a password."),
        ("password", "short77", "at least 8 characters"),
        ("password", "x" * 1025, "at most 1024"),
        *(
            ("password", text, "easy to guess")
            for text in ("password1", "eveeveeveeve", "eve@example.com", "elpmaxeeve", "Flasky2026")
        ),
        ("password", PASSWORD + "\0", "used here"),
        ("confirm_password", "something else", "don&#39;t match"),
    ],
)
def test_registration_form_names_each_error_beside_its_field(client, ada, outbox, field, value, error):
    form = FORM | {field: value}
    if field == "password":
        form["confirm_password"] = value
    page = client.post("/auth/register", data=form)
    assert page.status_code == 422
    assert error in page.text.partition(f'id="{field}-help"')[2].partition("</div>")[0]
    kept = {name for name in ("email", "username") if name != field}
    assert all(f'value="{form[name]}"' in page.text for name in kept)
    assert form["password"] not in page.text or not form["password"] or "eve" in form["password"]
    assert (count(User), outbox()) == (1, [])


@pytest.mark.parametrize("password", ["        ~y x", "✉☃🎈🎈☃✉💡q", ("x 7 fF" * 171)[:1024]])
def test_password_may_have_any_characters(client, outbox, password):
    form = FORM | {"password": password, "confirm_password": password}
    assert client.post("/auth/register", data=form).status_code == 302
    client.post("/auth/logout")
    assert client.post("/auth/login", data={"login": "eve", "password": password}).status_code == 302
    assert client.get("/auth/login").status_code == 302


def test_registration_form_shows_all_errors_and_focuses_the_first(client):
    page = client.post("/auth/register", data={"email": "eve@example.com", "username": "", "password": "x"})
    assert page.text.count("is-invalid") == 3
    [focused] = re.findall(r"<input[^>]* autofocus[^>]*>", page.text)
    assert ' id="username"' in focused


def test_email_address_is_stored_in_one_form(client, outbox):
    client.post("/auth/register", data=FORM | {"email": "Eve@BÜCHER.example"})
    user = db.session.scalar(select(User))
    assert (user.email, user.email_key) == ("Eve@bücher.example", "eve@xn--bcher-kva.example")
    assert outbox()[0].recipients == ["Eve@xn--bcher-kva.example"]
    assert User.find("eve@xn--bcher-kva.EXAMPLE") is user


def test_registration_ignores_extra_fields(client):
    client.post("/auth/register", data=FORM | {"is_admin": "1", "confirmed": "1", "id": "77"})
    user = db.session.scalar(select(User))
    assert (user.is_admin, user.confirmed, user.id) == (False, False, 1)


def test_username_registered_in_the_meantime_is_a_form_error(client, another_client, monkeypatch):
    lose_the_username(client, another_client, monkeypatch)
    assert (count(User), count(OutboxEmail), count(UserSession)) == (1, 1, 1)


@pytest.mark.parametrize("by_passkey", [{}, {"by_passkey": "y"}], ids=["by password", "by passkey"])
def test_twenty_registrations_at_once_create_one_account(app, by_passkey):
    def register(number):
        form = FORM | by_passkey | {"username": f"eve{number % 2 * '2'}", "email": f"{'eE'[number % 2]}ve@example.com"}
        return app.test_client().post("/auth/register", data=form).status_code

    assert sorted(at_once(register, range(20))) == [302] + [422] * 19
    assert (count(User), count(OutboxEmail)) == (1, 1)


@pytest.mark.parametrize("settings", [{"REGISTRATION_OPEN": False}])
@pytest.mark.parametrize("by_passkey", [{}, {"by_passkey": "y"}], ids=["by password", "by passkey"])
def test_registration_can_be_closed(client, by_passkey):
    page = client.get("/auth/register", follow_redirects=True)
    assert "Registration is closed" in page.text
    assert "/auth/register" not in page.text
    assert "Create an account" not in client.get("/").text
    client.post("/auth/register", data=FORM | by_passkey)
    assert count(User) == 0


def test_confirm_link_in_another_browser_asks_for_a_login_and_then_confirms(client, bob, outbox):
    client.log_in(bob)
    client.post("/auth/confirm")
    client.post("/auth/logout")
    asked = client.get(outbox.link(), follow_redirects=True)
    assert asked.request.path == "/auth/login"
    assert "token" not in asked.request.url
    assert outbox.link() not in asked.request.url
    assert not bob.confirmed
    page = client.post("/auth/login", data={"login": "bob", "password": PASSWORD}, follow_redirects=True)
    assert "Your email address is confirmed" in page.text
    assert bob.confirmed


def test_used_confirm_link_redirects_its_user_home(client, bob, outbox, clock):
    client.log_in(bob)
    client.post("/auth/confirm")
    client.get(outbox.link())
    page = client.get(outbox.link(), follow_redirects=True)
    assert (page.status_code, page.request.path) == (200, "/")
    assert "Your email address is already confirmed" in page.text
    clock.move(hours=2)
    assert client.get(outbox.link()).location == "/", "expired, too"


def test_invalid_confirm_links_show_the_same_page(client, another_client, ada, bob, outbox, clock):
    client.log_in(bob)
    client.post("/auth/confirm")
    link = outbox.link()
    another_client.log_in(ada)
    pages = [another_client.get(link), another_client.get("/auth/confirm/abc")]  # of another user; forged
    clock.move(minutes=61)
    pages.append(another_client.get(link))  # expired
    assert "Email me a new link" in client.get(link).text
    assert not bob.confirmed
    clock.move(minutes=-1, seconds=-1)
    assert client.get(link).location == "/", "it works for an hour"
    pages.append(another_client.get(link))  # used: it does not tell that another user confirmed
    assert {page.status_code for page in pages} == {410}
    assert len({without_tokens(page) for page in pages}) == 1


def test_expired_confirm_link_does_not_ask_for_a_login(client, another_client, bob, outbox, clock):
    client.log_in(bob)
    client.post("/auth/confirm")
    link = outbox.link()
    clock.move(minutes=61)
    assert another_client.get(link).status_code == 410  # expired
    clock.move(minutes=-61)
    assert another_client.get(link).status_code == 302
    client.get(link)
    assert another_client.get(link).status_code == 410  # used


def test_confirmed_user_gets_no_confirmation_email(client, bob, outbox):
    client.log_in(bob)
    bob.confirmed = True
    db.session.commit()
    client.post("/auth/confirm")
    assert outbox() == []


def test_head_request_confirms_nothing(client, bob, outbox):
    client.log_in(bob)
    client.post("/auth/confirm")
    client.head(outbox.link())
    assert not bob.confirmed


def test_ten_uses_of_a_confirm_link_at_once_confirm_once(app, bob, outbox):
    browsers = [app.test_client() for _ in range(10)]
    for browser in browsers:
        browser.log_in(bob)
    browsers[0].post("/auth/confirm")
    link = outbox.link()
    assert set(at_once(lambda browser: browser.get(link).status_code, browsers)) <= {302, 410}
    assert has_happened("confirmed") == 1


def test_unconfirmed_page_says_that_the_mail_server_refused_the_email(client, outbox):
    client.post("/auth/register", data=FORM)
    email = db.session.scalar(select(OutboxEmail))
    email.done("failed", "550 5.1.1 <eve@example.com>: no such user")
    db.session.commit()
    page = client.get("/auth/unconfirmed").text
    assert "its mail server refused the message" in page
    assert "550 5.1.1 &lt;eve@example.com&gt;: no such user" in page


def test_unconfirmed_page_says_that_the_email_is_delayed(client, outbox):
    client.post("/auth/register", data=FORM)
    assert "is delayed" not in client.get("/auth/unconfirmed").text
    OutboxEmail.claim().retry_later("451 later")
    db.session.commit()
    page = client.get("/auth/unconfirmed").text
    assert "is delayed" in page
    assert "451" not in page


def test_confirmation_can_be_resent_once_a_minute(client, outbox, clock):
    client.post("/auth/register", data=FORM)
    clock.move(seconds=18)
    assert "in 42 seconds" in client.get("/auth/unconfirmed").text
    client.post("/auth/confirm")
    clock.move(seconds=41, milliseconds=600)
    assert "another email in 1 second." in client.post("/auth/confirm", follow_redirects=True).text
    assert len(outbox()) == 1
    clock.move(milliseconds=400)
    page = client.post("/auth/confirm", follow_redirects=True)
    assert "We sent another email" in page.text
    assert len(outbox()) == 2


def test_confirmation_can_be_resent_five_times_in_six_hours(client, bob, outbox, clock):
    client.log_in(bob)
    for _ in range(100):
        client.post("/auth/confirm")
        clock.move(minutes=2)
    assert len(outbox()) == 5
    assert "in 3 hours" in client.get("/auth/unconfirmed").text
    clock.move(hours=2, minutes=40)
    client.post("/auth/confirm")
    assert len(outbox()) == 6


def test_twenty_requests_to_resend_at_once_send_one_email(app, bob, outbox):
    browsers = [app.test_client() for _ in range(20)]
    for browser in browsers:
        browser.log_in(bob)
    at_once(lambda browser: browser.post("/auth/confirm"), browsers)
    assert len(outbox()) == 1


def test_resending_requires_a_login(client):
    assert client.post("/auth/confirm").location == "/auth/login"


BY_PASSKEY = {"email": "eve@example.com", "username": "eve", "by_passkey": "y"}


def test_registration_without_a_password_leads_to_passkeys_after_confirming(client, outbox):
    page = client.post("/auth/register", data=BY_PASSKEY, follow_redirects=True)
    assert page.request.path == "/auth/unconfirmed"
    assert "Confirm your email address first, then add a passkey." in page.text
    eve = User.find("eve")
    assert (eve.password_hash, eve.confirmed) == (None, False)
    [email] = outbox()
    assert email.subject.startswith("Confirm your email address for Flasky")
    page = client.get(outbox.link(), follow_redirects=True)
    assert page.request.path == "/auth/passkeys"
    assert "Your email address is confirmed" in page.text


def test_registration_without_a_password_does_not_log_in_to_an_account_that_exists(client, ada, outbox):
    for taken in ({"email": "ADA@example.com"}, {"username": "Ada"}):
        page = client.post("/auth/register", data=BY_PASSKEY | taken)
        assert page.status_code == 422
        assert 'name="password"' not in page.text
        assert 'name="by_passkey"' in page.text
    assert client.get("/account").status_code == 302
    assert count(User) == 1


@pytest.mark.parametrize("settings", [{"PREVENT_ENUMERATION": True}])
def test_concealed_registration_requires_a_password(client):
    assert "by_passkey" not in client.get("/auth/register").text
    page = client.post("/auth/register", data=BY_PASSKEY)
    assert (page.status_code, count(User)) == (422, 0)
    assert "Choose a password." in page.text


ELSEWHERE = r"""
=?utf-8?q?att=40evil.example=3e?=@bank.example =?utf-8?q?att=40evil.example=3e=00?=foo@bank.example
x=?iso-8859-1?b?YUBiLmV4YW1wbGU=?=@bank.example =?x?q?=41=42?=collab=?x?q?=40?=@bank.example
=?utf-7?q?&AGYAbwBvAGIAYQBy-?=@bank.example =??=@bank.example "=?utf-8?q?a?="@bank.example
"att@evil.example"@bank.example @evil.example:ada@bank.example <ada@evil.example>@bank.example
ada@evil.example@bank.example ada%evil.example@bank.example evil.example!ada@bank.example
ada(comment)@bank.example ada\@evil.example@bank.example ada@[192.0.2.1]
""".split()
ELSEWHERE += ['"a b"@bank.example', "Ada <ada@bank.example>"]
LOCAL_PARTS = (
    """
!#$%&'*+-/=?^_`{|}~ o'neil+garden=spring 100% a=?b a?=b bounce+ada=bank.example
""".split()
    + [f"a{character}b" for character in "!#$%&'*+-/=?^_`{|}~."]
)


@on_sqlite
@pytest.mark.parametrize("address", ELSEWHERE)
def test_email_address_with_another_host_inside_is_refused_by_every_form(app, client, ada, outbox, address):
    form = {"email": address}
    pages = [client.post("/auth/register", data=FORM | form)]
    pages += [client.post(f"/auth/{page}", data=form) for page in ("reset", "magic-link")]
    client.log_in(ada)
    pages.append(client.post("/auth/change-email", data=form | {"password": PASSWORD}))
    assert [page.status_code for page in pages] == [422] * 4
    created = app.test_cli_runner().invoke(
        args=["users", "create", "--email", address, "--username", "eve"], input="\n"
    )
    assert created.exit_code == 1
    assert outbox() == []
    provider = Provider("x", "X", "https://issuer.example", "an id", "a secret")
    assert sso.from_claims(provider, Claims(provider.issuer, "1", email=address, is_verified=True)).email is None


@pytest.mark.parametrize("local_part", LOCAL_PARTS)
def test_email_address_keeps_ordinary_characters(local_part):
    assert registration.normal_email(f"{local_part}@example.com") == f"{local_part}@example.com"

"""CONFIRMATION: required (the tests of registration), later (where a view asks for it), or off."""

import re

import pytest
from flask import Blueprint
from flask_login import current_user, login_required
from support.clients import JSON, PASSWORD
from support.emails import code_in
from support.records import has_happened, history
from support.registration import FORM
from support.routes import addresses
from support.sso import told, travel

from app.accounts import cleanup
from app.auth.access import confirmation_required
from app.extensions import db
from app.models import EmailChange, User
from app.signals import user_confirmed

LATER = pytest.mark.parametrize("settings", [{"CONFIRMATION": "later"}])
OFF = pytest.mark.parametrize("settings", [{"CONFIRMATION": "off"}])
NOT_REQUIRED = pytest.mark.parametrize("settings", [{"CONFIRMATION": "later"}, {"CONFIRMATION": "off"}])
BANNER = "<bdi>eve@example.com</bdi> isn't confirmed yet."


@pytest.fixture
def shop(own_app, app):
    """Pages of an application: anyone with an account looks, only people with a confirmed address pay."""
    bp = Blueprint("a_test_shop", "shop")

    @bp.route("/a-test-shop")
    @login_required
    def look():
        return f"{current_user.email} looks"

    @bp.route("/a-test-shop/pay", methods=["GET", "POST"])
    @confirmation_required
    def pay():
        return f"{current_user.email} pays"

    app.register_blueprint(bp)


@pytest.fixture
def confirmed(app):
    """The addresses of users whose signal was sent."""
    found = []

    def keep(_, user, **__):
        found.append(user.email)

    with user_confirmed.connected_to(keep, app):
        yield found


def register(client, **changes):
    return client.post("/auth/register", data=FORM | changes, follow_redirects=True)


def eve():
    return User.find("eve@example.com")


@LATER
def test_users_confirm_later_and_only_where_a_view_asks(client, outbox, shop, confirmed):
    page = register(client)
    assert (page.request.path, "Hello, <bdi>eve</bdi>!" in page.text, BANNER in page.text) == ("/", True, True)
    assert client.get("/a-test-shop").text == "eve@example.com looks"
    page = client.get("/a-test-shop/pay?cart=1", follow_redirects=True)
    assert page.request.path == "/auth/unconfirmed"
    assert "Confirm your email address first." in page.text
    assert BANNER not in page.text
    assert not eve().confirmed
    assert confirmed == []
    answer = client.post("/auth/unconfirmed", data={"code": code_in(outbox()[0])})
    assert answer.location == "/a-test-shop/pay?cart=1"
    assert client.get(answer.location).text == "eve@example.com pays"
    assert (eve().confirmed, confirmed) == (True, ["eve@example.com"])
    assert BANNER not in client.get("/").text


@LATER
def test_the_emailed_link_confirms_later_and_leads_back(client, outbox, shop):
    register(client)
    client.get("/a-test-shop/pay")
    assert client.get(outbox.link()).location == "/a-test-shop/pay"
    assert eve().confirmed


@LATER
def test_a_view_that_asks_for_confirmation_answers_visitors_posts_and_scripts(client, another_client, shop):
    assert client.get("/a-test-shop/pay").location == "/auth/login?next=/a-test-shop/pay"
    register(client)
    assert client.post("/a-test-shop/pay").location == "/auth/unconfirmed"
    assert client.get("/a-test-shop/pay", headers=JSON).status_code == 403


@OFF
def test_a_view_that_asks_for_confirmation_is_open_if_it_is_off(client, another_client, outbox, shop):
    register(client)
    assert client.get("/a-test-shop/pay").text == "eve@example.com pays"
    assert another_client.get("/a-test-shop/pay").location == "/auth/login?next=/a-test-shop/pay"


def test_a_view_that_asks_for_confirmation_is_closed_like_the_others_if_it_is_required(own_app, client, shop, bob):
    client.log_in(bob)
    assert client.get("/a-test-shop/pay").location == "/auth/unconfirmed"


@NOT_REQUIRED
def test_unconfirmed_users_reach_all_pages(app, client, bob):
    client.log_in(bob)
    for endpoint, address in addresses(app, "GET"):
        with client.get(address) as page:
            assert page.location != "/auth/unconfirmed", endpoint


@OFF
def test_nothing_asks_to_confirm_if_it_is_off(app, client, another_client, flask, bob, outbox):
    assert BANNER not in register(another_client).text
    assert not eve().confirmed
    client.log_in(bob)
    for browser in (client, another_client, app.test_client()):
        for _, address in addresses(app, "GET"):
            with browser.get(address) as page:
                asks = page.mimetype == "text/html" and re.search(
                    "confirm (my|your|the) email|unconfirmed", page.text, re.I
                )
                assert not asks, address
    assert outbox() == []
    assert not [endpoint for endpoint, _ in addresses(app, "GET") if "confirm" in endpoint]
    assert "No such command 'confirm'" in flask("users", "confirm", "bob").stderr
    assert "onfirm" not in flask("users", "list").stdout + flask("users", "show", "bob").stdout
    assert "onfirm" not in flask("users", "why", "bob").stdout


@NOT_REQUIRED
def test_an_unconfirmed_account_is_no_reason_why_a_user_cannot_log_in(flask, bob):
    assert flask("users", "why", "bob").stdout.startswith("bob can log in.")


@pytest.mark.parametrize("settings", [{"CONFIRMATION": word} for word in ("required", "later", "off")])
def test_cleanup_deletes_unconfirmed_accounts_only_where_confirmation_is_required(app, bob, clock):
    clock.move(days=8)
    cleanup.run("unconfirmed_accounts")
    assert (User.find("bob") is None) is (app.config["CONFIRMATION"] == "required")


def test_cleanup_keeps_an_unconfirmed_account_in_use_which_confirmation_later_may_have_allowed(client, bob, clock):
    clock.move(days=8)
    client.log_in(bob)
    clock.move(days=7, microseconds=-1)
    cleanup.run("unconfirmed_accounts")
    assert User.find("bob")
    clock.move(days=1)
    cleanup.run("unconfirmed_accounts")
    assert User.find("bob") is None


@NOT_REQUIRED
def test_registration_with_a_passkey_leads_to_the_passkeys_at_once(client):
    form = {name: value for name, value in FORM.items() if "password" not in name}
    page = client.post("/auth/register", data=form | {"by_passkey": "y"}, follow_redirects=True)
    assert page.request.path == "/auth/passkeys"
    assert "Now add a passkey." in page.text


@NOT_REQUIRED
def test_security_emails_reach_an_unconfirmed_address_without_its_ip_address(client, another_client, bob, outbox):
    client.log_in(bob)
    another_client.log_in(bob)
    [email] = outbox()
    assert (email.subject, email.recipients) == ("New login to your Flasky account", ["bob@example.com"])
    assert "IP address" not in email.body + email.html
    client.post("/auth/delete", data={"email": "bob@example.com"})
    assert "will be deleted" in outbox()[-1].subject
    assert "This wasn't me" in outbox()[-1].body


@NOT_REQUIRED
@pytest.mark.parametrize("way", ["reset", "magic-link"])
def test_the_first_proof_of_an_address_still_clears_what_another_person_set_up(
    client, another_client, bob, outbox, confirmed, way
):
    """Anyone can register with the address of another person and use the account. Its owner gets it, and alone."""
    client.log_in(bob)
    another_client.post(f"/auth/{way}", data={"email": bob.email})
    another_client.post(outbox.link(), data={"password": PASSWORD + "!", "confirm_password": PASSWORD + "!"})
    assert client.get("/account").location.startswith("/auth/login")
    assert not bob.verify_password(PASSWORD)
    assert (bob.confirmed, has_happened("email_ownership_proved"), confirmed) == (True, True, [bob.email])


@NOT_REQUIRED
def test_sso_with_a_verified_address_still_clears_what_another_person_set_up(app, client, another_client, bob, issuer):
    app.config["OIDC_PROVIDERS"] = {"acme": issuer.provider()}
    another_client.log_in(bob)
    travel(client, issuer, sub="bob", email="bob@example.com")
    assert (bob.password_hash, bob.confirmed) == (None, True)
    assert another_client.get("/account").location.startswith("/auth/login")


@NOT_REQUIRED
def test_sso_with_an_unverified_address_leads_to_the_application(app, client, outbox, issuer):
    app.config["OIDC_PROVIDERS"] = {"acme": issuer.provider()}
    page = told(client, travel(client, issuer, sub="eve", email=None))
    assert ("email you a link to confirm it" in page) is (app.config["CONFIRMATION"] == "later")
    page = client.post("/auth/sso/acme/address", data={"email": "eve@example.com"}, follow_redirects=True)
    assert (page.request.path, "Welcome" in page.text, eve().confirmed) == ("/", True, False)
    assert len(outbox()) == (app.config["CONFIRMATION"] == "later")


@NOT_REQUIRED
def test_a_new_address_confirms_the_account_and_the_unproved_old_one_has_no_way_back(
    client, another_client, bob, outbox, confirmed
):
    client.log_in(bob)
    client.post("/auth/change-email", data={"email": "bobby@example.com", "password": PASSWORD})
    link = outbox.link([email.recipients[0] for email in outbox()].index("bobby@example.com"))
    client.get(link)
    assert (bob.email, bob.confirmed, confirmed) == ("bobby@example.com", True, ["bobby@example.com"])
    notice = outbox()[-1]
    assert (notice.recipients, notice.subject) == (
        ["bob@example.com"],
        "This email address was removed from a Flasky account",
    )
    assert "http" not in notice.body
    assert "IP address" not in notice.body
    assert db.session.query(EmailChange).count() == 0
    assert register(another_client, email="bob@example.com", username="other").status_code == 200
    assert history().count("confirmed") == 1


@NOT_REQUIRED
def test_this_wasnt_me_at_an_unconfirmed_address_proves_it(client, another_client, bob, outbox, confirmed):
    client.log_in(bob)
    another_client.log_in(bob)
    page = another_client.post(outbox.link(), data={"password": PASSWORD + "!", "confirm_password": PASSWORD + "!"})
    assert page.location == "/auth/login"
    assert (bob.confirmed, has_happened("email_ownership_proved"), confirmed) == (True, True, [bob.email])
    assert client.get("/account").location.startswith("/auth/login")


@LATER
def test_the_confirmation_email_says_nothing_about_an_account_that_cannot_be_used(client, outbox):
    register(client)
    assert outbox()[0].body.startswith("Hello,\n\nConfirm your email address for your Flasky account.")
    assert "Nobody can use" not in outbox()[0].body


@NOT_REQUIRED
def test_a_user_without_a_password_corrects_a_mistyped_address_after_reauthentication(client, outbox, clock):
    form = {name: value for name, value in FORM.items() if "password" not in name}
    client.post("/auth/register", data=form | {"by_passkey": "y"})
    page = client.get("/auth/change-email").text
    assert ('name="email"' in page, 'name="code"' in page, "send_code" in page) == (True, False, False)
    clock.move(hours=1)
    new = {"email": "eva@example.com"}
    assert client.get("/auth/change-email").location == "/auth/reauthenticate"
    assert "Confirm it" in client.post("/auth/change-email", data=new).text
    assert "eva@example.com" not in {email.recipients[0] for email in outbox()}
    clock.move(hours=-1)
    assert client.post("/auth/change-email", data=new).location == "/auth/email-sent"
    client.get(outbox.link([email.recipients[0] for email in outbox()].index("eva@example.com")))
    assert User.find("eva@example.com").confirmed

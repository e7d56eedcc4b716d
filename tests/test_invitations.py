"""Invitations: who is invited by whom and to what, what the link leads to, and when it no longer works."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select, update
from support.clients import PASSWORD, on_sqlite
from support.pages import is_logged_in
from support.records import history, rows
from support.sso import START, set_out, travel

from app.accounts import administration, blocks, invitations
from app.extensions import db
from app.models import AuditAction, Identity, Invitation, OAuthState, OutboxEmail, Role, User
from app.models.role import ADMINISTRATOR

EVE = "Eve@example.com"
FORM = {"username": "eve", "password": PASSWORD, "confirm_password": PASSWORD}
CLOSED, OPEN = {"REGISTRATION_OPEN": False}, {"REGISTRATION_OPEN": True}


@pytest.fixture
def settings(more):
    return CLOSED | more


@pytest.fixture
def invite(app, outbox):
    """Invite an address, and return the link of the email."""

    def send(email=EVE, role="user", by=None):
        invitations.send(email, role, by)
        db.session.commit()
        return outbox.link()

    return send


@pytest.fixture
def boss(ada):
    ada.role = db.session.get(Role, ADMINISTRATOR)
    db.session.commit()
    return ada


def is_over(browser, link):
    answers = [browser.get(link), browser.post(link, data=FORM)]
    return [answer.status_code for answer in answers] == [410, 410]


def eve():
    db.session.rollback()
    return User.find(EVE)


# The email and the page


def test_an_invitation_leads_to_a_confirmed_account_where_registration_is_closed(client, boss, invite, outbox):
    link = invite(by=boss)
    [email] = outbox()
    assert (email.subject, email.recipients) == ("You're invited to Flasky", [EVE])
    assert "ada invited you to create an account at Flasky." in email.body
    before = rows()
    page = client.get(link)
    assert ("<strong><bdi>ada</bdi></strong> invited you" in page.text, page.status_code) == (True, 200)
    assert 'name="robots" content="noindex"' in page.text
    assert rows() == before, "GET changes nothing"
    assert client.post(link, data=FORM | {"email": "mallory@example.com"}).location == "/"
    assert is_logged_in(client)
    assert (eve().email, eve().confirmed, eve().role_name) == (EVE, True, "user")
    assert db.session.scalars(select(User)).all() == [boss, eve()], "the address is fixed"
    assert set(history()) >= {"invited", "registered", "invitation_accepted"}
    assert len(outbox()) == 1, "nothing is left to confirm"
    assert client.get(link).location == "/", "a second click of the same person"


def test_an_invitation_from_the_command_line_names_administrators_and_the_role(flask, client, outbox):
    result = flask("users", "invite", EVE, "--role", "moderator")
    assert result.stdout == f"An invitation is on its way to {EVE}. To undo: flask users withdraw {EVE}\n"
    assert "An administrator invited you" in outbox()[0].body
    page = client.get(outbox.link()).text
    assert "<strong><bdi>An administrator</bdi></strong> invited you" in page
    assert "with the role <strong>Moderator</strong>" in page
    client.post(outbox.link(), data=FORM)
    assert eve().role_name == "moderator"


def test_the_form_says_what_is_wrong_and_the_invitation_can_still_be_used(client, another_client, ada, invite):
    link = invite()
    page = client.post(link, data=FORM | {"username": "ada", "email": "mallory@example.com"})
    assert (page.status_code, EVE in page.text, "mallory" in page.text) == (422, True, False)
    assert "This username is already taken." in page.text
    assert "<strong><bdi>An administrator</bdi></strong> invited you" in page.text
    assert another_client.post(link, data=FORM).location == "/"


def test_a_passkey_can_replace_the_password(client, invite):
    answer = client.post(invite(), data={"username": "eve", "by_passkey": "y"})
    assert answer.location == "/auth/passkeys"
    assert (eve().password_hash, eve().confirmed) == (None, True)


VARIANTS = {
    "registration is open": OPEN,
    "no usernames": {"USERNAMES": "off"},
    "no confirmation": {"CONFIRMATION": "off"},
    "confirmation later": {"CONFIRMATION": "later"},
    "a CAPTCHA": {"CAPTCHA": "altcha"},
    "accounts are concealed": {"PREVENT_ENUMERATION": True},
    "accounts are concealed, registration open": {"PREVENT_ENUMERATION": True} | OPEN,
    "no passwords": {"LOGIN_METHODS": ["magic_link"]},
}


@on_sqlite
@pytest.mark.parametrize("more", VARIANTS.values(), ids=VARIANTS)
def test_an_invitation_works_with_every_setting(app, client, invite):
    link = invite()
    assert client.get(link).status_code == 200
    assert client.post(link, data=FORM).location == "/"
    assert is_logged_in(client)
    assert eve().confirmed


# Who may invite whom


def test_an_address_with_an_account_and_a_blocked_one_are_not_invited(flask, ada, outbox):
    blocks.add("example.org", "spam")
    db.session.commit()
    for email, words in {
        "ADA@example.com": "ADA@example.com already belongs to an account.",
        "eve@example.org": "eve@example.org is blocked.",
        "nonsense": "must have an @",
    }.items():
        result = flask("users", "invite", email)
        assert (result.exit_code, words in result.stderr) == (1, True)
    assert "There is no role king." in flask("users", "invite", EVE, "--role", "king").stderr
    assert outbox() == []
    assert db.session.scalars(select(Invitation)).all() == []


def test_nobody_gives_permissions_that_they_lack(boss, bob):
    bob.role = db.session.get(Role, "moderator")
    with pytest.raises(ValueError, match="permissions that you don't have"):
        invitations.send(EVE, ADMINISTRATOR, by=bob)
    assert invitations.send(EVE, ADMINISTRATOR, by=boss).role_name == ADMINISTRATOR


def test_commands_list_and_withdraw(flask, client, invite, outbox):
    link = invite()
    [row] = [json.loads(line) for line in flask("users", "invitations", "--json").stdout.splitlines()]
    assert row.items() >= {"email": EVE, "state": "waiting", "role": "user", "by": None}.items()
    assert flask("users", "withdraw", "eve@EXAMPLE.com").stdout == "The invitation for eve@EXAMPLE.com is withdrawn.\n"
    assert flask("users", "withdraw", EVE).stdout == f"There is no invitation for {EVE}.\n"
    assert is_over(client, link)
    assert "withdrawn" in flask("users", "invitations").stdout


def test_a_withdrawn_invitation_is_not_emailed_any_more(flask, outbox):
    flask("users", "invite", EVE)
    flask("users", "withdraw", EVE)
    assert outbox() == []
    assert db.session.scalar(select(OutboxEmail)).status == "obsolete"


# When a link no longer works


def test_an_invitation_works_once(client, another_client, invite):
    link = invite()
    client.post(link, data=FORM)
    assert is_over(another_client, link)
    assert db.session.query(User).count() == 1


def test_an_invitation_expires_after_seven_days(client, invite, clock):
    link = invite()
    clock.move(days=6, hours=23)
    assert client.get(link).status_code == 200
    clock.move(hours=1)
    assert is_over(client, link)


def test_the_page_of_an_invalid_invitation_says_to_ask_for_a_new_one(client, invite, clock):
    link = invite()
    clock.move(days=7)
    page = client.get(link).text
    assert "Ask the person who invited you for a new one" in page
    assert "Reset my password" not in page
    assert "Reset my password" in client.get("/auth/reset/wrong").text


def test_a_second_invitation_renews_the_first_whose_link_stops_working(client, another_client, invite, clock):
    first = invite(role="moderator")
    clock.move(days=3)
    second = invite("eve@EXAMPLE.com")
    assert len(db.session.scalars(select(Invitation)).all()) == 1
    assert is_over(another_client, first)
    clock.move(days=6)
    assert client.post(second, data=FORM).location == "/"
    assert eve().role_name == "user"


def test_an_elevated_invitation_ends_with_the_permissions_of_the_administrator(client, boss, invite):
    elevated, plain = invite(role="moderator", by=boss), invite("eva@example.com", by=boss)
    for change in (
        lambda: administration.deactivate(boss),
        lambda: administration.activate(boss) or administration.set_role(boss, Role.of(is_admin=False)),
    ):
        change()
        db.session.commit()
        assert is_over(client, elevated)
        assert client.get(plain).status_code == 200
    administration.set_role(boss, Role.of(is_admin=True))
    db.session.commit()
    assert client.get(elevated).status_code == 200
    db.session.delete(boss)
    db.session.commit()
    assert is_over(client, elevated)
    assert "<strong><bdi>An administrator</bdi></strong> invited you" in client.get(plain).text


def test_an_invitation_ends_with_its_role(client, invite):
    db.session.add(Role(name="harvester", permissions=1))
    db.session.commit()
    link = invite(role="harvester")
    assert client.get(link).status_code == 200
    db.session.delete(db.session.get(Role, "harvester"))
    db.session.commit()
    assert is_over(client, link)


def test_an_address_that_was_blocked_after_the_invitation_gets_no_account(client, invite):
    link = invite()
    blocks.add("example.com", "spam")
    db.session.commit()
    page = client.post(link, data=FORM)
    assert (page.status_code, "can&#39;t be used here" in page.text) == (422, True)
    assert eve() is None


def test_of_two_acceptances_at_once_one_wins(app, invite):
    link = invite()

    def post(name):
        browser = app.test_client()
        return browser.post(link, data=FORM | {"username": name}).status_code

    with ThreadPoolExecutor(2) as pool:  # the other sees that it is too late, or a page or an error about the account
        assert sorted(pool.map(post, ["eve", "eva"])) in ([302, 410], [200, 302], [302, 422])
    assert db.session.query(User).count() == 1


# Accounts that exist


@pytest.mark.parametrize("more", [OPEN])
def test_the_owner_of_an_account_logs_in_to_accept_and_never_loses_permissions(client, another_client, invite, outbox):
    link = invite(role="moderator")
    client.post("/auth/register", data=FORM | {"email": EVE})
    client.get(outbox.link())
    page = another_client.get(link).text
    assert "already has an account. Log in to it" in page
    assert another_client.post(link).status_code == 200
    assert eve().role_name == "user", "only its owner accepts"
    assert "Accept the invitation" in client.get(link).text
    assert eve().role_name == "user", "GET changes nothing"
    assert client.post(link).location == "/"
    assert eve().role_name == "moderator"
    assert is_over(another_client, link)
    assert AuditAction.ROLE_CHANGED in history()

    lower = Invitation(email=EVE, role_name="user", actor="command_line")
    db.session.add(lower)
    db.session.commit()
    assert client.post(f"/auth/invitation/{lower.token()}").location == "/"
    assert eve().role_name == "moderator"


def test_accepting_keeps_the_role_that_has_other_permissions(client, ada, invite):
    db.session.add(Role(name="harvester", permissions=7 | 256))
    db.session.commit()
    link = invite(role="harvester")
    ada.role, ada.email = db.session.get(Role, "moderator"), EVE
    db.session.commit()
    client.log_in(ada)
    assert client.post(link).location == "/"
    assert ada.role_name == "moderator"


@on_sqlite
@pytest.mark.parametrize("accept", [invitations.accept, lambda found, user: invitations.register(found, None)])
def test_an_administrator_demoted_during_the_acceptance_gives_no_role(app, boss, bob, accept):
    found = invitations.send(EVE, "moderator", by=boss)
    db.session.commit()
    assert found.is_valid
    db.session.execute(update(User).values(role_name="user"), execution_options={"synchronize_session": False})
    assert not accept(found, bob)
    assert bob.role_name == "user"


def test_a_forwarded_invitation_tells_another_user_whom_it_is_for(client, ada, invite):
    link = invite()
    client.log_in(ada)
    for answer in (client.get(link), client.post(link, data=FORM)):
        assert f"The invitation is for <strong><bdi>{EVE}</bdi></strong>, and you're logged in as" in answer.text
    assert eve() is None


# Providers


class TestProvider:
    @pytest.fixture
    def settings(self, issuer, more):
        return CLOSED | {"OIDC_PROVIDERS": {"acme": issuer.provider()}} | more

    def go(self, browser, issuer, link, **claims):
        answer = travel(browser, issuer, f"{START}?next={link}", **claims)
        return browser.get(answer.location, follow_redirects=True)

    @pytest.mark.parametrize("more", [{}, {"LOGIN_METHODS": ["none"]}, {"CAPTCHA": "altcha"}])
    def test_an_invitation_is_accepted_with_an_account_of_a_provider(self, client, issuer, invite):
        link = invite(role="moderator")
        assert "Continue with Acme" in client.get(link).text
        page = self.go(client, issuer, link, sub="eve", email="EVE@example.com")
        assert (page.status_code, is_logged_in(client)) == (200, True)
        assert (eve().email, eve().confirmed, eve().role_name) == (EVE, True, "moderator")
        assert db.session.scalar(select(Identity)).user == eve()

    @pytest.mark.parametrize("email", ["mallory@example.com", None])
    def test_another_or_no_address_at_the_provider_is_refused(self, client, issuer, invite, email):
        """The invitation may be Mallory's, who made another person start this login."""
        page = self.go(client, issuer, invite(), sub="mallory", email=email)
        assert "have the email address that was invited" in page.text
        assert db.session.query(User).count() == 0

    @on_sqlite
    def test_the_database_has_no_token_of_an_invitation_in_clear_text(self, client, issuer, invite):
        token = invite().rpartition("/")[2]
        set_out(client, f"{START}?next=/auth/invitation/{token}")
        assert token not in db.session.scalar(select(OAuthState.destination))

    def test_the_link_of_an_invitation_gives_no_account_that_exists_to_an_unverified_identity(
        self, client, ada, issuer, invite
    ):
        """The owner must log in. The invitation proves an address for a new account only."""
        link = invite()
        ada.email = EVE
        db.session.commit()
        travel(client, issuer, f"{START}?next={link}", sub="mallory", email=EVE, email_verified=False)
        assert not is_logged_in(client)
        assert db.session.scalars(select(Identity)).all() == []

    def test_without_a_valid_invitation_registration_stays_closed(self, client, issuer, invite):
        link = invite()
        invitations.withdraw(EVE)
        db.session.commit()
        for next in (link, f"{link}x", "/auth/invitation/x", "/"):
            assert travel(client, issuer, f"{START}?next={next}", sub="eve", email=EVE).location == "/auth/login"
        assert eve() is None

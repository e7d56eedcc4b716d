"""Vulnerabilities that were published about other systems, each as an attack that must fail here.

Why each does not hold: tokens are bound to the state that they change (TokenPurpose, User.consume), one service does
each thing whichever page asks for it, and every login passes through login_flow.complete_login().
"""

import re

import pytest
from sqlalchemy import select
from support.clients import PASSWORD
from support.concurrency import at_once
from support.passwords import NEW_TWICE
from support.registration import FORM
from support.sso import told, travel

from app.accounts import email_change
from app.extensions import db
from app.models import User
from app.security import tokens
from app.security.token_purposes import TokenPurpose

PLANTED = FORM | {"email": "ada@example.com", "username": "planted"}


def links(outbox, pattern):
    """Return the links in all emails that match, as paths, oldest first."""
    return [found[0] for email in outbox() if (found := re.search(pattern + r"[^\s/]+", email.body))]


def ask_for(browser, email):
    answer = browser.post("/auth/change-email", data={"email": email, "password": PASSWORD})
    assert answer.status_code == 302


def change_to(browser, outbox, email):
    ask_for(browser, email)
    link = links(outbox, "/auth/change-email/")[-1]
    assert browser.get(link).location == "/account"
    return link


def test_cve_2026_134315_a_change_of_address_link_dies_when_the_old_address_is_given_up(client, ada, outbox, clock):
    """The link is bound to the address that it replaces, and changes nothing once the account has another."""
    client.log_in(ada)
    ask_for(client, "second@example.com")
    stale = links(outbox, "/auth/change-email/")[-1]
    change_to(client, outbox, "third@example.com")
    clock.move(minutes=5)
    assert client.get(stale).status_code == 410
    assert db.session.scalar(select(User.email)) == "third@example.com"


def test_cve_2026_134315_nobody_else_gets_an_address_while_its_link_could_bring_it_back(
    client, another_client, ada, outbox
):
    """For the seven days in which "This wasn't me" restores an address, it is reserved."""
    client.log_in(ada)
    change_to(client, outbox, "second@example.com")
    assert another_client.post("/auth/register", data=PLANTED).status_code == 422
    link = links(outbox, "/auth/secure-account/")[-1]
    assert another_client.post(link, data=NEW_TWICE).status_code == 302
    assert db.session.scalar(select(User.email)) == "ada@example.com"


def test_cve_2026_115770_a_confirmation_link_dies_when_the_address_changes(client, bob, outbox):
    """The token is bound to the address that it confirms."""
    client.log_in(bob)
    client.post("/auth/confirm")
    stale = links(outbox, "/auth/confirm/")[-1]
    client.post("/auth/unconfirmed", data={"email": "bob@elsewhere.example"})
    assert client.get(stale).status_code == 410
    assert not db.session.scalar(select(User.confirmed))
    assert client.get(links(outbox, "/auth/confirm/")[-1]).status_code == 302
    assert db.session.scalar(select(User.confirmed))


@pytest.fixture
def settings(request, issuer):
    return {"OIDC_PROVIDERS": {"acme": issuer.provider()}}


def test_cve_2026_53516_a_provider_login_does_not_join_an_account_registered_by_another(
    client, another_client, issuer, outbox
):
    """The owner of a verified address takes the account over: the attacker's password and sessions are removed."""
    client.post("/auth/register", data=PLANTED)
    assert client.get("/auth/unconfirmed").status_code == 200
    answer = travel(another_client, issuer, email="ada@example.com", email_verified=True)
    assert "What was set up before" in told(another_client, answer)
    assert another_client.get("/account").status_code == 200
    assert client.get("/auth/unconfirmed").location.startswith("/auth/login")
    assert client.post("/auth/login", data={"login": "planted", "password": PASSWORD}).status_code == 422


def test_cve_2026_53516_a_deletion_that_was_planted_ends_with_the_provider_login(client, another_client, issuer):
    client.post("/auth/register", data=PLANTED)
    client.post("/auth/delete", data={"email": "ada@example.com"})
    assert db.session.scalar(select(User.deletion_due_at))
    travel(another_client, issuer, email="ada@example.com", email_verified=True)
    assert db.session.scalar(select(User.deletion_due_at)) is None
    assert another_client.get("/account").status_code == 200


def test_cve_2026_53516_an_unverified_address_joins_nothing(client, ada, issuer):
    assert travel(client, issuer, email="ada@example.com", email_verified=False).location == "/auth/sso/acme/link"


def test_cve_2026_32700_of_two_pending_changes_of_address_one_is_made(client, ada, outbox):
    """One change invalidates the link of the other, also if both are opened at the same time."""
    client.log_in(ada)
    for email in ("second@example.com", "third@example.com"):
        ask_for(client, email)
    sent = [link.rpartition("/")[2] for link in links(outbox, "/auth/change-email/")]
    app = client.application

    def change(token):
        with app.app_context():
            resolved = tokens.resolve(token, TokenPurpose.CHANGE_EMAIL)
            is_changed = resolved is not None and email_change.change(resolved)
            db.session.commit()
            return is_changed

    assert sorted(at_once(change, sent)) == [False, True]

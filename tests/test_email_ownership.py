"""The first proof of an email address clears what an attacker who registered with it has left in the account.

The attacks are those of Sudhodanan and Paverd, "Pre-hijacked accounts" (2022), except those that need another site.
"""

import re

import pytest
from sqlalchemy import select
from support.clients import PASSWORD
from support.emails import code_in
from support.login_methods import by_button, by_code, by_link, by_reset
from support.ours import is_ours, owners_fields
from support.pages import is_logged_in
from support.passwords import NEW, NEW_TWICE
from support.records import history

from app.accounts import credentials, email_ownership
from app.email.templates import Email
from app.extensions import db
from app.models import Device, OutboxEmail, RemovedCredential, User, UserSession

VICTIM, PLANTER = "victim@example.com", "planter@example.com"
ASK, WAIT, GATE = "/auth/magic-link", "/auth/magic-link/sent", "/auth/unconfirmed"


def register(browser, email):
    form = {"email": email, "username": "planted", "password": PASSWORD, "confirm_password": PASSWORD}
    assert browser.post("/auth/register", data=form, follow_redirects=True).request.path == GATE


def log_in(browser, password, email=VICTIM):
    return browser.post("/auth/login", data={"login": email, "password": password})


@pytest.fixture(params=[by_link, by_code, by_button, by_reset])
def prove(request, another_client, outbox):
    """Prove the address in the owner's browser, and return the page after that."""

    def prove():
        page = another_client.get(request.param(another_client, outbox, VICTIM), follow_redirects=True)
        assert page.status_code == 200
        assert is_logged_in(another_client)
        assert history().count("email_ownership_proved") == 1
        assert db.session.scalar(select(User)).email == VICTIM
        return page

    return prove


def test_a_first_proof_removes_password_and_sessions(app, client, another_client, outbox, prove):
    """The attacker keeps the unconfirmed page open, with its form for code and correction."""
    register(client, VICTIM)
    code = code_in(outbox()[0])
    others = [app.test_client() for _ in range(4)]
    for browser in others:
        log_in(browser, PASSWORD)
        assert browser.get(GATE).status_code == 200
    prove()
    page = client.get(GATE, follow_redirects=True)
    assert page.request.path == "/auth/login"
    assert "You were logged out because the owner of the email address took over the account." in page.text
    forms = [(GATE, {"code": code}), (GATE, {"email": PLANTER}), ("/auth/confirm", {}), ("/auth/change-password", {})]
    for browser, (address, fields) in zip(others, forms, strict=True):
        assert browser.post(address, data=fields).location.startswith("/auth/login")
        assert not is_logged_in(browser)
    assert log_in(client, PASSWORD).status_code == 422
    assert db.session.scalar(select(User)).email == VICTIM
    assert is_logged_in(another_client)


def test_a_first_proof_invalidates_earlier_links(app, client, outbox, prove):
    """An attacker who requested links gets no access, even with the link and the code."""
    register(client, VICTIM)
    waiting, stranger = app.test_client(), app.test_client()
    waiting.post(ASK, data={"email": VICTIM})
    stranger.post("/auth/reset", data={"email": VICTIM})
    confirm, magic, reset = (outbox.link(number) for number in range(3))
    code = code_in(outbox()[1])
    assert stranger.get(magic).status_code == stranger.get(reset).status_code == 200
    prove()
    for browser in (waiting, stranger, client):
        for link in (confirm, magic, reset):
            assert browser.get(link).status_code == 410
            assert browser.post(link, data=NEW_TWICE).status_code == 410
    page = waiting.post(WAIT, data={"code": code})
    assert (page.status_code, "is incorrect or has expired" in page.text) == (422, True)
    assert not is_logged_in(waiting)
    assert not is_logged_in(client)


def test_a_first_proof_drops_waiting_emails(app, client, another_client, outbox):
    register(client, VICTIM)
    another_client.post(ASK, data={"email": VICTIM})
    link = outbox.link()
    app.test_client().post(ASK, data={"email": VICTIM})
    app.test_client().post("/auth/reset", data={"email": VICTIM})
    another_client.get(link)
    assert is_logged_in(another_client)
    waiting = select(OutboxEmail.name).where(OutboxEmail.recipient == VICTIM, OutboxEmail.status == "waiting")
    of_new_browser = "New login to your Flasky account"  # about the owner's login
    assert db.session.scalars(waiting.where(OutboxEmail.name != Email.NEW_DEVICE)).all() == []
    assert len([email for email in outbox() if email.subject != of_new_browser]) == 2


@pytest.mark.parametrize("prove", [by_link, by_code], indirect=True)
def test_a_first_magic_link_leads_to_choosing_password_and_username(client, another_client, outbox, prove):
    register(client, VICTIM)
    page = prove()
    assert page.request.path == "/auth/change-password"
    assert "Your email address is confirmed." in page.text
    assert "What was set up before, such as other logins, was removed." in page.text
    assert f"We'll send a link to <strong><bdi>{VICTIM}</bdi></strong>" in page.text
    assert "Your username is <strong><bdi>planted</bdi></strong>." in page.text

    assert 'href="/auth/change-username">Change username' in page.text
    another_client.post("/auth/change-username", data={"username": "victoria"})
    assert "Hello, <bdi>victoria</bdi>!" in another_client.get("/").text


def test_a_first_reset_leads_to_choosing_a_username(client, another_client, outbox):
    register(client, VICTIM)
    another_client.post("/auth/reset", data={"email": VICTIM})
    page = another_client.post(outbox.link(), data=NEW_TWICE, follow_redirects=True)
    assert "Your password was changed. Log in with your new password." in page.text
    assert "Your email address is confirmed. If you didn&#39;t choose the username planted, change it." in page.text
    action = re.search(r'<form method="post" action="(/auth/login[^"]*)"', page.text)[1]
    page = another_client.post(action, data={"login": VICTIM, "password": NEW}, follow_redirects=True)
    assert "<h1>Change username</h1>" in page.text
    assert "email_ownership_proved" in history()


def test_confirming_while_logged_in_clears_nothing(app, client, another_client, bob, outbox):
    """Knowing the password shows that the account is the user's own."""
    client.log_in(bob)
    another_client.log_in(bob)
    client.post("/auth/confirm")
    assert client.get(outbox.link()).location == "/"
    assert is_logged_in(client)
    assert is_logged_in(another_client)
    assert app.test_client().log_in(bob).location == "/"
    assert "email_ownership_proved" not in history()


@pytest.mark.parametrize("prove", [by_link, by_code, by_reset])
def test_later_proofs_clear_nothing(app, client, another_client, ada, outbox, prove):
    client.log_in(ada)
    page = another_client.get(prove(another_client, outbox), follow_redirects=True)
    assert is_logged_in(another_client)
    assert "Your email address is confirmed" not in page.text
    assert "email_ownership_proved" not in history()
    if prove is not by_reset:
        assert page.request.path == "/"
        assert is_logged_in(client)
        assert app.test_client().log_in(ada).location == "/"


def test_every_column_and_table_about_an_account_is_cleared_or_kept_for_a_reason():
    columns = {column.name for column in User.__table__.columns} - owners_fields()
    assert columns == set(email_ownership.CLEARED_COLUMNS) | (set(email_ownership.KEPT) & columns)
    cleared = {
        *filter(is_ours, credentials.kinds()),
        *email_ownership.CLEARED_TABLES,
        RemovedCredential,
        UserSession,
        Device,
    }
    tables = {
        model.__tablename__
        for model in (mapper.class_ for mapper in User.registry.mappers)
        if model.__module__.startswith("app.models.")
        and any(key.column.table is User.__table__ for key in model.__table__.foreign_keys)
    }
    kept = set(email_ownership.KEPT) - columns
    assert tables == {model.__tablename__ for model in cleared} | kept


def test_a_planted_deletion_is_cancelled(client, outbox, prove):
    register(client, VICTIM)
    user = db.session.scalar(select(User))
    client.post("/auth/delete", data={"email": VICTIM})
    db.session.expire_all()
    assert user.deletion_due_at
    prove()
    db.session.expire_all()
    assert user.deletion_due_at is None

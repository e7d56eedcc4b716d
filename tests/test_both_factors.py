"""Where two-factor is on, each change of a credential needs both factors at that moment."""

import re
import threading

import pytest
from sqlalchemy import select
from support.authenticators import Phone
from support.clients import PASSWORD

from app.extensions import db
from app.models import Authenticator, Identity, Passkey, RecoveryCode, UserSession

STEP, PROVE = "/auth/two-factor/verify", "/auth/reauthenticate"
NEW = "a lighthouse keeper sleeps at noon"


@pytest.fixture
def member(client, ada, phone, clock):
    """Ada's browser, in which she has just logged in with both factors."""
    db.session.add(Passkey(user_id=ada.id, name="Key", credential_id="x", public_key="x", sign_count=0))
    db.session.commit()
    client.log_in(ada)
    client.post(STEP, data={"code": phone.code()})
    clock.move(minutes=1)
    return client


def prove(client, phone: Phone, clock):
    answer = client.post(PROVE, data={"password": PASSWORD, "factor_code": phone.code()})
    assert answer.status_code == 302, answer.text
    clock.move(minutes=1)


def handle():
    return db.session.scalar(select(Passkey)).handle


CHANGES = {
    "remove the app": lambda: ("/auth/two-factor/off", {}),
    "remove a passkey": lambda: (f"/auth/passkeys/{handle()}/remove", {}),
    "renew recovery codes": lambda: ("/auth/recovery-codes", {}),
    "remove the password": lambda: ("/auth/remove-password", {}),
    "change the password": lambda: (
        "/auth/change-password",
        {"old_password": PASSWORD, "password": NEW, "confirm_password": NEW},
    ),
    "ask for another address": lambda: ("/auth/change-email", {"email": "x@example.com", "password": PASSWORD}),
    "add a passkey": lambda: ("/auth/passkeys", {"name": "Thief's", "credential": "{}"}),
    "make a passkey": lambda: ("/auth/passkeys/creation-options", {}),
}


def credentials():
    db.session.expire_all()
    models = (Authenticator, Identity, Passkey, RecoveryCode)
    return {model.__name__: [row.id for row in db.session.scalars(select(model))] for model in models}


@pytest.mark.parametrize("change", CHANGES)
def test_a_login_with_both_factors_a_moment_ago_is_not_enough(member, change):
    url, data = CHANGES[change]()
    before = credentials()
    answer = member.post(url, data=data)
    assert (answer.status_code, "<h1>Is it you?</h1>" in answer.text) == (403, True)
    assert credentials() == before
    assert PASSWORD not in answer.text


@pytest.mark.parametrize(
    "page", ["/auth/passkeys/add", "/auth/two-factor/off", "/auth/recovery-codes", "/auth/remove-password"]
)
def test_a_page_with_such_a_button_asks_before_it_is_shown_and_comes_back(member, phone, clock, page):
    assert member.get(page).location == PROVE
    back = member.post(PROVE, data={"password": PASSWORD, "factor_code": phone.code()}).location
    assert back == page
    assert member.get(page).status_code in {200, 302}


def test_the_proof_is_good_for_one_change(member, phone, clock):
    prove(member, phone, clock)
    assert member.post("/auth/recovery-codes").status_code == 200
    assert member.post("/auth/recovery-codes").status_code == 403
    assert member.post("/auth/two-factor/off").status_code == 403
    prove(member, phone, clock)
    assert member.post(f"/auth/passkeys/{handle()}/remove").status_code == 302
    assert member.post("/auth/two-factor/off").status_code == 403


def test_asking_for_another_address_uses_the_proof_up(member, phone, clock):
    prove(member, phone, clock)
    form = {"email": "x@example.com", "password": PASSWORD}
    assert member.post("/auth/change-email", data=form).status_code == 302
    assert member.post("/auth/recovery-codes").status_code == 403


def test_the_proof_is_good_for_five_minutes(member, phone, clock):
    prove(member, phone, clock)
    clock.move(minutes=4)
    assert member.post("/auth/recovery-codes").status_code == 403


def test_one_factor_is_no_proof(member, phone, clock):
    assert member.post(PROVE, data={"password": PASSWORD}).status_code == 422
    assert member.post(PROVE, data={"factor_code": phone.code()}).status_code == 422
    assert member.post("/auth/recovery-codes").status_code == 403


def test_a_mistake_in_the_form_does_not_use_the_proof_up(member, phone, clock):
    prove(member, phone, clock)
    wrong = {"old_password": "wrong", "password": NEW, "confirm_password": NEW}
    assert member.post("/auth/change-password", data=wrong).status_code == 422
    assert member.post("/auth/change-password", data=wrong | {"old_password": PASSWORD}).status_code == 302


def test_a_copy_of_the_cookie_is_dead_once_the_owner_proves_it(member, another_client, phone, clock):
    another_client.set_cookie("session", member.get_cookie("session").value)
    prove(member, phone, clock)
    assert another_client.post("/auth/recovery-codes").location.startswith("/auth/login")


def test_of_two_changes_at_once_by_one_proof_one_is_made(member, another_client, phone, clock):
    prove(member, phone, clock)
    another_client.set_cookie("session", member.get_cookie("session").value)
    answers = []
    threads = [
        threading.Thread(
            target=lambda browser=browser: answers.append(browser.post("/auth/recovery-codes").status_code)
        )
        for browser in (member, another_client)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers).count(200) == 1
    assert len(db.session.scalars(select(RecoveryCode)).all()) == 10


def test_the_list_of_passkeys_asks_for_the_proof_before_a_passkey_is_made(member, phone, clock):
    page = member.get("/auth/passkeys")
    assert 'data-passkey="create"' not in page.text
    assert re.search(r'href="/auth/passkeys/add"', page.text)
    prove(member, phone, clock)
    assert 'data-passkey="create"' in member.get("/auth/passkeys").text


def test_without_two_factor_a_reauthentication_is_enough(client, ada):
    client.log_in(ada)
    assert 'data-passkey="create"' in client.get("/auth/passkeys").text
    assert client.get("/auth/two-factor").status_code == 200


def test_what_is_removed_cancels_by_a_link_and_changes_nothing(member, phone, clock):
    prove(member, phone, clock)
    before = credentials()
    page = member.get("/auth/two-factor/off")
    assert "Cancel" in page.text
    assert member.head("/auth/two-factor/off").status_code == 200
    assert credentials() == before


def test_logging_out_takes_the_proof_along(member, phone, clock):
    prove(member, phone, clock)
    member.post("/auth/logout")
    assert not db.session.scalars(select(UserSession).where(UserSession.revoked_at.is_(None))).all()

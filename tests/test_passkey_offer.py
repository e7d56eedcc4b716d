"""The offer of a passkey after a login by password, and passkeys that the browser creates without asking."""

from datetime import timedelta
from http.cookies import SimpleCookie

import pytest
from support.clients import JSON
from support.passkeys import MAKE, PAGE, PRESENT, VERIFIED, Key, add, asked, log_in
from support.records import count

from app.models import Passkey

OFFER = "data-passkey-offer"
UNASKED = f"{MAKE}?quietly=y"


@pytest.fixture
def again(client, ada):
    """Ada's browser, in which she has logged in before, and has just logged in again."""

    def log_in_again():
        client.post("/auth/logout")
        client.log_in(ada)
        return client

    client.log_in(ada)
    log_in_again()
    log_in_again.browser = client
    return log_in_again


def add_unasked(browser, device, options=None, **lies):
    answer = device.create(options or asked(browser, UNASKED), **lies)
    return browser.post(PAGE, data={"name": "Chrome", "credential": answer, "quietly": "y"})


def test_a_password_on_a_known_device_is_followed_by_one_offer(again):
    assert OFFER in again.browser.get("/").text
    assert OFFER not in again.browser.get("/").text
    again()
    assert OFFER in again.browser.get("/account").text


def test_a_new_device_a_magic_link_and_a_second_factor_are_followed_by_none(client, another_client, ada, outbox):
    another_client.log_in(ada)
    assert OFFER not in another_client.get("/").text, "a new device"
    another_client.post("/auth/logout")
    another_client.post("/auth/magic-link", data={"email": ada.email})
    another_client.get(outbox.link())
    assert OFFER not in another_client.get("/").text


def test_a_user_with_a_passkey_gets_no_offer(again):
    add(again.browser, Key())
    assert OFFER not in again().get("/").text


def test_not_now_is_remembered_for_90_days(again):
    declined = again.browser.post("/auth/passkeys/not-now", data={"next": "/account"})
    assert declined.location == "/account"
    cookie = SimpleCookie(declined.headers["Set-Cookie"])["offer"]
    assert (cookie["max-age"], cookie["httponly"]) == (str(int(timedelta(days=90).total_seconds())), True)
    assert OFFER not in again().get("/").text
    assert again.browser.post("/auth/passkeys/not-now", data={"next": "https://evil.example"}).location == "/"


@pytest.mark.parametrize("flags", [0, PRESENT, PRESENT | VERIFIED])
def test_a_passkey_created_without_asking_needs_no_presence_but_its_use_does(again, another_client, flags):
    device = Key(flags=flags)
    assert asked(again.browser, UNASKED)["authenticatorSelection"]["userVerification"] == "preferred"
    assert add_unasked(again.browser, device).status_code == 302
    assert count(Passkey) == 1
    assert log_in(another_client, device, flags=PRESENT).status_code == 422, "logging in takes both"
    assert log_in(another_client, device, flags=PRESENT | VERIFIED).status_code == 302


@pytest.mark.parametrize("flags", [0, PRESENT, VERIFIED])
def test_a_passkey_that_the_user_asked_for_still_needs_presence_and_verification(again, flags):
    assert add(again.browser, Key(flags=flags)).status_code == 422
    assert count(Passkey) == 0


def test_the_two_ceremonies_refuse_each_others_challenges(again):
    browser = again.browser
    assert add(browser, Key(), options=asked(browser, UNASKED)).status_code == 422
    assert add_unasked(browser, Key(), options=asked(browser, MAKE)).status_code == 422
    assert count(Passkey) == 0


def test_an_unasked_passkey_needs_a_recent_login_and_is_announced(again, clock, outbox):
    device, options = Key(flags=0), asked(again.browser, UNASKED)
    add_unasked(again.browser, device, options)
    assert "passkey was added" in outbox()[-1].subject
    clock.move(minutes=16)
    assert again.browser.post(UNASKED, headers=JSON).status_code == 403


def test_the_account_page_tells_passkeys_the_current_username(again):
    assert "data-passkey-user" not in again.browser.get("/account").text
    add(again.browser, Key())
    again.browser.post("/auth/change-username", data={"username": "countess"})
    page = again.browser.get("/account").text
    assert '"displayName": "countess", "name": "countess", "rpId": "localhost"' in page

"""Trusted devices: exempt from two-factor authentication for 30 days, unless something ends the trust."""

import re

import pytest
from sqlalchemy import select
from support.authenticators import prove, set_up
from support.clients import PASSWORD
from support.pages import FIREFOX, is_logged_in
from support.passwords import NEW, choose
from support.records import history

from app.extensions import db
from app.models import Device

STEP, SESSIONS = "/auth/two-factor/verify", "/auth/devices"


@pytest.fixture
def trusted(client, ada, phone):
    """A browser that ada trusts; she is logged in with it."""
    client.log_in(ada)
    client.post(STEP, data={"code": phone.code(), "trust": "y"}, headers={"User-Agent": FIREFOX})
    phone.clock.move(minutes=1)
    return client


def is_trusted(client, user, password=PASSWORD):
    """Log out and in again, and say whether that was enough."""
    client.post("/auth/logout")
    return client.log_in(user, password).location != STEP


def log_in(client, user, phone):
    client.log_in(user)
    client.post(STEP, data={"code": phone.code()})
    assert is_logged_in(client)


def test_it_lasts_for_thirty_days(trusted, ada, phone):
    phone.clock.move(days=29, hours=23)
    assert is_trusted(trusted, ada)
    phone.clock.move(hours=1)
    assert not is_trusted(trusted, ada)


def test_it_is_for_who_asks_for_it(client, ada, phone):
    log_in(client, ada, phone)
    assert not is_trusted(client, ada)


def test_it_is_this_browsers_and_this_accounts(app, trusted, another_client, ada, bob, phone):
    assert another_client.log_in(ada).location == STEP
    bob.confirmed, bob.two_factor_enabled_at = True, phone.clock.time
    db.session.commit()
    assert not is_trusted(trusted, bob)


def test_a_stolen_device_cookie_needs_the_first_step_still(app, trusted, ada):
    thief = app.test_client()
    thief.set_cookie("device", trusted.get_cookie("device").value)
    assert thief.log_in(ada, "wrong").status_code == 422
    assert not is_logged_in(thief)


def test_the_page_of_devices_shows_and_ends_it(app, trusted, another_client, ada, bob, phone):
    page = trusted.get(SESSIONS).text
    assert "Trusted devices" in page
    assert "Firefox on Linux" in page
    path = re.search(r'action="(/auth/devices/[^/"]+/untrust)"', page)[1]
    bob.confirmed = True
    db.session.commit()
    another_client.log_in(bob)
    assert another_client.post(path).status_code == 404, "it is not his"
    assert trusted.post(path).location == SESSIONS
    assert "Trusted devices" not in trusted.get(SESSIONS).text
    assert history()[-1] == "device_untrusted"
    assert trusted.post(path).status_code == 404
    assert not is_trusted(trusted, ada)


def ended(trusted, other, ada, phone, outbox):
    """It is logged out from another browser."""
    log_in(other, ada, phone)
    handles = re.findall(r'action="(/auth/devices/[^/"]+/revoke)"', other.get(SESSIONS).text)
    for handle in handles[1:]:
        other.post(handle)


def all_others_ended(trusted, other, ada, phone, outbox):
    log_in(other, ada, phone)
    other.post("/auth/devices/revoke-others")


def password_reset(trusted, other, ada, phone, outbox):
    other.post("/auth/reset", data={"email": ada.email})
    choose(other, outbox.link(), PASSWORD)


def password_changed(trusted, other, ada, phone, outbox):
    for new, old in ((NEW, PASSWORD), (PASSWORD, NEW)):
        prove(trusted, phone, old)
        form = {"old_password": old, "password": new, "confirm_password": new}
        assert trusted.post("/auth/change-password", data=form).location == "/account"


def factor_changed(trusted, other, ada, phone, outbox):
    prove(trusted, phone)
    trusted.post("/auth/two-factor/off")
    set_up(trusted, phone.clock)


def operator(trusted, other, ada, phone, outbox):
    other.application.test_cli_runner().invoke(args=["users", "log-out", "ada"])


@pytest.mark.parametrize("event", [ended, all_others_ended, password_reset, password_changed, factor_changed, operator])
def test_much_ends_it(trusted, another_client, ada, phone, outbox, event):
    assert db.session.scalar(select(Device.trusted_until).where(Device.trusted_until.is_not(None)))
    event(trusted, another_client, ada, phone, outbox)
    assert not is_trusted(trusted, ada)


def test_logging_out_does_not(trusted, ada):
    assert is_trusted(trusted, ada)
    assert is_trusted(trusted, ada)

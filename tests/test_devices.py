"""Trusted devices: exempt from two-factor authentication for 30 days, unless something ends the trust."""

import re
from datetime import timedelta

import pytest
from sqlalchemy import select
from support.authenticators import prove, set_up
from support.clients import PASSWORD
from support.pages import FIREFOX, is_logged_in, lines
from support.passwords import NEW, choose
from support.records import history

from app.extensions import db
from app.models import Device

STEP, SESSIONS = "/auth/two-factor/verify", "/auth/devices"


@pytest.fixture
def trusted(client, ada, phone):
    """A device that ada trusts, and where she is logged in."""
    client.log_in(ada)
    client.post(STEP, data={"code": phone.code(), "trust": "y"}, headers={"User-Agent": FIREFOX})
    phone.clock.move(minutes=1)
    return client


def is_trusted(client, user, password=PASSWORD):
    """Log out and in again, and return whether that took no two-factor authentication."""
    client.post("/auth/logout")
    return client.log_in(user, password).location != STEP


def log_in(client, user, phone):
    client.log_in(user)
    client.post(STEP, data={"code": phone.code()})
    assert is_logged_in(client)


def test_device_is_trusted_for_thirty_days(trusted, ada, phone):
    phone.clock.move(days=29, hours=23)
    assert is_trusted(trusted, ada)
    phone.clock.move(hours=1)
    assert not is_trusted(trusted, ada)


def test_device_is_not_trusted_unless_the_user_asks(client, ada, phone):
    log_in(client, ada, phone)
    assert not is_trusted(client, ada)


def test_trust_is_bound_to_device_and_account(app, trusted, another_client, ada, bob, phone):
    assert another_client.log_in(ada).location == STEP
    bob.confirmed, bob.two_factor_enabled_at = True, phone.clock.time
    db.session.commit()
    assert not is_trusted(trusted, bob)


def test_devices_page_shows_trusted_devices_and_untrusts_them(app, trusted, another_client, ada, bob, phone):
    page = trusted.get(SESSIONS).text
    assert "Trusted devices" in page
    session, device = lines(trusted.get(SESSIONS))
    assert session.startswith("Firefox on Linux This device Trusted Active now")
    until = phone.clock.time + timedelta(days=30, minutes=-1)
    assert device == f"Firefox on Linux This device Trusted until {until:%-d %B %Y} Stop trusting"
    assert 'aria-label="Stop trusting Firefox on Linux"' in page
    path = re.search(r'action="(/auth/devices/[^/"]+/untrust)"', page)[1]
    bob.confirmed = True
    db.session.commit()
    another_client.log_in(bob)
    assert another_client.post(path).status_code == 404, "it is the device of another user"
    assert trusted.post(path).location == SESSIONS
    assert "Trusted devices" not in trusted.get(SESSIONS).text
    assert history()[-1] == "device_untrusted"
    assert trusted.post(path).status_code == 404
    assert not is_trusted(trusted, ada)


def session_revoked(trusted, other, ada, phone, outbox):
    log_in(other, ada, phone)
    handles = re.findall(r'action="(/auth/devices/[^/"]+/revoke)"', other.get(SESSIONS).text)
    for handle in handles[1:]:
        other.post(handle)


def other_sessions_revoked(trusted, other, ada, phone, outbox):
    log_in(other, ada, phone)
    other.post("/auth/devices/revoke-others")


def password_reset(trusted, other, ada, phone, outbox):
    other.post("/auth/reset", data={"email": ada.email})
    choose(other, outbox.link(), PASSWORD)


def password_changed(trusted, other, ada, phone, outbox):
    for new, old in ((NEW, PASSWORD), (PASSWORD, NEW)):
        prove(trusted, phone, old)
        form = {"old_password": old, "password": new, "confirm_password": new}
        assert trusted.post("/auth/change-password", data=form).location == "/auth/login-methods"


def factor_changed(trusted, other, ada, phone, outbox):
    prove(trusted, phone)
    trusted.post("/auth/two-factor/off")
    set_up(trusted, phone.clock)


def logged_out_by_an_administrator(trusted, other, ada, phone, outbox):
    other.application.test_cli_runner().invoke(args=["users", "log-out", "ada"])


ENDINGS = [
    session_revoked, other_sessions_revoked, password_reset, password_changed, factor_changed,
    logged_out_by_an_administrator,
]  # fmt: skip


@pytest.mark.parametrize("event", ENDINGS)
def test_trust_in_devices_ends(trusted, another_client, ada, phone, outbox, event):
    assert db.session.scalar(select(Device.trusted_until).where(Device.trusted_until.is_not(None)))
    event(trusted, another_client, ada, phone, outbox)
    assert not is_trusted(trusted, ada)

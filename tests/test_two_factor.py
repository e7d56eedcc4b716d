"""Authenticator apps: setting one up, and the second step that they are asked for at."""

import re

import pyotp
import pytest
from sqlalchemy import select
from test_passwords import beside, history, is_signed_in

from app.accounts import two_factor
from app.extensions import db
from app.models import User, UserSession

SET_UP = "/auth/two-factor"
STEP = "/auth/second-factor"


class App:
    """The authenticator app on somebody's phone, and the recovery codes on a paper beside it."""

    def __init__(self, secret, clock, codes=()):
        self.totp, self.clock, self.codes = pyotp.TOTP(secret), clock, list(codes)

    def code(self, steps=0):
        """The code that it shows now, or some steps later or earlier."""
        return self.totp.at(self.clock.time, counter_offset=steps)

    def wrong(self):
        near = {self.code(steps) for steps in (-1, 0, 1)}
        return next(code for code in ("000000", "000001", "000002", "000003") if code not in near)


def key_on(page):
    return re.search(r'<code class="key">([A-Z2-7 ]+)</code>', page.text)[1].replace(" ", "")


def codes_on(page):
    return re.search(r'<pre class="codes">([A-Z2-7\s-]+)</pre>', page.text)[1].split()


def set_up(client, clock):
    """Set an app up in a browser that is signed in, and move on to its next code."""
    app = App(key_on(client.get(SET_UP)), clock)
    page = client.post(SET_UP, data={"code": app.code()})
    app.codes = codes_on(page)
    clock.move(minutes=1)
    return app


@pytest.fixture
def phone(app, client, ada, clock):
    """Ada's account has an authenticator app; nobody is signed in."""
    client.sign_in(ada)
    phone = set_up(client, clock)
    client.post("/auth/logout")
    return phone


# Setting it up


def test_it_is_on_after_one_right_code(client, another_client, ada, clock, letters):
    client.sign_in(ada)
    another_client.sign_in(ada)
    page = client.get(SET_UP)
    assert "<svg" in page.text
    phone = App(key_on(page), clock)
    refused = client.post(SET_UP, data={"code": phone.wrong()})
    assert (refused.status_code, "not right" in beside("code", refused)) == (422, True)
    assert key_on(refused) == key_on(client.get(SET_UP)) == phone.totp.secret, "it is the same until it is set up"
    assert not two_factor.is_on(db.session.get(User, ada.id))
    done = client.post(SET_UP, data={"code": f" {phone.code()[:3]} {phone.code()[3:]} "})
    assert (done.status_code, len(codes_on(done))) == (200, 10)
    assert is_signed_in(client)
    assert not is_signed_in(another_client)
    assert "second_factor_on" in history()
    assert letters()[-1].subject == "Logging in takes a second step now"
    assert phone.totp.secret not in client.get(SET_UP).text


# The second step


def test_after_the_password_a_code_is_asked_for(client, ada, phone):
    answer = client.sign_in(ada, remember_me="y")
    assert answer.location == STEP
    assert not is_signed_in(client)
    refused = client.post(STEP, data={"code": phone.wrong()})
    assert (refused.status_code, "not right" in beside("code", refused)) == (422, True)
    assert not is_signed_in(client)
    assert client.post(STEP, data={"code": phone.code()}).location == "/"
    assert is_signed_in(client)
    assert db.session.scalar(select(UserSession.remembered).where(UserSession.ended_at.is_(None)))


def test_a_code_works_once(client, another_client, ada, phone):
    client.sign_in(ada)
    another_client.sign_in(ada)
    assert client.post(STEP, data={"code": phone.code()}).location == "/"
    assert another_client.post(STEP, data={"code": phone.code()}).status_code == 422
    assert another_client.post(STEP, data={"code": phone.code(-1)}).status_code == 422, "nor an earlier one"
    assert another_client.post(STEP, data={"code": phone.code(1)}).location == "/"


def test_a_recovery_code_works_once(client, another_client, ada, phone):
    client.sign_in(ada)
    another_client.sign_in(ada)
    code = phone.codes[3].lower().replace("-", " ")
    assert client.post(STEP, data={"recovery_code": code}).location == "/"
    assert another_client.post(STEP, data={"recovery_code": code}).status_code == 422
    assert another_client.post(STEP, data={"recovery_code": phone.codes[4]}).location == "/"


def test_without_a_first_step_there_is_no_second(client, ada, phone):
    assert client.get(STEP).location == "/auth/login"
    assert client.post(STEP, data={"code": phone.code()}).location == "/auth/login"
    assert not is_signed_in(client)

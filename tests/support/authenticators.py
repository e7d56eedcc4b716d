"""An authenticator app, as people have it on their phones, and how it is set up."""

import re

import pyotp

from support.clients import PASSWORD

SETTINGS, SET_UP, PROVE = "/auth/two-factor", "/auth/two-factor/set-up", "/auth/reauthenticate"


class Phone:
    """The app, and the recovery codes on a paper beside it."""

    def __init__(self, secret, clock):
        self.totp, self.clock, self.codes = pyotp.TOTP(secret), clock, []

    def code(self, steps=0):
        """The code that it shows now, or some steps later or earlier."""
        return self.totp.at(self.clock.time, counter_offset=steps)

    def wrong(self):
        near = {self.code(steps) for steps in (-1, 0, 1)}
        return next(code for code in ("000000", "000001", "000002", "000003") if code not in near)


def key_on(page):
    """The key that a page shows for typing."""
    return re.search(r'<code class="key">([A-Z2-7 ]+)</code>', page.text)[1].replace(" ", "")


def codes_on(page):
    """The recovery codes that a page shows."""
    return re.findall(r"<li>([A-Z2-7]{5}-[A-Z2-7]{5})</li>", page.text)


def set_up(client, clock):
    """Set an app up in a browser that is logged in; a minute later its next code can be used."""
    phone = Phone(key_on(client.get(SET_UP)), clock)
    phone.codes = codes_on(client.post(SET_UP, data={"code": phone.code()}))
    clock.move(minutes=1)
    return phone


def prove(client, phone, password=PASSWORD):
    """Prove both factors, which allows one change of a credential. A code works once: time passes before and after."""
    phone.clock.move(minutes=1)
    answer = client.post(PROVE, data={"password": password, "factor_code": phone.code()})
    assert answer.status_code == 302
    phone.clock.move(minutes=1)
    return answer

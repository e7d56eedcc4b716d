"""Guessing the code of an authenticator app with the right password."""

import pytest
from support.clients import JSON, on_sqlite
from support.pages import is_logged_in
from support.passkeys import STEP
from support.records import history


@on_sqlite
@pytest.mark.parametrize("count", [100, pytest.param(600, marks=pytest.mark.extended)])
def test_hundreds_of_authenticator_codes_let_nobody_in_and_lock_nobody_out(app, ada, phone, capsys, count):
    """By who has the password, from as many addresses: five are looked at. The right code is among the others."""
    known = app.test_client()
    known.log_in(ada)
    known.post(STEP, data={"code": phone.code()})
    known.post("/auth/logout")
    phone.clock.move(minutes=1)
    thief, right = app.test_client(), phone.code()
    answers = {}
    for number in range(count):
        if number % 300 == 0:
            thief.log_in(ada)
        code = right if number > 5 and number % 50 == 0 else f"{(int(right) + number + 1) % 10**6:06}"
        address = {"REMOTE_ADDR": f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"}
        status = thief.post(STEP, data={"code": code}, environ_base=address, headers=JSON).status_code
        answers[status] = answers.get(status, 0) + 1
    looked_at = history().count("two_factor_failed")
    assert answers == {422: count}
    assert looked_at == 5
    assert not is_logged_in(thief)
    phone.clock.move(minutes=1)
    known.log_in(ada)
    assert known.post(STEP, data={"code": phone.code()}).location == "/"
    phone.clock.move(minutes=4)
    owner = app.test_client()
    owner.log_in(ada)
    assert owner.post(STEP, data={"code": phone.code()}).location == "/"
    with capsys.disabled():
        print(f"\n{count} codes: {looked_at} looked at, 0 let in, the owner locked out for 5 minutes at most")

"""Recovery codes: shown once, good once each, counted."""

import hashlib
import re
from urllib.parse import unquote

from sqlalchemy import select
from support.authenticators import codes_on, prove
from support.pages import beside, is_logged_in
from support.passwords import NEW, choose
from support.records import history

from app.extensions import db
from app.models import RecoveryCode

STEP = "/auth/two-factor/verify"
NEW_ONES = "/auth/recovery-codes"


def use(client, user, code):
    client.log_in(user)
    return client.post(STEP, data={"recovery_code": code})


def test_each_works_once(client, another_client, ada, phone):
    client.log_in(ada)
    another_client.log_in(ada)
    assert {len(code.replace("-", "")) for code in phone.codes} == {10}
    typed = phone.codes[3].lower().replace("-", " ")
    assert client.post(STEP, data={"recovery_code": typed}).location == "/"
    refused = another_client.post(STEP, data={"recovery_code": typed})
    assert (refused.status_code, "not right" in beside("recovery_code", refused)) == (422, True)
    assert another_client.post(STEP, data={"code": phone.codes[4]}).location == "/", "in whichever field"
    assert is_logged_in(another_client)
    assert history().count("two_factor_used") == 2


def test_a_recovery_code_has_two_groups_of_five_characters(phone):
    assert all(re.fullmatch(r"[A-Z2-7]{5}-[A-Z2-7]{5}", code) for code in phone.codes)


def test_recovery_codes_are_hashed_each_with_a_salt_of_its_own(app, phone):
    hashes = [row.hash for row in db.session.scalars(select(RecoveryCode))]
    assert len({hashed.split("$")[1] for hashed in hashes}) == 10
    assert {hashed.split("$")[0] for hashed in hashes} == {"scrypt:1024:8:1"}


def test_recovery_codes_of_24_characters_made_by_an_earlier_version_work(client, another_client, ada, phone):
    code = "ABCDEFGHIJKLMNOPQRSTUVWX"
    db.session.add(RecoveryCode(user_id=ada.id, hash=hashlib.sha256(code.encode()).hexdigest()))
    db.session.commit()
    assert use(client, ada, f"{code[:4]}-{code[4:].lower()}").location == "/"
    assert use(another_client, ada, code).status_code == 422


def test_after_a_hundred_wrong_recovery_codes_none_is_checked_until_the_password_changes(
    client, another_client, ada, phone, outbox
):
    for network in range(10):
        client.environ_base["REMOTE_ADDR"] = f"192.0.2.{network}"
        client.log_in(ada)
        answers = [client.post(STEP, data={"recovery_code": "AAAAA-AAAAA"}) for _ in range(10)]
        assert all("not right" in beside("recovery_code", answer) for answer in answers)
    stopped = client.post(STEP, data={"recovery_code": phone.codes[0]})
    assert "Too many recovery codes were tried" in beside("recovery_code", stopped)
    another_client.log_in(ada)
    another_client.post("/auth/reset", data={"email": ada.email})
    choose(another_client, outbox.link())
    another_client.log_in(ada, NEW)
    assert another_client.post(STEP, data={"recovery_code": phone.codes[0]}).location == "/"


def test_how_many_are_left_is_shown_and_told_when_they_are_few(app, ada, phone, outbox):
    for used, code in enumerate(phone.codes, 1):
        browser = app.test_client()
        browser.log_in(ada)
        assert browser.post(STEP, data={"recovery_code": code}).location == "/"
        prove(browser, phone)
        assert f"<strong>{10 - used}</strong> left" in browser.get(NEW_ONES).text
        assert f"{10 - used} left" in browser.get("/account").text
    few = [email.subject for email in outbox() if "recovery codes left" in email.subject]
    assert few == ["You have 3 recovery codes left"]
    locked_out = app.test_client()
    page = locked_out.get(locked_out.log_in(ada).location)
    assert "Your recovery codes are used up. Ask the administrators of this site" in page.text
    assert 'name="recovery_code"' not in page.text


def test_new_ones_replace_all(client, another_client, ada, phone, outbox):
    use(client, ada, phone.codes[0])
    prove(client, phone)
    assert "Make new codes" in client.get(NEW_ONES).text
    page = client.post(NEW_ONES)
    new = codes_on(page)
    assert (len(new), set(new) & set(phone.codes)) == (10, set())
    prove(client, phone)
    assert new[0] not in client.get(NEW_ONES).text, "they are shown once"
    assert outbox()[-1].subject == "New recovery codes were made for your account"
    assert use(another_client, ada, phone.codes[1]).status_code == 422
    assert another_client.post(STEP, data={"recovery_code": new[0]}).location == "/"
    assert len(db.session.scalars(select(RecoveryCode)).all()) == 9


def test_they_can_be_downloaded_without_another_request(client, ada, phone):
    use(client, ada, phone.codes[0])
    prove(client, phone)
    page = client.post(NEW_ONES)
    assert page.headers["Cache-Control"] == "no-store"
    address = page.text.partition('download="recovery-codes.txt" href="')[2].partition('"')[0]
    assert address.startswith("data:text/plain")
    assert all(code in unquote(address) for code in codes_on(page))
    assert "Recovery codes for ada at Flasky" in unquote(address)


def test_without_two_factor_there_are_none(client, ada):
    client.log_in(ada)
    assert client.get(NEW_ONES).location == "/auth/two-factor"
    assert client.post(NEW_ONES).location == "/auth/two-factor"
    assert db.session.scalars(select(RecoveryCode)).all() == []


def test_anothers_code_is_no_code(client, ada, bob, phone):
    bob.confirmed, bob.two_factor_enabled_at = True, phone.clock.time
    db.session.commit()
    assert use(client, bob, phone.codes[0]).status_code == 422
    assert not is_logged_in(client)

"""VERIFY_NEW_DEVICES: a login by password on a device that is not recognised takes a code from an email."""

import html
import re

import pytest
from sqlalchemy import delete, func, select, update
from support.authenticators import set_up
from support.clients import JSON, PASSWORD
from support.concurrency import at_once, copies
from support.emails import code_in, wrong
from support.pages import is_logged_in, notes
from support.passkeys import Key
from support.passkeys import add as add_passkey
from support.passkeys import log_in as log_in_by_passkey
from support.passwords import NEW, choose
from support.records import count, history

from app.accounts import device_verification
from app.extensions import db
from app.models import AuditAction, AuditEvent, Device, EmailChallenge, OutboxEmail, User, UserSession

LOGIN, VERIFY = "/auth/login", "/auth/verify-device"
WRONG = "This code is incorrect or has expired. Enter the code from the newest email, or request another one."
START_AGAIN = "Your login took too long, or your account has changed. Log in again."


@pytest.fixture
def settings():
    return {"VERIFY_NEW_DEVICES": True}


# Rate limits are not under test here: they would let five of the requests pass.
unlimited = pytest.mark.parametrize("settings", [{"VERIFY_NEW_DEVICES": True, "RATELIMIT_ENABLED": False}])


@pytest.fixture
def owner(app, ada):
    """Ada's own device, where she is logged in."""
    browser = app.test_client()
    assert browser.log_in(ada).location == "/"
    return browser


@pytest.fixture
def new_device(app, owner, ada):
    """Another device, where her password was right."""
    browser = app.test_client()
    assert browser.log_in(ada).location == VERIFY
    return browser


def log_in(browser):
    return browser.post(LOGIN, data={"login": "ada", "password": PASSWORD}).location


def enter(browser, code, **request):
    return browser.post(VERIFY, data={"code": code}, **request)


def refused(answer):
    return answer.status_code == 422 and WRONG in html.unescape(answer.text)


def sessions_of(user):
    return db.session.scalar(select(func.count()).where(UserSession.user_id == user.id))


def test_a_password_on_a_new_device_takes_the_code_of_an_email(app, owner, ada, outbox, clock):
    outbox().clear()
    browser = app.test_client()
    fields = {"login": "ada", "password": PASSWORD, "remember_me": "y"}
    assert browser.post(f"{LOGIN}?next=/auth/history", data=fields).location == VERIFY
    assert sessions_of(ada) == 1, "only her own device's"
    assert not is_logged_in(browser)
    page = browser.get(VERIFY)
    assert page.status_code == 200
    assert f"{clock.time:%H:%M} UTC</time>" in page.text
    assert "ada@example.com" not in page.text, "an attacker who has username and password learns no email address"
    assert 'autocomplete="one-time-code"' in page.text
    [email] = outbox()
    assert email.recipients == ["ada@example.com"]
    assert email.subject == f"{code_in(email)} is your Flasky login code"
    assert "ada" not in re.sub(r"http\S+|ada@", "", email.body)
    answer = enter(browser, code_in(email))
    assert answer.location == "/auth/history"
    assert "device" in str(answer.headers.getlist("Set-Cookie"))
    assert browser.get_cookie("session").expires is not None, "kept logged in, as was asked for"
    newest = db.session.scalar(select(UserSession).order_by(UserSession.created_at.desc(), UserSession.id))
    assert newest.method == "password"
    assert sessions_of(ada) == 2
    assert history()[-4:] == ["device_code_sent", "device_verified", "logged_in", "new_device"]


def test_the_device_is_recognised_from_then_on(new_device, ada, outbox):
    assert enter(new_device, code_in(outbox()[-1])).location == "/"
    new_device.post("/auth/logout")
    outbox().clear()
    assert new_device.log_in(ada).location == "/"
    assert outbox() == []


def test_without_the_code_nothing_of_the_account_opens(new_device, ada):
    assert not is_logged_in(new_device)
    for address in ("/auth/history", "/auth/two-factor", "/auth/passkeys", "/auth/change-password", "/auth/export"):
        assert new_device.get(address).location.startswith(LOGIN)
    assert new_device.get("/auth/two-factor/verify").location == LOGIN
    assert new_device.post("/auth/passkeys/request-options/two_factor", headers=JSON).status_code == 401
    assert sessions_of(ada) == 1


def test_a_wrong_password_sends_no_device_code(app, owner, outbox):
    outbox().clear()
    browser = app.test_client()
    assert browser.post(LOGIN, data={"login": "ada", "password": "wrong"}).status_code == 422
    assert browser.get(VERIFY).location == LOGIN
    assert outbox() == []


def test_the_first_device_of_an_account_takes_no_code(client, ada, outbox):
    assert client.log_in(ada).location == "/"
    assert outbox() == []


def test_an_account_with_no_recognised_device_left_takes_a_device_code(app, owner, ada):
    """Cleanup forgets devices after a year, and stolen passwords are tried on accounts that nobody uses."""
    db.session.execute(delete(Device))
    db.session.commit()
    assert app.test_client().log_in(ada).location == VERIFY


def test_an_unconfirmed_account_takes_no_device_code(app, bob):
    for _ in range(2):
        browser = app.test_client()
        assert browser.log_in(bob).location == "/auth/unconfirmed"


def test_a_magic_link_and_a_passkey_take_no_device_code(app, owner, ada, outbox):
    browser = app.test_client()
    browser.post("/auth/magic-link", data={"email": ada.email})
    assert browser.get(outbox.link()).location == "/"
    key = Key()
    add_passkey(owner, key)
    outbox().clear()
    assert log_in_by_passkey(app.test_client(), key).location == "/"
    assert not any("code" in email.subject for email in outbox())


def test_two_factor_is_asked_for_instead_of_a_device_code(app, owner, ada, outbox, clock):
    set_up(owner, clock)
    outbox().clear()
    browser = app.test_client()
    assert browser.log_in(ada).location == "/auth/two-factor/verify"
    assert browser.get(VERIFY).location == LOGIN
    assert outbox() == []


@pytest.mark.parametrize("settings", [{}])
def test_device_verification_is_off_by_default(app, owner, ada, flask):
    assert app.test_client().log_in(ada).location == "/"
    result = flask("users", "trust-next-login", "ada", "--yes")
    assert "VERIFY_NEW_DEVICES is off" in result.stdout
    assert db.session.scalar(select(User.next_login_trusted_until)) is None


def test_the_device_of_another_account_is_not_recognised(app, owner, ada, bob):
    bob.confirmed = True
    db.session.commit()
    app.test_client().log_in(bob)
    owner.post("/auth/logout")
    assert owner.log_in(bob).location == VERIFY


@pytest.mark.parametrize("typed", ["", "abc", "0" * 8, "\0", "1" * 65, "\ud800".encode("utf-8", "surrogatepass")])
def test_garbage_instead_of_a_device_code_is_refused(new_device, ada, outbox, typed):
    assert enter(new_device, typed).status_code in {422, 400}
    assert sessions_of(ada) == 1
    assert enter(new_device, code_in(outbox()[-1])).location == "/"


def test_a_device_code_has_five_attempts_and_a_new_email_a_new_code(new_device, ada, outbox, clock):
    code = code_in(outbox()[-1])
    for _ in range(5):
        assert refused(enter(new_device, wrong(code)))
    assert refused(enter(new_device, code)), "the right one, too"
    assert sessions_of(ada) == 1
    assert history().count("device_code_failed") == 5, "later attempts are not recorded"
    clock.move(seconds=60)
    assert new_device.post(VERIFY, data={"again": "y"}).location == VERIFY
    second = code_in(outbox()[-1])
    assert second != code
    assert enter(new_device, second).location == "/"


def test_a_device_code_works_for_fifteen_minutes(new_device, outbox, clock):
    code = code_in(outbox()[-1])
    clock.move(minutes=15)
    assert refused(enter(new_device, code))
    clock.move(seconds=-1)
    assert enter(new_device, code).location == "/"


def test_device_verification_waits_for_half_an_hour(new_device, outbox, clock):
    new_device.get(VERIFY)
    clock.move(minutes=29)
    new_device.post(VERIFY, data={"again": "y"}, follow_redirects=True)
    code = code_in(outbox()[-1])
    clock.move(minutes=1)
    answer = enter(new_device, code)
    assert answer.location.startswith(LOGIN)
    assert notes(new_device.get(LOGIN)) == [START_AGAIN]


def test_of_ten_requests_with_one_device_code_at_once_one_logs_in(new_device, ada, outbox):
    code, browsers = code_in(outbox()[-1]), copies(new_device, 10)
    statuses = at_once(lambda browser: enter(browser, code).status_code, browsers)
    assert sorted(statuses) == [302] + [422] * 9
    assert sum(map(is_logged_in, browsers)) == 1
    assert sessions_of(ada) == 2
    assert history().count("device_verified") == 1


def test_another_browser_cannot_use_the_device_code(app, new_device, ada, outbox):
    code = code_in(outbox()[-1])
    stranger = app.test_client()
    assert enter(stranger, code).location == LOGIN
    thief = app.test_client()
    assert thief.log_in(ada).location == VERIFY, "the password alone sends another email"
    assert refused(enter(thief, code))
    assert enter(new_device, code).location == "/"


def test_codes_work_for_their_own_account_and_purpose(app, new_device, ada, bob, outbox):
    code = code_in(outbox()[-1])
    bob.confirmed = True
    db.session.commit()
    app.test_client().log_in(bob)
    other = app.test_client()
    other.log_in(bob)
    assert refused(enter(new_device, code_in(outbox()[-1])))
    other.post("/auth/magic-link", data={"email": ada.email})
    assert refused(enter(new_device, code_in(outbox()[-1])))
    new_device.post("/auth/magic-link", data={"email": ada.email})
    assert new_device.post("/auth/magic-link/sent", data={"code": code}).status_code == 422
    assert sessions_of(ada) == 1


def change_password(owner, outbox, clock):
    changed = {"old_password": PASSWORD, "password": NEW, "confirm_password": NEW}
    assert owner.post("/auth/change-password", data=changed).status_code == 302


def reset_password(owner, outbox, clock):
    browser = owner.application.test_client()
    browser.post("/auth/reset", data={"email": "ada@example.com"})
    choose(browser, outbox.link())


def turn_two_factor_on(owner, outbox, clock):
    set_up(owner, clock)


def change_email(owner, outbox, clock):
    owner.post("/auth/change-email", data={"email": "lovelace@example.com", "password": PASSWORD})
    [email] = [email for email in outbox() if "/auth/change-email/" in email.body]
    assert owner.get(re.search(r"/auth/change-email/\S+", email.body)[0]).location == "/account"


@pytest.mark.parametrize("change", [change_password, reset_password, turn_two_factor_on, change_email])
def test_a_change_of_credentials_or_address_ends_device_verification(owner, new_device, outbox, clock, change):
    code = code_in(outbox()[-1])
    change(owner, outbox, clock)
    assert enter(new_device, code).location.startswith(LOGIN)
    assert notes(new_device.get(LOGIN))[0] == START_AGAIN
    assert not is_logged_in(new_device)


@pytest.mark.parametrize("command", ["deactivate", "delete"])
def test_deactivating_or_deleting_the_account_ends_device_verification(flask, new_device, outbox, command):
    code = code_in(outbox()[-1])
    assert flask("users", command, "ada", *(["--now", "--yes"] if command == "delete" else [])).exit_code == 0
    answer = enter(new_device, code)
    assert answer.location.startswith(LOGIN)
    assert not is_logged_in(new_device)


def test_a_deactivated_account_gets_no_device_code(app, owner, ada, flask, outbox):
    flask("users", "deactivate", "ada")
    outbox().clear()
    browser = app.test_client()
    assert browser.log_in(ada).location == LOGIN
    assert browser.get(VERIFY).location == LOGIN
    assert outbox() == []


@pytest.mark.parametrize(
    "change",
    [{"deactivated_at": True}, {"password_version": User.password_version + 1}],
    ids=["deactivated", "password changed"],
)
def test_a_change_during_the_request_ends_device_verification_too(
    app, new_device, ada, outbox, clock, monkeypatch, change
):
    """After the page has loaded the account, and before it logs in."""
    right = device_verification.is_right

    def change_then_look(*given):
        values = {name: clock.time if value is True else value for name, value in change.items()}
        found = right(*given)
        db.session.execute(update(User).values(values).execution_options(synchronize_session=False))
        return found

    monkeypatch.setattr(device_verification, "is_right", change_then_look)
    assert enter(new_device, code_in(outbox()[-1])).location == LOGIN
    assert sessions_of(ada) == 1


def test_a_pending_deletion_is_shown_after_device_verification(new_device, ada, outbox, clock):
    ada.deletion_due_at = clock.time
    db.session.commit()
    assert enter(new_device, code_in(outbox()[-1])).location == "/"
    assert new_device.get("/account").location == "/auth/cancel-deletion"


def test_the_same_device_code_is_sent_again_after_a_minute(new_device, outbox, clock):
    code = code_in(outbox()[-1])
    page = new_device.post(VERIFY, data={"again": "y"}, follow_redirects=True)
    assert notes(page) == ["You can request another email in 60 seconds."]
    assert 'data-wait="60"' in page.text
    clock.move(seconds=60)
    amount = len(outbox())
    page = new_device.post(VERIFY, data={"again": "y"}, follow_redirects=True)
    assert notes(page) == ["We sent another email."]
    assert len(outbox()) == amount + 1
    assert code_in(outbox()[-1]) == code
    assert enter(new_device, code).location == "/"


def test_the_password_entered_again_at_once_sends_no_second_device_code(new_device, ada, outbox):
    amount, code = len(outbox()), code_in(outbox()[-1])
    assert new_device.log_in(ada).location == VERIFY
    assert len(outbox()) == amount
    assert enter(new_device, code).location == "/"


def test_the_device_verification_page_says_when_the_email_waits_or_was_refused(new_device, outbox, clock):
    waits, failed = "The email hasn't been sent yet.", "The email couldn't be delivered"
    page = new_device.get(VERIFY)
    assert waits not in page.text
    clock.move(seconds=31)
    assert waits in new_device.get(VERIFY).text
    db.session.execute(update(OutboxEmail).values(status="failed"))
    db.session.commit()
    page = new_device.get(VERIFY)
    assert failed in page.text
    db.session.execute(update(OutboxEmail).values(status="sent"))
    db.session.commit()
    assert waits not in new_device.get(VERIFY).text
    db.session.execute(update(OutboxEmail).values(status="waiting", attempts=1, created_at=clock.time))
    db.session.commit()
    assert waits in new_device.get(VERIFY).text


def test_an_account_gets_five_device_codes_an_hour_and_other_emails_still(app, owner, ada, outbox):
    outbox().clear()
    for _ in range(5):
        browser = app.test_client()
        browser.log_in(ada)
        assert "we emailed a code" in browser.get(VERIFY).text
    browser = app.test_client()
    assert browser.log_in(ada).location == VERIFY
    page = browser.get(VERIFY)
    assert "sent many to this account recently" in page.text
    assert 'name="code"' not in page.text
    for _ in range(3):
        assert enter(browser, "12345678").status_code == 422
    assert browser.post(VERIFY, data={"again": "y"}).location == VERIFY
    assert len(outbox()) == 5
    assert count(EmailChallenge) == 5, "a code that no email has is no code"
    browser.post("/auth/reset", data={"email": ada.email})
    assert outbox()[-1].subject != outbox()[0].subject, "a reset is sent"


def test_an_account_gets_fifteen_device_codes_a_day(app, owner, ada, outbox, clock):
    outbox().clear()
    for _ in range(20):
        app.test_client().log_in(ada)
        clock.move(minutes=30)
    assert len(outbox()) == 15


@unlimited
def test_logins_at_once_send_five_device_codes_at_most(app, owner, ada, outbox):
    outbox().clear()
    assert set(at_once(log_in, [app.test_client() for _ in range(12)])) == {VERIFY}
    assert len(outbox()) == 5


def test_device_verification_as_json(app, owner, ada, outbox):
    browser = app.test_client()
    assert browser.post(VERIFY, data={"code": "12345678"}, headers=JSON).status_code == 401
    assert browser.get(VERIFY, headers=JSON).status_code == 401
    answer = browser.post(LOGIN, data={"login": "ada", "password": PASSWORD}, headers=JSON)
    assert answer.json == {"logged_in": False, "next": VERIFY}
    code = code_in(outbox()[-1])
    answer = enter(browser, wrong(code), headers=JSON)
    assert (answer.status_code, answer.json) == (422, {"errors": {"code": [WRONG]}})
    assert enter(browser, code, headers=JSON).json == {"logged_in": True, "next": "/"}


def test_device_verification_is_no_two_factor_and_no_reauthentication(app, owner, ada, outbox, clock):
    app.config["TWO_FACTOR_REQUIRED_FOR"] = "everybody"
    browser = app.test_client()
    browser.log_in(ada)
    clock.move(minutes=10)
    browser.post(VERIFY, data={"again": "y"})
    assert enter(browser, code_in(outbox()[-1])).location == "/"
    assert browser.get("/").location == "/auth/two-factor", "one must still be set up"
    app.config["TWO_FACTOR_REQUIRED_FOR"] = "nobody"
    assert browser.get("/auth/passkeys").status_code == 200
    clock.move(minutes=5)
    assert browser.get("/auth/passkeys").location == "/auth/reauthenticate", "15 minutes from the password"


def test_trust_next_login_lets_one_login_pass_without_a_device_code(app, owner, ada, flask, outbox):
    result = flask("users", "trust-next-login", "ada", "--yes")
    assert result.exit_code == 0
    assert "ada can log in on a new device without a code, once" in result.stdout
    outbox().clear()
    browser = app.test_client()
    assert browser.log_in(ada).location == "/"
    assert history()[-4:] == ["next_login_trusted", "next_login_trust_used", "logged_in", "new_device"]
    detail = db.session.scalar(select(AuditEvent.detail).where(AuditEvent.action == AuditAction.NEXT_LOGIN_TRUSTED))
    assert detail["by"] == "command_line"
    assert app.test_client().log_in(ada).location == VERIFY, "once"


def test_trust_next_login_lasts_an_hour(app, owner, ada, flask, clock):
    flask("users", "trust-next-login", "ada", "--yes")
    clock.move(hours=1)
    assert app.test_client().log_in(ada).location == VERIFY


def test_trust_next_login_ends_with_any_login(app, owner, ada, flask):
    flask("users", "trust-next-login", "ada", "--yes")
    owner.post("/auth/logout")
    assert owner.log_in(ada).location == "/", "her own device, which is recognised"
    assert app.test_client().log_in(ada).location == VERIFY


def test_a_wrong_password_does_not_consume_trust_next_login(app, owner, ada, flask):
    flask("users", "trust-next-login", "ada", "--yes")
    assert app.test_client().log_in(ada, "wrong").status_code == 422
    assert app.test_client().log_in(ada).location == "/"


@unlimited
def test_of_ten_logins_at_once_trust_next_login_allows_one(app, owner, ada, flask):
    flask("users", "trust-next-login", "ada", "--yes")
    browsers = [app.test_client() for _ in range(10)]
    assert sorted(at_once(log_in, browsers)) == ["/"] + [VERIFY] * 9
    assert sum(map(is_logged_in, browsers)) == 1


def test_trust_next_login_asks_first_and_says_when_it_changes_nothing(app, owner, ada, flask, clock):
    assert flask("users", "trust-next-login", "ada").exit_code == 1, "nobody said yes"
    assert db.session.scalar(select(User.next_login_trusted_until)) is None
    assert flask("users", "trust-next-login", "nobody", "--yes").exit_code == 1
    set_up(owner, clock)
    result = flask("users", "trust-next-login", "ada", "--yes")
    assert "ada has two-factor authentication" in result.stdout
    assert db.session.scalar(select(User.next_login_trusted_until)) is None


def test_flask_users_why_names_trust_next_login(owner, flask, app):
    assert "flask users trust-next-login ada" in flask("users", "why", "ada").stdout
    app.config["VERIFY_NEW_DEVICES"] = False
    assert "trust-next-login" not in flask("users", "why", "ada").stdout

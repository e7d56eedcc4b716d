"""Two-factor authentication at login and reauthentication: which methods ask for it, and the limits on codes."""

from base64 import b32encode
from datetime import UTC, datetime

import pytest
from sqlalchemy import func, select, update
from support.clients import PASSWORD, hidden_token, on_sqlite
from support.corpora import OUTSIDE
from support.emails import code_in
from support.login_methods import by_button, by_code, by_link, by_password, by_reset
from support.pages import beside, is_logged_in, notes
from support.records import history
from support.routes import addresses

from app.accounts import authenticators, two_factor_codes
from app.auth import login_flow
from app.extensions import db
from app.models import AuditEvent, Authenticator, User, UserSession
from app.security import signing

STEP, ASK = "/auth/two-factor/verify", "/auth/reauthenticate"


@pytest.fixture
def app(own_app, app):
    """An application with a login method of its own: /first-step logs ada in, `both` with both factors."""

    def first_step(both):
        ada = db.session.scalar(select(User).where(User.username == "ada"))
        return login_flow.complete_login(ada, "sso", remember=True, is_both_factors=both == "both")

    app.add_url_rule("/first-step/<both>", view_func=first_step, methods=["POST"])
    return app


# The login methods: each returns the page that it redirects to


def by_confirmation(client, outbox):
    """With PREVENT_ENUMERATION, the confirmation link asks for the password, and logs in."""
    client.application.config["PREVENT_ENUMERATION"] = True
    db.session.execute(update(User).values(confirmed=False))
    db.session.commit()
    token = db.session.scalar(select(User)).generate_confirmation_token()
    return client.post(f"/auth/confirm/{token}", data={"password": PASSWORD}).location


def by_sso(client, outbox):
    return client.post("/first-step/one").location


FIRST = [by_password, by_link, by_code, by_button, by_reset, by_confirmation, by_sso]
METHODS = {"by_confirmation": "confirmation", "by_sso": "sso", "by_password": "password", "by_reset": "password"}


# What is entered at two-factor authentication, and whether it logs in


SECOND = {
    "the code of now": (lambda phone: {"code": phone.code()}, True),
    "the code before": (lambda phone: {"code": phone.code(-1)}, True),
    "the code after": (lambda phone: {"code": phone.code(1)}, True),
    "two codes before": (lambda phone: {"code": phone.code(-2)}, False),
    "two codes after": (lambda phone: {"code": phone.code(2)}, False),
    "a wrong code": (lambda phone: {"code": phone.wrong()}, False),
    "a recovery code": (lambda phone: {"recovery_code": phone.codes.pop()}, True),
    "a wrong recovery code": (lambda phone: {"recovery_code": phone.codes[0][:-1] + "8"}, False),
    "nothing": (lambda phone: {}, False),
    "emptiness": (lambda phone: {"code": "", "recovery_code": ""}, False),
    "other digits": (lambda phone: {"code": "".join(chr(ord(digit) + 0x660 - 48) for digit in phone.code())}, False),
    "a NUL": (lambda phone: {"code": phone.code() + "\0"}, False),
    "the password": (lambda phone: {"code": PASSWORD}, False),
    "the key": (lambda phone: {"code": phone.totp.secret}, False),
}


@pytest.mark.parametrize("first", FIRST, ids=lambda first: first.__name__)
def test_every_login_method_asks_for_two_factor(app, ada, phone, outbox, first):
    for name, (typed, lets_in) in SECOND.items():
        phone.clock.move(hours=2)  # emails are counted
        client = app.test_client()
        assert first(client, outbox) == STEP, name
        assert not is_logged_in(client), name
        answer = client.post(STEP, data=typed(phone))
        assert (answer.status_code == 302) is lets_in, name
        assert is_logged_in(client) is lets_in, name
        alive = db.session.scalars(select(UserSession).where(*UserSession.active())).all()
        assert [row.method for row in alive] == [METHODS.get(first.__name__, "magic_link")] * lets_in, name
        client.post("/auth/logout")


def recognised(app, phone, outbox, **fields):
    """Return a browser that ada's account recognises, where nobody is logged in."""
    browser = app.test_client()
    by_password(browser, outbox)
    assert browser.post(STEP, data={"code": phone.code()} | fields).location == "/"
    browser.post("/auth/logout")
    phone.clock.move(minutes=1)
    return browser


@pytest.mark.parametrize("first", FIRST, ids=lambda first: first.__name__)
def test_a_trusted_device_is_exempt_from_two_factor(app, ada, phone, outbox, first):
    client = recognised(app, phone, outbox, trust="y")
    # A new password ends the trust.
    assert first(client, outbox) == (STEP if first is by_reset else "/")
    assert is_logged_in(client) is not (first is by_reset)


def test_a_login_that_is_both_factors_is_not_asked_for_two_factor(client, ada, phone, outbox):
    assert client.post("/first-step/both").location == "/"
    assert is_logged_in(client)
    assert history()[-2:] == ["logged_in", "new_device"]


@on_sqlite
@pytest.mark.parametrize("first", FIRST, ids=lambda first: first.__name__)
def test_no_login_method_logs_in_a_deactivated_user(app, client, ada, outbox, first):
    app.test_cli_runner().invoke(args=["users", "deactivate", "ada"])
    assert first(client, outbox).partition("?")[0] == "/auth/login"
    assert "This account has been deactivated." in client.get("/auth/login").text
    assert not is_logged_in(client)
    assert db.session.scalars(select(UserSession)).all() == []


def test_the_two_factor_page_without_a_pending_login_redirects_to_login(client, ada, phone):
    assert client.get(STEP).location == "/auth/login"
    assert client.post(STEP, data={"code": phone.code()}).location == "/auth/login"
    assert client.post(STEP, data={"recovery_code": phone.codes[0]}).location == "/auth/login"
    assert not is_logged_in(client)
    assert "two_factor_failed" not in history()


def test_no_url_leads_past_two_factor(app, client, another_client, ada, phone, outbox):
    """A browser with a pending login is a visitor at every URL but this one."""
    by_password(client, outbox)
    for method in ("GET", "POST"):
        for endpoint, address in addresses(app, method):
            if endpoint not in {"auth.two_factor_verify", "first_step"}:
                for query in ("", "?next=/account&code=" + phone.code()):
                    with (
                        client.open(address + query, method=method) as half,
                        another_client.open(address + query, method=method) as stranger,
                    ):
                        assert (half.status_code, half.location) == (stranger.status_code, stranger.location), address
                        assert b"Log out" not in half.data, address
    assert db.session.scalar(select(func.count()).where(UserSession.revoked_at.is_(None))) == 0
    assert client.post(STEP, data={"code": phone.code()}).location == "/"


# The pending login


def test_a_login_takes_effect_only_after_two_factor(app, client, ada, phone, outbox):
    app.config["WTF_CSRF_ENABLED"] = True
    form = client.get("/auth/login?next=/auth/history")
    planted = hidden_token(form)
    fields = {"login": "ada", "password": PASSWORD, "remember_me": "y", "csrf_token": planted}
    answer = client.post("/auth/login?next=/auth/history", data=fields)
    assert answer.location == STEP
    assert client.get_cookie("device") is None
    assert "logged_in" not in history()[-1:]
    token = hidden_token(client.get(STEP))
    done = client.post(STEP, data={"code": phone.code(), "csrf_token": token})
    assert done.location == "/auth/history"
    assert client.get_cookie("device") is not None
    assert client.get_cookie("session").expires is not None, "it is remembered"
    assert client.post("/auth/logout", data={"csrf_token": planted}).status_code == 400, "planted before"
    assert history()[-2:] == ["logged_in", "new_device"]


def test_a_message_of_the_login_is_flashed_after_two_factor(client, ada, phone, outbox):
    assert by_confirmation(client, outbox) == STEP
    assert notes(client.get(STEP)) == []
    page = client.post(STEP, data={"code": phone.code()}, follow_redirects=True)
    assert notes(page) == ["Your email address is confirmed. Welcome."]


def test_next_leads_nowhere_outside_after_two_factor(app, ada, phone):
    for next_page in OUTSIDE:
        client = app.test_client()
        client.post("/auth/login", query_string={"next": next_page}, data={"login": "ada", "password": PASSWORD})
        assert client.post(STEP, data={"code": phone.code()}).location == "/", next_page
        phone.clock.move(minutes=1)


def test_another_user_stays_logged_in_until_two_factor_is_done(client, ada, bob, phone, outbox):
    bob.confirmed = True
    db.session.commit()
    client.log_in(bob)
    assert by_button(client, outbox) == STEP
    assert "bob" in client.get("/account").text
    client.post(STEP, data={"code": phone.code()})
    assert "ada" in client.get("/account").text
    assert db.session.scalar(select(func.count()).where(UserSession.revoked_at.is_(None))) == 1


def test_a_pending_two_factor_login_lasts_ten_minutes(client, ada, phone, outbox):
    client.post("/auth/login?next=/auth/history", data={"login": "ada", "password": PASSWORD})
    phone.clock.move(minutes=9, seconds=59)
    assert client.get(STEP).status_code == 200
    phone.clock.move(seconds=1)
    answer = client.post(STEP, data={"code": phone.code()})
    assert answer.location == "/auth/login?next=/auth/history"
    assert "Your login took too long" in notes(client.get("/auth/login"))[0]
    assert not is_logged_in(client)
    assert "two_factor_used" not in history(), "the code is not used"


def change_password(ada, outbox, browser):
    by_reset(browser, outbox)


def deactivate(ada, outbox, browser):
    browser.application.test_cli_runner().invoke(args=["users", "deactivate", "ada"])


def change_factor(ada, outbox, browser):
    browser.application.test_cli_runner().invoke(args=["users", "reset-two-factor", "ada", "--yes"])


def delete(ada, outbox, browser):
    browser.application.test_cli_runner().invoke(args=["users", "delete", "ada", "--now", "--yes"])


@pytest.mark.parametrize("event", [change_password, deactivate, change_factor, delete])
def test_a_pending_two_factor_login_ends_when_the_account_changes(
    app, client, another_client, ada, phone, outbox, event
):
    copy = app.test_client()
    by_password(client, outbox)
    copy.set_cookie("session", client.get_cookie("session").value)
    event(ada, outbox, another_client)
    assert copy.get(STEP).location.startswith("/auth/login"), "nor is it asked for"
    phone.clock.move(minutes=1)
    for typed in ({"code": phone.code()}, {"recovery_code": phone.codes[0]}):
        assert client.post(STEP, data=typed).location.partition("?")[0] == "/auth/login"
    assert not is_logged_in(client)


# Codes


def test_an_authenticator_code_works_once(client, another_client, ada, phone, outbox):
    by_password(client, outbox)
    by_password(another_client, outbox)
    assert client.post(STEP, data={"code": phone.code()}).location == "/"
    refused = another_client.post(STEP, data={"code": phone.code()})
    assert "was already used" in beside("code", refused)
    assert another_client.post(STEP, data={"code": phone.code(-1)}).status_code == 422, "nor an earlier one"
    assert another_client.post(STEP, data={"code": phone.code(1)}).location == "/"


# RFC 6238, appendix B: seconds since 1970, and the code of eight digits, of which an app shows the last six.
VECTORS = {59: "94287082", 1111111109: "07081804", 1111111111: "14050471"}
VECTORS |= {1234567890: "89005924", 2000000000: "69279037", 20000000000: "65353130"}


def test_authenticator_codes_match_the_test_vectors_of_rfc_6238(app, ada, clock):
    secret = signing.encrypt("authenticator", b32encode(b"12345678901234567890").decode())
    db.session.add(Authenticator(user_id=ada.id, secret=secret))
    db.session.commit()
    for seconds, code in VECTORS.items():
        clock.time = datetime.fromtimestamp(seconds, UTC)
        assert authenticators.use_code(ada, code[2:])
        assert not authenticators.use_code(ada, code[2:])


def test_an_authenticator_code_works_once_at_login_or_reauthentication(client, another_client, ada, phone, outbox):
    by_password(client, outbox)
    client.post(STEP, data={"code": phone.code()})
    phone.clock.move(minutes=16)
    by_password(another_client, outbox)
    code = phone.code()
    assert client.post(ASK, data={"password": PASSWORD, "factor_code": code}).status_code == 302
    assert another_client.post(STEP, data={"code": code}).status_code == 422
    phone.clock.move(minutes=16)
    by_password(another_client, outbox)
    code = phone.code()
    assert another_client.post(STEP, data={"code": code}).location == "/"
    assert client.post(ASK, data={"password": PASSWORD, "factor_code": code}).status_code == 422


# Reauthentication


@pytest.fixture
def member(client, ada, phone, outbox):
    """Ada's browser, 16 minutes after she logged in."""
    by_password(client, outbox)
    client.post(STEP, data={"code": phone.code()})
    phone.clock.move(minutes=16)
    return client


def asks(client):
    return client.get("/auth/export").location == ASK


def test_reauthentication_asks_for_both_factors(member, phone):
    assert 'name="factor_code"' in member.get("/auth/export", follow_redirects=True).text
    assert 'name="factor_code"' in member.post("/auth/delete").text
    for fields in ({"password": PASSWORD}, {"factor_code": phone.code()}, {"password": PASSWORD, "factor_code": " "}):
        assert member.post(ASK, data=fields).status_code == 422
        assert asks(member)
    assert member.post(ASK, data={"password": "wrong", "factor_code": phone.code()}).status_code == 422
    page = member.post(ASK, data={"password": PASSWORD, "factor_code": phone.wrong()})
    assert (page.status_code, "incorrect" in beside("factor_code", page)) == (422, True)
    assert asks(member)
    # The right code was not used up beside the wrong password.
    assert member.post(ASK, data={"password": PASSWORD, "factor_code": phone.code()}).location == "/auth/export"
    assert not asks(member)


def test_reauthentication_takes_a_recovery_code(member, phone):
    assert member.post(ASK, data={"password": PASSWORD, "factor_code": phone.codes[0]}).status_code == 302
    assert not asks(member)


def test_reauthentication_without_a_password_takes_an_emailed_code_and_the_second_factor(member, ada, phone, outbox):
    db.session.execute(update(User).values(password_hash=None))
    db.session.commit()
    member.post(ASK, data={"send_code": "y"})
    code = code_in(outbox()[-1])
    assert member.post(ASK, data={"code": code}).status_code == 422
    assert member.post(ASK, data={"code": code, "factor_code": phone.wrong()}).status_code == 422
    assert asks(member)
    assert member.post(ASK, data={"code": code, "factor_code": phone.code()}).location == "/auth/export"


def test_a_trusted_device_is_asked_for_two_factor_at_reauthentication(app, ada, phone, outbox):
    client = recognised(app, phone, outbox, trust="y")
    assert by_password(client, outbox) == "/"
    assert is_logged_in(client)
    assert asks(client)


def test_wrong_authenticator_codes_at_reauthentication_count_too(member, another_client, ada, phone, outbox):
    for _ in range(5):
        member.post(ASK, data={"password": PASSWORD, "factor_code": phone.wrong()})
    page = member.post(ASK, data={"password": PASSWORD, "factor_code": phone.code()})
    assert "Try again in five minutes" in beside("factor_code", page)
    phone.clock.move(minutes=5)
    assert member.post(ASK, data={"password": PASSWORD, "factor_code": phone.code()}).status_code == 302


# Limits on codes


def wrong(client, phone, times, **fields):
    return [client.post(STEP, data={"code": phone.wrong(), **fields}) for _ in range(times)][-1]


def test_five_wrong_authenticator_codes_pause_for_five_minutes(app, client, ada, phone, outbox):
    by_password(client, outbox)
    assert "incorrect" in beside("code", wrong(client, phone, 5))
    for browser in (client, app.test_client()):
        by_password(browser, outbox)  # another first step changes nothing
        page = browser.post(STEP, data={"code": phone.code()})
        assert "Try again in five minutes" in beside("code", page)
        assert not is_logged_in(browser)
    assert history().count("two_factor_failed") == 5, "a code that is not checked is not counted"
    phone.clock.move(minutes=4, seconds=59)
    assert client.post(STEP, data={"code": phone.code()}).status_code == 422
    phone.clock.move(seconds=1)
    assert client.post(STEP, data={"code": phone.code()}).location == "/"


def test_a_pause_of_authenticator_codes_does_not_lock_the_user_out(app, ada, phone, outbox):
    known, trusted = recognised(app, phone, outbox), recognised(app, phone, outbox, trust="y")
    thief = app.test_client()
    by_password(thief, outbox)
    wrong(thief, phone, 6)
    assert by_password(trusted, outbox) == "/"
    by_password(known, outbox)
    assert known.post(STEP, data={"code": phone.code()}).location == "/", "recognised devices have a count of their own"
    stranger = app.test_client()
    by_password(stranger, outbox)
    assert stranger.post(STEP, data={"recovery_code": phone.codes[0]}).location == "/"


def test_wrong_codes_on_a_recognised_device_do_not_pause_others(app, ada, phone, outbox):
    client = recognised(app, phone, outbox)
    by_password(client, outbox)
    wrong(client, phone, 5)
    assert "Try again in five minutes" in beside("code", client.post(STEP, data={"code": phone.code()}))
    other = app.test_client()
    by_password(other, outbox)
    assert other.post(STEP, data={"code": phone.code()}).location == "/"


def test_recognised_devices_share_one_count_of_wrong_codes(app, ada, phone, outbox):
    """An attacker who logged in on many devices before two-factor was on has no more attempts with them."""
    for browser in [recognised(app, phone, outbox) for _ in range(4)]:
        by_password(browser, outbox)
        wrong(browser, phone, 3)
    assert history().count("two_factor_failed") == 5
    stranger = app.test_client()
    by_password(stranger, outbox)
    wrong(stranger, phone, 8)
    assert history().count("two_factor_failed") == 10


@pytest.mark.parametrize("typed", ["ABCD-EFGH", "12345", "1234567", "12345678", "a" * 64, "ⅫⅫ", "½½½½½½"])
def test_what_cannot_be_an_authenticator_code_is_not_counted_as_one(client, ada, phone, outbox, typed):
    by_password(client, outbox)
    for name in ("recovery_code", "code"):
        for _ in range(6):
            assert "incorrect" in beside(name, client.post(STEP, data={name: typed}))
    assert "two_factor_failed" not in history()
    assert "A login to your Flasky account was blocked" not in [email.subject for email in outbox()]
    assert client.post(STEP, data={"code": phone.code()}).location == "/"


def test_a_recovery_code_sent_twice_pauses_nothing(client, another_client, ada, phone, outbox):
    by_password(client, outbox)
    another_client.set_cookie("session", client.get_cookie("session").value)
    assert client.post(STEP, data={"recovery_code": phone.codes[0]}).location == "/"
    for _ in range(6):
        assert another_client.post(STEP, data={"recovery_code": phone.codes[0]}).status_code == 422
    assert another_client.post(STEP, data={"code": phone.code()}).location == "/"


def test_wrong_recovery_codes_are_in_the_history_and_limited_by_network(client, ada, phone, outbox):
    by_password(client, outbox)
    answers = [client.post(STEP, data={"recovery_code": "A" * 24}).status_code for _ in range(40)]
    assert answers == [422] * 30 + [429] * 10
    by_password(client, outbox)
    client.environ_base["REMOTE_ADDR"] = "192.0.2.77"
    client.post(STEP, data={"recovery_code": phone.codes[0]})
    assert "Wrong or used recovery code entered" in client.get("/auth/history").text


@pytest.mark.extended
def test_after_a_hundred_wrong_authenticator_codes_another_password_is_needed(
    client, another_client, ada, phone, outbox
):
    for _ in range(20):
        by_password(client, outbox)
        wrong(client, phone, 5)
        phone.clock.move(minutes=5)
    by_password(client, outbox)
    page = client.post(STEP, data={"code": phone.code()})
    assert "Too many incorrect codes were entered by someone who knows your password." in beside("code", page)
    phone.clock.move(days=7)
    by_password(client, outbox)
    assert client.post(STEP, data={"code": phone.code()}).status_code == 422
    assert by_reset(another_client, outbox) == STEP
    assert another_client.post(STEP, data={"code": phone.code()}).location == "/"


def test_wrong_authenticator_codes_are_emailed_three_times_an_hour(client, ada, phone, outbox):
    by_password(client, outbox)
    wrong(client, phone, 5)
    assert [email.subject for email in outbox()].count("A login to your Flasky account was blocked") == 3
    assert "They didn't get in." in outbox[-1].body
    assert "This wasn't me:\n" in outbox[-1].body
    phone.clock.move(hours=1)
    by_password(client, outbox)
    wrong(client, phone, 1)
    assert [email.subject for email in outbox()].count("A login to your Flasky account was blocked") == 4


def test_each_two_factor_attempt_and_success_is_in_the_history(client, ada, phone, outbox):
    by_password(client, outbox)
    wrong(client, phone, 1)
    client.post(STEP, data={"code": phone.code(), "trust": "y"})
    lines = ["two_factor_failed", "two_factor_used", "logged_in", "new_device", "device_trusted"]
    assert history()[-5:] == lines
    page = client.get("/auth/history").text
    assert "Wrong two-factor code entered" in page
    details = db.session.scalars(select(AuditEvent.detail).where(AuditEvent.action.in_(lines[:2]))).all()
    assert phone.totp.secret not in str(details)


def test_two_factor_errors_as_json(client, ada, phone, outbox):
    by_password(client, outbox)
    answer = client.post(STEP, data={"code": phone.wrong()}, headers={"Accept": "application/json"})
    assert answer.status_code == 422
    assert answer.json == {"errors": {"code": [f"{two_factor_codes.WRONG} {two_factor_codes.CLOCK}"]}}

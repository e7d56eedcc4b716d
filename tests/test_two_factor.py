"""Authenticator apps: set up, removed, required; and how who is locked out gets in again."""

import re
import threading
from datetime import timedelta

import pyotp
import pytest
from sqlalchemy import select, update
from support.authenticators import SET_UP, Phone, codes_on, key_on, prove, set_up
from support.clients import PASSWORD
from support.pages import beside, is_logged_in, told
from support.passwords import NEW, choose
from support.records import history
from support.routes import addresses

from app.accounts import authenticators, two_factor
from app.extensions import db
from app.models import Authenticator, RecoveryCode, User, UserSession

STEP = "/auth/two-factor/verify"


def is_on(user):
    db.session.expire_all()
    left = [db.session.scalars(select(model)).all() for model in (Authenticator, RecoveryCode)]
    assert [bool(rows) for rows in left] == [two_factor.is_on(user)] * 2
    return two_factor.is_on(user)


def log_in(client, user, phone, password=PASSWORD):
    client.log_in(user, password)
    return client.post(STEP, data={"code": phone.code()})


# Setting it up


def test_it_is_on_after_one_right_code(client, another_client, ada, clock, outbox):
    client.log_in(ada)
    another_client.log_in(ada)
    copy = client.get_cookie("session").value
    page = client.get(SET_UP)
    assert "<svg" in page.text
    phone = Phone(key_on(page), clock)
    assert re.search(r"<code class=\"key\">([A-Z2-7]{4} ){7}[A-Z2-7]{4}</code>", page.text)
    refused = client.post(SET_UP, data={"code": phone.wrong()})
    assert (refused.status_code, "not right" in beside("code", refused)) == (422, True)
    assert key_on(refused) == key_on(client.get(SET_UP)) == phone.totp.secret, "it is the same until it is set up"
    assert not is_on(ada)
    done = client.post(SET_UP, data={"code": f" {phone.code()[:3]} {phone.code()[3:]} "})
    assert (done.status_code, len(set(codes_on(done)))) == (200, 10)
    assert is_on(ada)
    assert is_logged_in(client)
    assert told(another_client) == ["You were logged out because the account's two-factor authentication was changed."]
    another_client.set_cookie("session", copy)
    assert not is_logged_in(another_client), "its id is another now"
    assert history()[-1] == "two_factor_on"
    assert outbox()[-1].subject == "Two-factor authentication is on"
    assert phone.totp.secret not in client.get(SET_UP).text


def test_a_key_that_is_not_set_up_yet_is_nobody_elses(app, client, another_client, ada, bob):
    bob.confirmed = True
    db.session.commit()
    client.log_in(ada)
    another_client.log_in(ada)
    key = key_on(client.get(SET_UP))
    assert key_on(another_client.get(SET_UP)) != key
    assert key.encode() not in client.get_cookie("session").value.encode()
    client.post("/auth/logout")
    client.log_in(bob)
    assert key_on(client.get(SET_UP)) != key
    assert app.config["SECRET_KEY"] not in key


def test_an_app_reads_from_the_picture_whose_key_it_is(app, ada):
    read = pyotp.parse_uri(authenticators.uri(ada, authenticators.new_secret()))
    assert (read.issuer, read.name, read.digits, read.interval) == ("Flasky", "ada@example.com", 6, 30)
    assert len(read.byte_secret()) == 20


def test_the_code_that_set_it_up_is_used_up(client, another_client, ada, clock):
    client.log_in(ada)
    phone = Phone(key_on(client.get(SET_UP)), clock)
    client.post(SET_UP, data={"code": phone.code()})
    another_client.log_in(ada)
    assert another_client.post(STEP, data={"code": phone.code()}).status_code == 422
    assert another_client.post(STEP, data={"code": phone.code(1)}).location == "/"


def test_two_browsers_that_set_it_up_at_once_set_up_one(app, client, another_client, ada, clock, monkeypatch):
    client.log_in(ada)
    another_client.log_in(ada)
    keys = [key_on(browser.get(SET_UP)) for browser in (client, another_client)]
    mine, theirs = ({"code": Phone(key, clock).code()} for key in keys)
    add, faster = two_factor.add, []

    def be_overtaken(*arguments):
        if not faster:
            faster.append(threading.Thread(target=another_client.post, args=[SET_UP], kwargs={"data": theirs}))
            faster[0].start()
            faster[0].join()
        return add(*arguments)

    monkeypatch.setattr(two_factor, "add", be_overtaken)
    answer = client.post(SET_UP, data=mine)
    assert answer.status_code == 422
    assert "changed elsewhere" in answer.text
    assert len(db.session.scalars(select(Authenticator)).all()) == 1
    assert len(db.session.scalars(select(RecoveryCode)).all()) == 10


def test_the_database_alone_has_no_secret_and_no_code(app, client, ada, phone):
    client.log_in(ada)
    client.post(STEP, data={"code": phone.code()})
    dump = "\n".join(str(db.session.execute(select(table)).all()) for table in db.metadata.sorted_tables)
    assert phone.totp.secret not in dump
    assert phone.totp.byte_secret().hex() not in dump
    for code in phone.codes:
        assert code not in dump
        assert code.replace("-", "") not in dump
    session_id = db.session.scalar(select(UserSession.id).where(UserSession.revoked_at.is_(None)))
    app.config["SECRET_KEY"] = "of somebody who has the database, and guesses at the key"
    serializer = app.session_interface.get_signing_serializer(app)
    forged = serializer.dumps({"_user_id": session_id, "_fresh": True})
    app.config["SECRET_KEY"] = "for tests alone, and long enough to be a key"
    thief = app.test_client()
    thief.set_cookie("session", forged)
    assert not is_logged_in(thief)


def test_an_earlier_key_decrypts_and_the_newest_takes_over(app, client, another_client, ada, phone):
    old = app.config["SECRET_KEY"]
    app.config.update(SECRET_KEY="another key of the tests, long enough", SECRET_KEY_FALLBACKS=[old])
    assert log_in(client, ada, phone).location == "/"
    app.config.update(SECRET_KEY_FALLBACKS=[])
    phone.clock.move(minutes=1)
    assert log_in(another_client, ada, phone).location == "/"
    app.config.update(SECRET_KEY="a third one, by which it can't be read any more")
    phone.clock.move(minutes=1)
    assert log_in(app.test_client(), ada, phone).status_code == 422


# Removing it


def test_removing_it_takes_the_recovery_codes_along_and_is_told(client, another_client, ada, phone, outbox):
    log_in(client, ada, phone)
    phone.clock.move(minutes=1)
    log_in(another_client, ada, phone)
    prove(client, phone)
    assert client.post("/auth/two-factor/off").location == SET_UP
    assert not is_on(ada)
    assert is_logged_in(client)
    assert not is_logged_in(another_client)
    assert outbox()[-1].subject == "Two-factor authentication is off"
    assert history()[-1] == "two_factor_off"
    assert another_client.log_in(ada).location == "/"
    assert client.post("/auth/two-factor/off").location == SET_UP, "twice is nothing"


def test_each_change_is_told_with_a_way_to_take_the_account_back(client, ada, phone, outbox):
    log_in(client, ada, phone)
    prove(client, phone)
    client.post("/auth/recovery-codes")
    prove(client, phone)
    client.post("/auth/two-factor/off")
    way_back = "This wasn't me:\nhttp://localhost/auth/secure-account/"
    assert [email.subject for email in outbox() if way_back in email.body] == [
        "Two-factor authentication is on",
        "A new browser is logged in to your account",
        "New recovery codes were made for your account",
        "Two-factor authentication is off",
    ]


# Nor by the mailbox or the password alone


@pytest.mark.parametrize("page", ["/auth/change-password", "/auth/change-email"])
def test_who_knows_the_password_alone_changes_neither_it_nor_the_address_later(client, ada, phone, outbox, page):
    log_in(client, ada, phone)
    phone.clock.move(minutes=16)
    assert client.get(page).location == "/auth/reauthenticate"
    words = {"old_password": PASSWORD, "password": NEW, "confirm_password": NEW, "email": "thief@example.com"}
    asked = client.post(page, data=words)
    assert (asked.status_code, "<h1>Is it you?</h1>" in asked.text) == (403, True)
    assert PASSWORD not in asked.text
    assert client.post("/auth/reauthenticate", data={"password": PASSWORD}).status_code == 422
    assert (
        client.post("/auth/reauthenticate", data={"password": PASSWORD, "factor_code": phone.code()}).location == page
    )
    assert client.get(page).status_code == 200


def test_every_other_reset_leaves_it_and_signs_nobody_in(client, ada, phone, outbox):
    client.post("/auth/reset", data={"email": ada.email})
    assert choose(client, outbox.link()).location == "/auth/login"
    assert is_on(ada)
    assert not is_logged_in(client)
    assert client.log_in(ada, NEW).location == STEP
    assert not is_logged_in(client)
    phone.clock.move(minutes=1)
    assert client.post(STEP, data={"code": phone.code()}).location == "/"


def test_who_proves_email_ownership_first_finds_no_two_factor(client, another_client, bob, clock, outbox):
    client.log_in(bob)
    bob.confirmed = True
    db.session.commit()
    set_up(client, clock)
    db.session.execute(update(User).values(confirmed=False))
    db.session.commit()
    another_client.post("/auth/magic-link", data={"email": bob.email})
    assert another_client.get(outbox.link()).location == "/auth/change-password"
    assert not is_on(bob)


# Where it is required

LEADS_TO_SET_UP = {"auth.renew_codes", "auth.remove_authenticator"}  # by themselves, where nothing is set up
LEADS_TO_SET_UP |= {"auth.require_passkey", "auth.stop_requiring_passkey"}


@pytest.mark.parametrize("settings", [{"TWO_FACTOR_REQUIRED_FOR": "everybody"}, {"TWO_FACTOR_REQUIRED_FOR": "admins"}])
def test_those_who_must_have_one_are_held_at_its_set_up(app, client, another_client, ada, bob, clock, settings):
    ada.is_admin = bob.confirmed = True
    db.session.commit()
    another_client.log_in(bob)
    is_everybody = settings["TWO_FACTOR_REQUIRED_FOR"] == "everybody"
    assert is_logged_in(another_client) is not is_everybody
    client.log_in(ada)
    assert client.get("/auth/history").location == SET_UP
    assert client.get("/account", headers={"Accept": "application/json"}).status_code == 403
    open_to_her = {"auth.two_factor", "auth.remove_authenticator", "auth.renew_codes", "auth.reauthenticate"}
    open_to_her |= {"auth.require_passkey", "auth.stop_requiring_passkey"}
    open_to_her |= {"auth.list_passkeys", "auth.add_passkey", "auth.passkey_creation_options", "auth.secure_account"}
    open_to_her |= {
        "auth.logout",
        "auth.cancel_deletion",
        "auth.delete",
        "static",
        "asset",
        "main.healthz",
        "main.readyz",
    }
    for method in ("GET", "POST"):
        for endpoint, address in addresses(app, method):
            if endpoint not in {"auth.logout", "auth.delete"}:
                with client.open(address, method=method) as answer:
                    held = answer.location == SET_UP and endpoint not in LEADS_TO_SET_UP
                assert held is (endpoint not in open_to_her), (method, endpoint)
    phone = set_up(client, clock)
    assert is_logged_in(client)
    prove(client, phone)
    client.post("/auth/two-factor/off")
    assert not is_logged_in(client)


def test_who_leaves_can_say_that_they_stay_before_they_set_it_up(app, client, ada):
    app.config["TWO_FACTOR_REQUIRED_FOR"] = "everybody"
    ada.deletion_due_at = ada.created_at + timedelta(days=14)
    db.session.commit()
    client.log_in(ada)
    assert client.get("/account", follow_redirects=True).request.path == "/auth/cancel-deletion"
    assert client.post("/auth/cancel-deletion").status_code == 302
    assert client.get("/account").location == SET_UP


def test_the_way_leads_on_after_the_set_up(app, client, ada, clock):
    app.config["TWO_FACTOR_REQUIRED_FOR"] = "everybody"
    client.log_in(ada)
    client.get("/auth/history")
    phone = Phone(key_on(client.get(SET_UP)), clock)
    page = client.post(SET_UP, data={"code": phone.code()})
    assert 'href="/auth/history">I have saved them' in page.text


# Locked out


def test_an_administrator_turns_it_off(app, client, another_client, ada, phone, outbox):
    log_in(client, ada, phone)
    run = app.test_cli_runner(catch_exceptions=False).invoke
    said = run(args=["users", "why", "ada"]).stdout
    assert "ada uses two-factor authentication (authenticator; 10 recovery codes left)." in said
    assert "flask users reset-two-factor ada" in said
    assert "ada can log in. They" not in said
    assert "Factors    authenticator" in run(args=["users", "show", "ada"]).stdout
    assert run(args=["users", "reset-two-factor", "ada"], input="n\n").exit_code == 1
    assert is_on(ada)
    assert (
        "can log in without two-factor authentication"
        in run(args=["users", "reset-two-factor", "ADA@example.com", "--yes"]).stdout
    )
    assert not is_on(ada)
    assert not is_logged_in(client)
    assert history()[-1] == "two_factor_reset"
    assert "By: those who run Flasky" in outbox()[-1].body
    assert another_client.log_in(ada).location == "/"
    assert "doesn't use two-factor authentication" in run(args=["users", "reset-two-factor", "ada"]).stdout


def test_the_account_page_says_what_is_set_up(client, ada, clock):
    client.log_in(ada)
    page = client.get("/account").text
    assert 'Two-factor authentication</strong><div class="text-body-secondary">Off' in page
    assert "Recovery codes" not in page
    set_up(client, clock)
    page = client.get("/account").text
    assert "On, with an authenticator app" in page
    assert "10 left" in page


def test_turning_it_on_or_off_asks_who_one_is(client, ada, phone):
    log_in(client, ada, phone)
    phone.clock.move(minutes=16)
    assert client.get(SET_UP).location == "/auth/reauthenticate"
    assert client.post("/auth/two-factor/off").status_code == 403
    assert client.post("/auth/recovery-codes").status_code == 403
    assert is_on(ada)

"""Two-factor authentication: turned on and off, required, what changing a credential takes, and recovery codes."""

import hashlib
import re
import threading
from datetime import timedelta
from urllib.parse import unquote

import pyotp
import pytest
from sqlalchemy import select, update
from support.authenticators import PROVE, SET_UP, SETTINGS, Phone, codes_on, key_on, prove, set_up
from support.clients import PASSWORD
from support.concurrency import at_once
from support.pages import beside, is_logged_in, told
from support.passwords import NEW, NEW_TWICE, choose
from support.records import history
from support.routes import FILES, addresses

from app.accounts import authenticators, two_factor, two_factor_codes
from app.extensions import db
from app.models import AuditAction, AuditEvent, Authenticator, Identity, Passkey, RecoveryCode, User, UserSession
from app.security import audit
from config import Config

STEP, CODES = "/auth/two-factor/verify", "/auth/recovery-codes"


# Turn it on with an authenticator app


def is_on(user):
    db.session.expire_all()
    left = [db.session.scalars(select(model)).all() for model in (Authenticator, RecoveryCode)]
    assert [bool(rows) for rows in left] == [two_factor.is_on(user)] * 2
    return two_factor.is_on(user)


def log_in(client, user, phone, password=PASSWORD):
    client.log_in(user, password)
    return client.post(STEP, data={"code": phone.code()})


def test_two_factor_is_on_after_one_right_code_of_the_app(client, another_client, ada, clock, outbox):
    client.log_in(ada)
    another_client.log_in(ada)
    copy = client.get_cookie("session").value
    page = client.get(SET_UP)
    assert "<svg" in page.text
    phone = Phone(key_on(page), clock)
    assert re.search(r"<code class=\"key\">([A-Z2-7]{4} ){7}[A-Z2-7]{4}</code>", page.text)
    refused = client.post(SET_UP, data={"code": phone.wrong()})
    assert (refused.status_code, "incorrect" in beside("code", refused)) == (422, True)
    assert key_on(refused) == key_on(client.get(SET_UP)) == phone.totp.secret, "it is the same until it is set up"
    assert not is_on(ada)
    done = client.post(SET_UP, data={"code": f" {phone.code()[:3]} {phone.code()[3:]} "})
    assert (done.status_code, len(set(codes_on(done)))) == (200, 10)
    assert is_on(ada)
    assert is_logged_in(client)
    assert told(another_client) == ["You were logged out because your two-factor authentication was changed."]
    another_client.set_cookie("session", copy)
    assert not is_logged_in(another_client), "its id is another now"
    assert history()[-1] == "two_factor_on"
    assert outbox()[-1].subject == "Two-factor authentication was turned on for your Flasky account"
    assert phone.totp.secret not in client.get(SET_UP).text


def test_an_authenticator_key_belongs_to_one_session_until_it_is_set_up(app, client, another_client, ada, bob):
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


def test_the_qr_code_of_the_authenticator_names_the_site_and_the_account(app, ada):
    read = pyotp.parse_uri(authenticators.uri(ada, authenticators.new_secret()))
    assert (read.issuer, read.name, read.digits, read.interval) == ("Flasky", "ada@example.com", 6, 30)
    assert len(read.byte_secret()) == 20


def test_the_code_that_set_up_the_authenticator_does_not_log_in(client, another_client, ada, clock):
    client.log_in(ada)
    phone = Phone(key_on(client.get(SET_UP)), clock)
    client.post(SET_UP, data={"code": phone.code()})
    another_client.log_in(ada)
    assert another_client.post(STEP, data={"code": phone.code()}).status_code == 422
    assert another_client.post(STEP, data={"code": phone.code(1)}).location == "/"


def test_of_two_authenticators_set_up_at_once_one_is_added(app, client, another_client, ada, clock, monkeypatch):
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
    assert "changed on another device" in answer.text
    assert len(db.session.scalars(select(Authenticator)).all()) == 1
    assert len(db.session.scalars(select(RecoveryCode)).all()) == 10


def test_the_database_alone_holds_no_authenticator_secret_no_recovery_code_and_no_cookie(app, client, ada, phone):
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


def test_an_authenticator_code_moves_the_secret_to_the_newest_key(app, client, another_client, ada, phone):
    old = app.config["SECRET_KEY"]
    app.config.update(SECRET_KEY="another key of the tests, long enough", SECRET_KEY_FALLBACKS=[old])
    assert log_in(client, ada, phone).location == "/"
    app.config.update(SECRET_KEY_FALLBACKS=[])
    phone.clock.move(minutes=1)
    assert log_in(another_client, ada, phone).location == "/"
    app.config.update(SECRET_KEY="a third one, by which it can't be read any more")
    phone.clock.move(minutes=1)
    assert log_in(app.test_client(), ada, phone).status_code == 422


def test_the_account_page_says_whether_two_factor_is_on(client, ada, clock):
    client.log_in(ada)
    page = client.get("/account").text
    assert re.search(r'Two-factor authentication <span class="badge off">Off<', page)
    assert "Recovery codes" not in page
    set_up(client, clock)
    page = client.get("/account").text
    assert re.search(r'Two-factor authentication <span class="badge on">On<', page)
    assert "10 codes left" in page


# Turn it off


def test_removing_the_authenticator_turns_two_factor_off_and_says_so(client, another_client, ada, phone, outbox):
    log_in(client, ada, phone)
    phone.clock.move(minutes=1)
    log_in(another_client, ada, phone)
    prove(client, phone)
    assert client.post("/auth/two-factor/off").location == SETTINGS
    assert not is_on(ada)
    assert is_logged_in(client)
    assert not is_logged_in(another_client)
    assert outbox()[-1].subject == "Two-factor authentication was turned off for your Flasky account"
    assert history()[-1] == "two_factor_off"
    assert another_client.log_in(ada).location == "/"
    assert client.post("/auth/two-factor/off").location == SETTINGS, "twice is nothing"


def test_every_change_of_two_factor_sends_an_email_with_this_wasnt_me(client, ada, phone, outbox):
    log_in(client, ada, phone)
    prove(client, phone)
    client.post("/auth/recovery-codes")
    prove(client, phone)
    client.post("/auth/two-factor/off")
    way_back = "This wasn't me:\nhttp://localhost/auth/secure-account/"
    assert [email.subject for email in outbox() if way_back in email.body] == [
        "Two-factor authentication was turned on for your Flasky account",
        "New login to your Flasky account",
        "Your Flasky recovery codes were replaced",
        "Two-factor authentication was turned off for your Flasky account",
    ]


def test_an_administrator_resets_two_factor_at_the_command_line(app, client, another_client, ada, phone, outbox):
    log_in(client, ada, phone)
    run = app.test_cli_runner(catch_exceptions=False).invoke
    said = run(args=["users", "why", "ada"]).stdout
    assert "ada uses two-factor authentication (authenticator; 10 recovery codes left)." in said
    assert "flask users reset-two-factor ada" in said
    assert "ada can log in. They" not in said
    assert "Two-factor authenticator" in run(args=["users", "show", "ada"]).stdout
    assert run(args=["users", "reset-two-factor", "ada"], input="n\n").exit_code == 1
    assert is_on(ada)
    said = run(args=["users", "reset-two-factor", "ADA@example.com", "--yes"]).stdout
    assert "can log in without two-factor authentication" in said
    assert not is_on(ada)
    assert not is_logged_in(client)
    assert history()[-1] == "two_factor_reset"
    assert "By: an administrator of Flasky" in outbox()[-1].body
    assert another_client.log_in(ada).location == "/"
    assert "doesn't use two-factor authentication" in run(args=["users", "reset-two-factor", "ada"]).stdout


# Neither the password nor the email account alone turns it off


@pytest.mark.parametrize("page", ["/auth/change-password", "/auth/change-email"])
def test_the_password_alone_changes_neither_password_nor_email_where_two_factor_is_on(client, ada, phone, outbox, page):
    log_in(client, ada, phone)
    phone.clock.move(minutes=16)
    assert client.get(page).location == "/auth/reauthenticate"
    words = {"old_password": PASSWORD, "password": NEW, "confirm_password": NEW, "email": "thief@example.com"}
    asked = client.post(page, data=words)
    assert (asked.status_code, "<h1>Confirm it's you</h1>" in asked.text) == (403, True)
    assert PASSWORD not in asked.text
    assert client.post("/auth/reauthenticate", data={"password": PASSWORD}).status_code == 422
    both = {"password": PASSWORD, "factor_code": phone.code()}
    assert client.post("/auth/reauthenticate", data=both).location == page
    assert client.get(page).status_code == 200


def test_a_password_reset_leaves_two_factor_on_and_logs_nobody_in(client, ada, phone, outbox):
    client.post("/auth/reset", data={"email": ada.email})
    assert choose(client, outbox.link()).location == "/auth/login"
    assert is_on(ada)
    assert not is_logged_in(client)
    assert client.log_in(ada, NEW).location == STEP
    assert not is_logged_in(client)
    phone.clock.move(minutes=1)
    assert client.post(STEP, data={"code": phone.code()}).location == "/"


def test_the_first_proof_of_the_email_address_turns_two_factor_off(client, another_client, bob, clock, outbox):
    client.log_in(bob)
    bob.confirmed = True
    db.session.commit()
    set_up(client, clock)
    db.session.execute(update(User).values(confirmed=False))
    db.session.commit()
    another_client.post("/auth/magic-link", data={"email": bob.email})
    assert another_client.get(outbox.link()).location == "/auth/change-password"
    assert not is_on(bob)


# Required by TWO_FACTOR_REQUIRED_FOR

LEADS_TO_SET_UP = {"auth.renew_codes", "auth.remove_authenticator"}  # by themselves, where nothing is set up
LEADS_TO_SET_UP |= {"auth.require_passkey", "auth.stop_requiring_passkey"}


@pytest.mark.parametrize("settings", [{"TWO_FACTOR_REQUIRED_FOR": "everybody"}, {"TWO_FACTOR_REQUIRED_FOR": "admins"}])
def test_users_who_must_have_two_factor_are_held_at_its_page(app, client, another_client, ada, bob, clock, settings):
    ada.is_admin = bob.confirmed = True
    db.session.commit()
    another_client.log_in(bob)
    is_everybody = settings["TWO_FACTOR_REQUIRED_FOR"] == "everybody"
    assert is_logged_in(another_client) is not is_everybody
    client.log_in(ada)
    assert client.get("/auth/history").location == SETTINGS
    assert client.get("/account", headers={"Accept": "application/json"}).status_code == 403
    open_to_her = {"auth.two_factor", "auth.remove_authenticator", "auth.renew_codes", "auth.reauthenticate"}
    open_to_her |= {"auth.set_up_authenticator", "auth.require_passkey", "auth.stop_requiring_passkey"}
    open_to_her |= {"auth.list_passkeys", "auth.add_passkey", "auth.passkey_creation_options", "auth.secure_account"}
    open_to_her |= {"auth.logout", "auth.cancel_deletion", "auth.delete"}
    open_to_her |= FILES | {"main.healthz", "main.readyz", "main.metrics", "main.appearance", "main.language"}
    for method in ("GET", "POST"):
        for endpoint, address in addresses(app, method):
            if endpoint not in {"auth.logout", "auth.delete"}:
                with client.open(address, method=method) as answer:
                    held = answer.location == SETTINGS and endpoint not in LEADS_TO_SET_UP
                assert held is (endpoint not in open_to_her), (method, endpoint)
    phone = set_up(client, clock)
    assert is_logged_in(client)
    prove(client, phone)
    client.post("/auth/two-factor/off")
    assert not is_logged_in(client)


def test_a_pending_deletion_is_cancelled_before_required_two_factor_is_set_up(app, client, ada):
    app.config["TWO_FACTOR_REQUIRED_FOR"] = "everybody"
    ada.deletion_due_at = ada.created_at + timedelta(days=14)
    db.session.commit()
    client.log_in(ada)
    assert client.get("/account", follow_redirects=True).request.path == "/auth/cancel-deletion"
    assert client.post("/auth/cancel-deletion").status_code == 302
    assert client.get("/account").location == SETTINGS


def test_after_required_two_factor_is_set_up_the_user_goes_on_to_the_page_they_came_for(app, client, ada, clock):
    app.config["TWO_FACTOR_REQUIRED_FOR"] = "everybody"
    client.log_in(ada)
    client.get("/auth/history")
    phone = Phone(key_on(client.get(SET_UP)), clock)
    page = client.post(SET_UP, data={"code": phone.code()})
    assert 'href="/auth/history">I\'ve saved my recovery codes' in page.text


# Each change of a credential takes both factors


@pytest.fixture
def member(client, ada, phone, clock):
    """Ada's browser, where she has just logged in with both factors. She has a passkey, too."""
    db.session.add(Passkey(user_id=ada.id, name="Key", credential_id="x", public_key="x", sign_count=0))
    db.session.commit()
    client.log_in(ada)
    client.post(STEP, data={"code": phone.code()})
    clock.move(minutes=1)
    return client


def handle():
    return db.session.scalar(select(Passkey)).handle


CHANGES = {
    "remove the app": lambda: ("/auth/two-factor/off", {}),
    "remove a passkey": lambda: (f"/auth/passkeys/{handle()}/remove", {}),
    "renew recovery codes": lambda: ("/auth/recovery-codes", {}),
    "remove the password": lambda: ("/auth/remove-password", {}),
    "change the password": lambda: ("/auth/change-password", {"old_password": PASSWORD} | NEW_TWICE),
    "ask for another address": lambda: ("/auth/change-email", {"email": "x@example.com", "password": PASSWORD}),
    "add a passkey": lambda: ("/auth/passkeys", {"name": "Thief's", "credential": "{}"}),
    "make a passkey": lambda: ("/auth/passkeys/creation-options", {}),
}


def credentials():
    db.session.expire_all()
    models = (Authenticator, Identity, Passkey, RecoveryCode)
    return {model.__name__: [row.id for row in db.session.scalars(select(model))] for model in models}


@pytest.mark.parametrize("change", CHANGES)
def test_changing_a_credential_takes_both_factors_even_right_after_login(member, change):
    url, data = CHANGES[change]()
    before = credentials()
    answer = member.post(url, data=data)
    assert (answer.status_code, "<h1>Confirm it's you</h1>" in answer.text) == (403, True)
    assert credentials() == before
    assert PASSWORD not in answer.text


@pytest.mark.parametrize(
    "page", ["/auth/passkeys/add", "/auth/two-factor/off", "/auth/recovery-codes", "/auth/remove-password"]
)
def test_a_page_that_changes_a_credential_asks_for_both_factors_and_comes_back(member, phone, page):
    assert member.get(page).location == PROVE
    back = member.post(PROVE, data={"password": PASSWORD, "factor_code": phone.code()}).location
    assert back == page
    assert member.get(page).status_code in {200, 302}


def test_a_proof_of_both_factors_allows_one_change(member, phone):
    prove(member, phone)
    assert member.post("/auth/recovery-codes").status_code == 200
    assert member.post("/auth/recovery-codes").status_code == 403
    assert member.post("/auth/two-factor/off").status_code == 403
    prove(member, phone)
    assert member.post(f"/auth/passkeys/{handle()}/remove").status_code == 302
    assert member.post("/auth/two-factor/off").status_code == 403
    prove(member, phone)
    form = {"email": "x@example.com", "password": PASSWORD}
    assert member.post("/auth/change-email", data=form).status_code == 302, "it is requested"
    assert member.post("/auth/recovery-codes").status_code == 403


def test_a_proof_of_both_factors_lasts_five_minutes(member, phone, clock):
    prove(member, phone)
    clock.move(minutes=4)
    assert member.post("/auth/recovery-codes").status_code == 403


def test_an_invalid_form_does_not_consume_the_proof_of_both_factors(member, phone):
    prove(member, phone)
    for password, status in (("wrong", 422), (PASSWORD, 302)):
        form = {"old_password": password} | NEW_TWICE
        assert member.post("/auth/change-password", data=form).status_code == status


def test_a_copied_session_cookie_is_dead_after_a_proof_of_both_factors(member, another_client, phone):
    another_client.set_cookie("session", member.get_cookie("session").value)
    prove(member, phone)
    assert another_client.post("/auth/recovery-codes").location.startswith("/auth/login")


def test_of_two_changes_at_once_with_one_proof_of_both_factors_one_is_made(member, another_client, phone):
    prove(member, phone)
    another_client.set_cookie("session", member.get_cookie("session").value)
    browsers = [member, another_client]
    answers = at_once(lambda browser: browser.post("/auth/recovery-codes").status_code, browsers)
    assert answers.count(200) == 1
    assert len(db.session.scalars(select(RecoveryCode)).all()) == 10


def test_the_passkeys_page_asks_for_both_factors_before_a_passkey_is_created(member, phone):
    page = member.get("/auth/passkeys")
    assert 'data-passkey="create"' not in page.text
    assert re.search(r'href="/auth/passkeys/add"', page.text)
    prove(member, phone)
    assert 'data-passkey="create"' in member.get("/auth/passkeys").text


def test_the_page_that_removes_the_authenticator_changes_nothing_when_it_is_opened(member, phone):
    prove(member, phone)
    before = credentials()
    page = member.get("/auth/two-factor/off")
    assert "Cancel" in page.text
    assert member.head("/auth/two-factor/off").status_code == 200
    assert credentials() == before


# Recovery codes


def use(client, user, code):
    client.log_in(user)
    return client.post(STEP, data={"recovery_code": code})


def test_a_recovery_code_works_once_in_either_field(client, another_client, ada, phone):
    client.log_in(ada)
    another_client.log_in(ada)
    assert all(re.fullmatch(r"[A-Z2-7]{5}-[A-Z2-7]{5}", code) for code in phone.codes)
    typed = phone.codes[3].lower().replace("-", " ")
    assert client.post(STEP, data={"recovery_code": typed}).location == "/"
    refused = another_client.post(STEP, data={"recovery_code": typed})
    assert (refused.status_code, "incorrect" in beside("recovery_code", refused)) == (422, True)
    assert another_client.post(STEP, data={"code": phone.codes[4]}).location == "/", "in whichever field"
    assert is_logged_in(another_client)
    assert history().count("two_factor_used") == 2


@pytest.mark.parametrize("settings", [{"RECOVERY_CODE_HASH": Config.RECOVERY_CODE_HASH}])
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


@pytest.mark.extended
def test_after_a_hundred_wrong_recovery_codes_none_is_checked_until_the_password_changes(
    client, another_client, ada, phone, outbox
):
    for network in range(10):
        client.environ_base["REMOTE_ADDR"] = f"192.0.2.{network}"
        client.log_in(ada)
        answers = [client.post(STEP, data={"recovery_code": "AAAAA-AAAAA"}) for _ in range(10)]
        assert all("incorrect" in beside("recovery_code", answer) for answer in answers)
    stopped = client.post(STEP, data={"recovery_code": phone.codes[0]})
    assert "Too many incorrect codes were entered" in beside("recovery_code", stopped)
    another_client.log_in(ada)
    another_client.post("/auth/reset", data={"email": ada.email})
    choose(another_client, outbox.link())
    another_client.log_in(ada, NEW)
    assert another_client.post(STEP, data={"recovery_code": phone.codes[0]}).location == "/"


@pytest.mark.parametrize("action", [AuditAction.PASSWORD_CHANGED, AuditAction.TWO_FACTOR_USED])
def test_wrong_recovery_codes_of_before_do_not_count_after_what_ends_the_row(app, client, ada, phone, clock, action):
    """All of them come from one network within an hour."""
    client.log_in(ada)
    client.post(STEP, data={"code": "AAAAA-AAAAA"})
    db.session.execute(update(AuditEvent).where(AuditEvent.action == "recovery_code_failed").values(count=99))
    clock.move(seconds=5)
    audit.record(ada, action)
    db.session.commit()
    clock.move(seconds=5)
    for _ in range(2):
        client.post(STEP, data={"code": "AAAAA-AAAAA"})
    assert two_factor_codes.blocks(ada) == []
    failed = select(AuditEvent.count).where(AuditEvent.action == "recovery_code_failed").order_by(AuditEvent.id)
    assert db.session.scalars(failed).all() == [99, 2]


def test_how_many_recovery_codes_are_left_is_shown_and_emailed_when_few(app, flask, ada, phone, outbox):
    for used, code in enumerate(phone.codes, 1):
        browser = app.test_client()
        browser.log_in(ada)
        assert browser.post(STEP, data={"recovery_code": code}).location == "/"
        prove(browser, phone)
        left = "1 code left" if used == 9 else f"{10 - used} codes left"
        assert left in browser.get(CODES).text.replace("recovery ", "").replace("</strong>", "")
        assert left in browser.get("/account").text
        assert left in browser.get(SETTINGS).text
        if used == 9:
            assert "; 1 recovery code left)" in flask("users", "why", "ada").stdout
    few = [email.subject for email in outbox() if "recovery codes left" in email.subject]
    assert few == ["You have 3 Flasky recovery codes left"]
    locked_out = app.test_client()
    page = locked_out.get(locked_out.log_in(ada).location)
    assert "You have no recovery codes left. Ask the administrators of this site" in page.text
    assert 'name="recovery_code"' not in page.text


def test_new_recovery_codes_replace_the_old_ones(client, another_client, ada, phone, outbox):
    use(client, ada, phone.codes[0])
    prove(client, phone)
    assert "Get new recovery codes" in client.get(CODES).text
    page = client.post(CODES)
    new = codes_on(page)
    assert (len(new), set(new) & set(phone.codes)) == (10, set())
    prove(client, phone)
    assert new[0] not in client.get(CODES).text, "they are shown once"
    assert outbox()[-1].subject == "Your Flasky recovery codes were replaced"
    assert use(another_client, ada, phone.codes[1]).status_code == 422
    assert another_client.post(STEP, data={"recovery_code": new[0]}).location == "/"
    assert len(db.session.scalars(select(RecoveryCode)).all()) == 9


def test_recovery_codes_are_downloaded_without_another_request(client, ada, phone):
    use(client, ada, phone.codes[0])
    prove(client, phone)
    page = client.post(CODES)
    assert page.headers["Cache-Control"] == "no-store"
    address = page.text.partition('download="recovery-codes.txt" href="')[2].partition('"')[0]
    assert address.startswith("data:text/plain")
    assert all(code in unquote(address) for code in codes_on(page))
    assert "Recovery codes for ada at Flasky" in unquote(address)


def test_without_two_factor_there_are_no_recovery_codes(client, ada):
    client.log_in(ada)
    assert client.get(CODES).location == "/auth/two-factor"
    assert client.post(CODES).location == "/auth/two-factor"
    assert db.session.scalars(select(RecoveryCode)).all() == []


def test_a_recovery_code_of_another_account_is_refused(client, ada, bob, phone):
    bob.confirmed, bob.two_factor_enabled_at = True, phone.clock.time
    db.session.commit()
    assert use(client, bob, phone.codes[0]).status_code == 422
    assert not is_logged_in(client)

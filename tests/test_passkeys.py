"""Passkeys: added, used to log in and as two factors, renamed, removed; and forged answers, which are refused."""

import json
import re
from datetime import UTC, datetime

import pytest
from sqlalchemy import select, update
from support.authenticators import SET_UP, Phone, codes_on, key_on, set_up
from support.authenticators import prove as prove_by_code
from support.clients import JSON, PASSWORD, on_sqlite, value_of
from support.concurrency import at_once, copies
from support.pages import is_logged_in, notes, told
from support.passkeys import (
    BACKED_UP,
    BACKUP_ELIGIBLE,
    LOGIN,
    MAKE,
    PAGE,
    PRESENT,
    STEP,
    USE,
    USE_AGAIN,
    USE_AS_STEP,
    VERIFIED,
    Key,
    add,
    asked,
    log_in,
    page_of,
    prove,
    raw,
    text,
)
from support.records import count, history

from app.accounts import passkeys, two_factor
from app.dev.previews import SAFARI
from app.extensions import db
from app.models import Passkey, PasskeyChallenge, PasskeyRequirement, RecoveryCode, User, UserSession

REQUIRE, SETTINGS = "/auth/two-factor/require-passkey", "/auth/two-factor"
REFUSED = "That passkey wasn't accepted. Try again, or log in another way."
NOT_ACCEPTED = "That passkey wasn't accepted. Try again, or use a code."
NOT_TAKEN = "That passkey wasn't accepted. Try again, or use another method."
FAILED = "That didn't work, or it took longer than five minutes. Try again."
SYNCED = PRESENT | VERIFIED | BACKUP_ELIGIBLE | BACKED_UP

# Rate limits are not under test here.
unlimited = pytest.mark.parametrize("settings", [{"RATELIMIT_ENABLED": False}])


@pytest.fixture
def key():
    return Key()


@pytest.fixture
def member(client, ada, key):
    """Ada's browser, with a passkey added."""
    client.log_in(ada)
    assert is_added(add(client, key))
    return client


@pytest.fixture
def codes(member):
    """Ada requires a passkey after her password: the recovery codes that she got."""
    return codes_on(member.post(REQUIRE))


@pytest.fixture
def bob(bob):
    """Another user, whose email address is confirmed in this module."""
    bob.confirmed = True
    db.session.commit()
    return bob


def is_added(answer):
    return answer.location == PAGE


def refused(answer):
    """Whether a login was refused with the one message for everything that can be wrong, and is in the history."""
    assert answer.status_code == 422
    assert notes(answer)[-1] == REFUSED
    return "login_failed" in history()


def only(model=Passkey):
    [row] = db.session.scalars(select(model)).all()
    return row


# Add a passkey


def test_adding_a_passkey_changes_nothing_else_and_the_user_is_told(client, another_client, ada, key, outbox):
    client.log_in(ada)
    another_client.log_in(ada)
    copied = client.get_cookie("session").value
    assert is_added(add(client, key))
    page = client.get(PAGE)
    assert notes(page) == ["The passkey My phone was added. You can now log in with it."]
    assert '<div class="row-title"><bdi>My phone</bdi> ' in page.text
    assert "never used" in page.text
    assert is_logged_in(another_client), "no other session ends"
    assert not two_factor.is_on(db.session.get(User, ada.id, populate_existing=True))
    assert db.session.scalars(select(RecoveryCode)).all() == []
    assert outbox()[-1].subject == "A passkey was added to your Flasky account"
    assert "This wasn't me:" in outbox()[-1].body
    assert history()[-1] == "passkey_added"
    assert 'Passkeys <span class="badge on">1<' in client.get("/account").text
    assert client.application.test_client().log_in(ada).location == "/", "the password still logs in alone"
    another_client.set_cookie("session", copied)
    assert not is_logged_in(another_client), "a copy of the cookie is worth nothing"


def test_with_two_factor_on_adding_a_passkey_takes_both_factors_and_logs_nobody_out(member, another_client, key, codes):
    log_in(another_client, key)
    assert member.post(MAKE, headers=JSON).status_code == 403
    assert add(member, Key(), options=asked(another_client) | {"user": {"id": "eA"}}).status_code == 403
    prove(member, key)
    page = add(member, Key(), name="My laptop")
    assert is_added(page)
    assert is_logged_in(another_client)
    assert len(db.session.scalars(select(RecoveryCode)).all()) == 10, "the codes of before are still good"


def test_the_options_for_creating_a_passkey(client, ada, bob):
    client.log_in(ada)
    options = asked(client, MAKE)
    assert options["rp"] == {"id": "localhost", "name": "Flasky"}
    assert options["user"]["name"] == "ada"
    assert options["attestation"] == "none"
    assert options["authenticatorSelection"]["residentKey"] == "required"
    assert options["authenticatorSelection"]["userVerification"] == "required"
    assert {kind["alg"] for kind in options["pubKeyCredParams"]} >= {-7, -8, -257}
    assert len(raw(options["challenge"])) == 64
    assert options["timeout"] == 5 * 60 * 1000
    handle = options["user"]["id"]
    assert len(raw(handle)) >= 32
    again = asked(client, MAKE)
    assert again["user"]["id"] == handle, "one for all of an account's passkeys"
    assert again["challenge"] != options["challenge"]
    assert db.session.get(User, bob.id).passkey_handle is None


def test_a_device_with_a_passkey_is_excluded_from_creating_another(member, key):
    [known] = asked(member, MAKE)["excludeCredentials"]
    assert known == {"id": text(key.id), "type": "public-key", "transports": ["hybrid", "internal"]}


LIES = [
    *({"origin": origin} for origin in ("http://localhost:5000", "https://localhost", "http://localhost.example.com")),
    *({"flags": flags} for flags in (PRESENT, VERIFIED)),
    {"rp_id": "example.com"},
    {"challenge": text(bytes(64))},
]


@pytest.mark.parametrize(
    "lies",
    [
        *LIES,
        {"kind": "webauthn.get"},
        {"key": {}},
        {"key": {1: 2, 3: -65535, -1: 1, -2: bytes(32), -3: bytes(32)}},
    ],
    ids=str,
)
@on_sqlite
def test_a_forged_passkey_registration_is_refused(client, ada, key, lies):
    client.log_in(ada)
    page = add(client, key, **lies)
    assert (page.status_code, notes(page)[-1]) == (422, FAILED)
    assert 'value="My phone"' in page.text
    assert db.session.scalars(select(Passkey)).all() == []


def test_a_passkey_challenge_works_once_for_five_minutes_in_its_browser_for_its_purpose(
    app, client, another_client, ada, bob, key, clock
):
    def fails(browser, options):
        page = add(browser, Key(), options=options)
        return (page.status_code, notes(page)[-1]) == (422, FAILED)

    client.log_in(ada)
    another_client.log_in(ada)
    options = asked(client, MAKE)
    assert fails(another_client, options), "another browser of the same person"
    clock.move(minutes=5)
    assert fails(client, options), "too old"
    options = asked(client, MAKE)
    clock.move(minutes=4, seconds=59)
    assert fails(client, asked(client) | {"user": options["user"]}), "asked for to log in"
    assert is_added(add(client, key, options=options))
    prove(client, key)
    assert fails(client, options), "used"
    theirs = asked(client, MAKE)
    client.post("/auth/logout")
    client.log_in(bob)
    assert fails(client, theirs), "of who was here before"
    assert only().user_id == ada.id


def test_a_passkey_of_another_account_is_not_added(member, another_client, bob, key):
    def fails(browser):
        page = add(browser, key)
        return (page.status_code, notes(page)[-1]) == (422, "This passkey is already in use. Create another one.")

    another_client.log_in(bob)
    assert fails(another_client)
    assert fails(member)
    assert only().user.username == "ada"
    assert member.post(f"/auth/passkeys/{only().handle}/remove").status_code == 302
    assert fails(another_client), "its owner could not restore it otherwise"
    assert count(Passkey) == 0


def test_of_ten_requests_that_add_one_passkey_at_once_one_succeeds(app, ada, key):
    browsers = [app.test_client() for _ in range(10)]
    for browser in browsers:
        browser.log_in(ada)
    answers = [(browser, key.create(asked(browser, MAKE))) for browser in browsers]

    def send(answer):
        browser, credential = answer
        return browser.post(PAGE, data={"name": "Mine", "credential": credential}).status_code

    assert sorted(at_once(send, answers)) == [302] + [422] * 9
    assert history().count("passkey_added") == 1
    assert only().user_id == ada.id


def test_a_passkey_is_not_added_to_an_account_that_was_taken_back_meanwhile(ada):
    """The session that adds it was loaded before, and is revoked by now."""
    stale = Passkey(user_id=ada.id, name="x", credential_id="x", public_key="x", sign_count=0)
    later = {"password_version": User.password_version + 1}
    db.session.execute(update(User).values(later).execution_options(synchronize_session=False))
    with pytest.raises(ValueError, match="changed on another device"):
        passkeys.add(ada, stale)


def test_an_account_has_twenty_passkeys_at_most(member, key):
    for _ in range(19):
        assert is_added(add(member, Key()))
    page = add(member, Key())
    assert (page.status_code, notes(page)[-1]) == (422, "You have 20 passkeys. Remove one first.")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "Enter a name."),
        ("x" * 65, "Use at most 64 characters."),
        ("\u200f \u200d", "Enter a name."),
        *((f"a{separator}b", "This contains a character") for separator in "\n\0\u2028\u202e"),
    ],
)
def test_passkey_names_are_short_and_of_one_line(client, ada, key, name, words):
    client.log_in(ada)
    page = add(client, key, name=name)
    assert page.status_code == 422
    assert words in page.text
    assert db.session.scalars(select(Passkey)).all() == []


@pytest.mark.parametrize("settings", [{"LANGUAGES": ["ar"]}])
def test_the_suggested_passkey_name_is_accepted_in_arabic(client, ada, key):
    client.log_in(ada)
    suggested = value_of(client.get("/auth/passkeys", headers={"User-Agent": SAFARI}), "name")
    assert suggested.startswith("\u200f"), "a mark of direction"
    assert is_added(add(client, key, name=suggested))
    assert only().name == suggested


def test_unconfirmed_users_and_visitors_add_no_passkey(client, another_client, bob, key):
    bob.confirmed = False
    db.session.commit()
    another_client.log_in(bob)
    for address in (PAGE, MAKE):
        assert client.post(address).location.startswith(LOGIN)
        assert another_client.post(address).location == "/auth/unconfirmed"


def test_passkey_pages_ask_for_reauthentication(member, key, clock):
    own = page_of(member)
    clock.move(minutes=16)
    assert member.get(PAGE).location == "/auth/reauthenticate"
    assert member.post(MAKE, headers=JSON).status_code == 403
    for address in (PAGE, own, f"{own}/remove", "/auth/remove-password"):
        page = member.post(address, data={"name": "New", "credential": "secret"})
        assert page.status_code == 403
        assert "secret" not in page.text
    assert only().name == "My phone"


# Log in


def test_a_passkey_logs_in_without_a_name(member, another_client, ada, key, clock):
    clock.move(days=1)
    options = asked(another_client)
    assert options["allowCredentials"] == []
    assert options["userVerification"] == "required"
    assert options["rpId"] == "localhost"
    assert len(raw(options["challenge"])) == 64
    answer = log_in(another_client, key, options)
    assert answer.location == "/"
    assert is_logged_in(another_client)
    assert only().last_used_at == clock.time
    assert f'last used <time datetime="{clock.time:%Y-%m-%dT%H:%M:%S}' in another_client.get(PAGE).text
    newest = db.session.scalar(select(UserSession).order_by(UserSession.created_at.desc()))
    assert (newest.method, newest.user_id, newest.remembered) == ("passkey", ada.id, False)
    assert db.session.scalars(select(PasskeyChallenge)).all() == [], "nothing is left of it"


@pytest.mark.parametrize(
    "lies",
    [
        *LIES,
        {"origin": None},
        {"challenge": None},
        {"challenge": "\ud800"},
        {"kind": "webauthn.create"},
        {"signature": b""},
        {"signature": bytes(70)},
        {"handle": b"of somebody else"},
        {"handle": b""},
        {"handle": None},
    ],
    ids=str,
)
@on_sqlite
def test_a_forged_passkey_login_is_refused_with_one_message(member, another_client, key, lies):
    assert refused(log_in(another_client, key, **lies))
    assert not is_logged_in(another_client)
    assert only().last_used_at is None
    assert log_in(another_client, key).location == "/"


def test_an_unknown_passkey_and_a_removed_one_are_refused_alike(member, another_client, key):
    stranger = Key()
    stranger.handle = key.handle
    assert refused(log_in(another_client, stranger))
    member.post(f"{page_of(member)}/remove")
    page = log_in(another_client, key)
    assert refused(page)
    assert "value" not in re.search(r'<input type="hidden" name="credential"[^>]*>', page.text)[0]


def signal(page, name):
    """What a page tells the browser about passkeys, which passes it to its devices."""
    found = re.search(rf"data-{name}='([^']+)'", page.text)
    return found and json.loads(found[1])


def test_only_a_passkey_that_no_account_can_restore_is_removed_from_its_device(member, another_client, key, clock):
    """A device must keep what an attacker removed: "This wasn't me" restores it."""
    stranger = Key()
    stranger.handle = key.handle
    page = log_in(another_client, stranger)
    assert signal(page, "unknown-passkey") == {"rpId": "localhost", "credentialId": text(stranger.id)}
    assert signal(log_in(another_client, key, flags=PRESENT), "unknown-passkey") is None, "it is known"
    member.post(f"{page_of(member)}/remove")
    assert signal(log_in(another_client, key), "unknown-passkey") is None, "it can be restored"
    assert signal(another_client.post(LOGIN, data={"credential": "{}"}), "unknown-passkey") is None


def test_only_the_browser_that_removed_a_passkey_is_signalled_and_once(member, another_client, ada, key):
    own = page_of(member)
    member.post(f"{own}/remove")
    page = member.get(PAGE)
    assert f'data-removed="{text(key.id)}"' in page.text
    assert signal(page, "accepted")["allAcceptedCredentialIds"] == []
    for browser in (member, another_client):
        browser.log_in(ada)
        page = browser.get(PAGE)
        assert "data-removed" not in page.text
        assert signal(page, "accepted")["allAcceptedCredentialIds"] == [text(key.id)], "it can be restored"


def test_a_passkey_login_is_not_replayed(app, member, another_client, key, clock):
    options = asked(another_client)
    copied = another_client.get_cookie("session").value
    answer = key.get(options)
    assert another_client.post(LOGIN, data={"credential": answer}).location == "/"
    for cookie in (None, copied):
        thief = app.test_client()
        if cookie:
            thief.set_cookie("session", cookie)
        assert refused(thief.post(LOGIN, data={"credential": answer}))
        assert refused(thief.post(LOGIN, data={"credential": key.get(options)})), "signed anew"


def test_a_passkey_challenge_of_another_browser_or_purpose_or_an_old_one_is_refused(member, another_client, key, clock):
    asked(another_client)
    assert refused(log_in(another_client, key, asked(member.application.test_client())))
    assert refused(log_in(another_client, key, asked(member, MAKE)))
    options = asked(another_client)
    clock.move(minutes=5)
    assert refused(log_in(another_client, key, options))
    options = asked(another_client)
    clock.move(minutes=4, seconds=59)
    assert log_in(another_client, key, options).location == "/"


def test_a_passkey_challenge_belongs_to_one_account_and_purpose(ada, bob):
    challenge = PasskeyChallenge(purpose="reauthentication", browser="hers", user_id=ada.id)
    db.session.add(challenge)
    db.session.commit()
    asked = challenge.id
    assert not PasskeyChallenge.consume(asked, "two_factor", "hers", ada)
    assert not PasskeyChallenge.consume(asked, "reauthentication", "his", ada)
    assert not PasskeyChallenge.consume(asked, "reauthentication", "hers", bob)
    assert not PasskeyChallenge.consume(asked, "reauthentication", "hers", None)
    assert PasskeyChallenge.consume(asked, "reauthentication", "hers", ada)
    assert not PasskeyChallenge.consume(asked, "reauthentication", "hers", ada)


@unlimited
def test_a_browser_has_a_bounded_number_of_passkey_challenges(member, another_client, key, clock):
    for browser, address in ((member, MAKE), (member, USE_AGAIN), (another_client, USE)):
        for _ in range(30):
            clock.move(seconds=1)
            newest = asked(browser, address)
    assert count(PasskeyChallenge) == 16
    assert log_in(another_client, key, newest).location == "/"
    clock.move(seconds=1)
    assert is_added(add(member, Key()))


@unlimited
def test_an_account_has_a_bounded_number_of_passkey_challenges(client, ada, clock):
    client.log_in(ada)
    kept = client.get_cookie("session").value
    for address in (MAKE, USE_AGAIN):
        for _ in range(40):
            client.set_cookie("session", kept)  # a new browser_id() each time, as the cookie has none yet
            clock.move(seconds=1)
            asked(client, address)
    assert db.session.scalars(select(PasskeyChallenge.user_id)).all() == [ada.id] * 50


def test_expired_passkey_challenges_are_deleted_without_a_cleanup(app, ada, clock):
    for _ in range(30):
        asked(app.test_client())
    clock.move(minutes=5)
    for _ in range(2):
        asked(app.test_client())
    assert count(PasskeyChallenge) == 2


def test_passkey_options_are_limited_for_each_network(client, clock):
    answers = [client.post(USE, headers=JSON).status_code for _ in range(301)]
    assert answers == [200] * 300 + [429]


def test_of_ten_requests_with_one_passkey_answer_at_once_one_logs_in(member, another_client, key):
    answer = key.get(asked(another_client))
    browsers = copies(another_client, 10)
    found = at_once(lambda browser: browser.post(LOGIN, data={"credential": answer}).status_code, browsers)
    assert sorted(found) == [302] + [422] * 9
    assert history().count("logged_in") == 2
    assert sum(map(is_logged_in, browsers)) == 1


def test_a_passkey_counter_that_stands_still_or_goes_back_is_refused_and_emailed(member, another_client, key, outbox):
    assert log_in(another_client, key, count=7).location == "/"
    another_client.post("/auth/logout")
    outbox().clear()
    for counter in (7, 6, 0, 1, 2):
        assert refused(log_in(another_client, key, count=counter))
    assert only().sign_count == 7
    assert history().count("passkey_copied") == 5
    assert [email.subject for email in outbox()] == ["One of your Flasky passkeys may have been copied"] * 3, "an hour"
    assert log_in(another_client, key, count=2**32 - 1).location == "/"


def test_a_passkey_without_a_counter_is_used_again_and_again(client, another_client, ada):
    key = Key(counts=False)
    client.log_in(ada)
    add(client, key)
    for _ in range(3):
        assert log_in(another_client, key).location == "/"
        another_client.post("/auth/logout")


@pytest.mark.parametrize(
    ("state", "page"),
    [
        ({"deactivated_at": datetime.now(UTC)}, LOGIN),
        ({"deletion_due_at": datetime.now(UTC)}, "/auth/cancel-deletion"),
        ({"confirmed": False}, "/auth/unconfirmed"),
    ],
)
def test_a_passkey_login_meets_the_same_account_state_as_others(member, another_client, ada, key, state, page):
    for column, value in state.items():
        setattr(ada, column, value)
    db.session.commit()
    assert log_in(another_client, key).location in {page, "/"}
    shown = another_client.get("/account", follow_redirects=True)
    assert shown.request.path == page
    assert ("This account has been deactivated." in shown.text) is ("deactivated_at" in state)


GARBAGE = [
    *("null", "[]", "1", '"x"', "{", "{}", "true", "NaN", "[" * 20_000, '{"a":' * 4_500, "\ud800", "\0", "é" * 9_000),
    *('{"id":"\\ud800","rawId":"\\ud800","type":"public-key","response":{}}', "x" * 60_000, '{"id":null}'),
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda garbage: garbage[:20].encode("unicode_escape").decode())
@on_sqlite
def test_garbage_instead_of_a_passkey_is_refused_and_never_an_error(member, another_client, key, garbage):
    sent = garbage.encode("utf-8", "replace").decode()
    assert refused(another_client.post(LOGIN, data={"credential": sent}))
    page = member.post(PAGE, data={"name": "x", "credential": sent})
    assert page.status_code == 422


def mangled(value, path=()):
    """Yield every path of an answer with values that it should not have."""
    if isinstance(value, dict):
        for name in value:
            yield from mangled(value[name], (*path, name))
    for other in (None, [], {}, 0, True, "", "\ud800", "\0", "====", "AAAA", "A" * 20_000, ["A"], {"A": 1}, 2**70):
        yield path, other


def replaced(value, path, other):
    if not path:
        return other
    return value | {path[0]: replaced(value[path[0]], path[1:], other)}


@on_sqlite
@pytest.mark.parametrize("attachment", ["platform", "cross-platform", "telepathy", "", None, 42, [], {}], ids=repr)
def test_an_unknown_authenticator_attachment_of_a_passkey_is_ignored(client, another_client, ada, key, attachment):
    def say(credential):
        return json.dumps(json.loads(credential) | {"authenticatorAttachment": attachment})

    client.log_in(ada)
    made = say(key.create(asked(client, MAKE)))
    assert is_added(client.post(PAGE, data={"name": "My phone", "credential": made}))
    used = say(key.get(asked(another_client)))
    assert another_client.post(LOGIN, data={"credential": used}).location == "/"


@pytest.mark.parametrize("handle", [b"", None])
def test_without_a_user_handle_a_passkey_is_accepted_where_the_account_is_known(
    member, another_client, ada, key, codes, handle
):
    another_client.log_in(ada)
    assert log_in(another_client, key, asked(another_client, USE_AS_STEP), STEP, handle=handle).location == "/"
    assert log_in(member, key, asked(member, USE_AGAIN), "/auth/reauthenticate", handle=handle).status_code == 302
    assert refused(log_in(member.application.test_client(), key, handle=handle)), "nobody says whose it is"


@pytest.mark.extended
@unlimited
def test_each_part_of_a_passkey_answer_can_be_anything_and_is_never_an_error(member, another_client, key):
    """Some parts are not read, so some answers pass."""
    for path, other in mangled(json.loads(key.get(asked(another_client)))):
        answer = replaced(json.loads(key.get(asked(another_client))), path, other)
        assert another_client.post(LOGIN, data={"credential": json.dumps(answer)}).status_code in {302, 422}, path
        another_client.post("/auth/logout")
    made = Key()
    for path, other in mangled(json.loads(made.create(asked(member, MAKE)))):
        answer = replaced(json.loads(made.create(asked(member, MAKE))), path, other)
        page = member.post(PAGE, data={"name": "x", "credential": json.dumps(answer)})
        assert page.status_code in {302, 422}, path
        if page.status_code == 302:
            made = Key()
            prove(member, key)


@pytest.mark.extended
@unlimited
def test_each_part_of_what_a_passkey_signs_can_be_anything_and_is_never_an_error(member, another_client, key):
    said = {"type": "webauthn.get", "challenge": "", "origin": key.origin, "tokenBinding": {"status": "present"}}
    for path, other in mangled(said):
        answer = json.loads(key.get(asked(another_client)))
        whole = replaced(said | {"challenge": asked(another_client)["challenge"]}, path, other)
        answer["response"]["clientDataJSON"] = text(json.dumps(whole).encode())
        assert refused(another_client.post(LOGIN, data={"credential": json.dumps(answer)})), path


def test_a_passkey_too_long_for_its_column_is_not_added(client, ada, key):
    client.log_in(ada)
    key.id = bytes(1024)
    assert "That kind of passkey can't be used here." in notes(add(client, key))[-1]
    key.id = bytes(1023)
    assert add(client, key, key={3: -7, 1: 2, -1: 1, -2: bytes(9_000), -3: bytes(32)}).status_code == 422
    assert is_added(add(client, key))
    assert log_in(client.application.test_client(), key).location == "/"


@pytest.mark.parametrize("purpose", ["add", "x", "log_in2", "reauthentication"])
def test_visitors_get_passkey_options_only_to_log_in(client, purpose):
    answer = client.post(f"/auth/passkeys/request-options/{purpose}", headers=JSON)
    assert answer.status_code == (401 if purpose == "reauthentication" else 404)
    assert db.session.scalars(select(PasskeyChallenge)).all() == []


# Origin


@pytest.mark.parametrize(
    ("settings", "origin", "host"),
    [
        ({"PUBLIC_URL": "https://EXAMPLE.com:443/path"}, "https://example.com", "example.com"),
        ({"PUBLIC_URL": "http://localhost:8080"}, "http://localhost:8080", "localhost"),
    ],
)
def test_passkey_origin_and_host_are_those_of_public_url(client, ada, settings, origin, host):
    key = Key(origin, host)
    base = settings["PUBLIC_URL"].removesuffix("/path")
    client.environ_base |= {"wsgi.url_scheme": base.partition(":")[0]}
    prefix = settings["PUBLIC_URL"].removeprefix(base)

    def post(path, **fields):
        return client.post(prefix + path, base_url=base, data=fields)

    post(LOGIN, login="ada", password=PASSWORD)
    options = post(MAKE).json
    assert options["rp"]["id"] == host
    assert post(PAGE, name="x", credential=key.create(options)).status_code == 302
    post("/auth/logout")
    assert post(LOGIN, credential=key.get(post(USE).json, origin=f"{origin}1")).status_code == 422
    assert post(LOGIN, credential=key.get(post(USE).json)).status_code == 302


# Rename and remove


def test_a_passkey_is_renamed(member):
    own = page_of(member)
    assert 'value="My phone"' in member.get(own).text
    page = member.post(own, data={"name": "  Work laptop "}, follow_redirects=True)
    assert notes(page)[-1:] == ["The passkey is now called Work laptop."]
    assert '<div class="row-title"><bdi>Work laptop</bdi> ' in page.text
    assert member.post(own, data={"name": ""}).status_code == 422
    assert history()[-1] == "passkey_renamed"


def test_removing_a_passkey_logs_out_other_devices_and_notifies_the_user(member, another_client, key, outbox):
    assert log_in(another_client, key).location == "/"
    copied = member.get_cookie("session").value
    own = page_of(member)
    page = member.post(f"{own}/remove", follow_redirects=True)
    assert notes(page)[-1:] == ["The passkey My phone was removed. Your other devices were logged out."]
    assert told(another_client) == ["You were logged out because a passkey was removed on another device."]
    another_client.set_cookie("session", copied)
    assert not is_logged_in(another_client)
    assert outbox()[-1].subject == "A passkey was removed from your Flasky account"
    assert history()[-1] == "passkey_removed"
    assert member.get(own).status_code == member.post(f"{own}/remove").status_code == 404
    assert refused(log_in(another_client, key))


def test_a_passkey_of_another_account_is_not_found(member, another_client, bob, key):
    own = page_of(member)
    another_client.log_in(bob)
    assert another_client.get(own).status_code == 404
    assert another_client.post(own, data={"name": "Bob's"}).status_code == 404
    assert another_client.post(f"{own}/remove").status_code == 404
    assert "My phone" not in another_client.get(PAGE).text
    assert asked(another_client, MAKE).get("excludeCredentials", []) == []
    assert only().name == "My phone"


def test_a_synced_passkey_is_marked(client, ada):
    client.log_in(ada)
    add(client, Key(flags=SYNCED))
    assert "Synced" in client.get(PAGE).text
    assert "Synced between your devices." in client.get(page_of(client)).text


def test_no_page_shows_the_passkey_handle_of_an_account(member, ada):
    handle = db.session.get(User, ada.id).passkey_handle
    for page in ("/", "/account", PAGE, page_of(member), "/auth/history"):
        assert handle not in member.get(page).text


# Without a password


def test_the_password_can_be_removed_once_there_is_a_passkey(member, another_client, ada, key, outbox):
    log_in(another_client, key)
    page = member.post("/auth/remove-password", follow_redirects=True)
    assert notes(page)[-1:] == ["Your password was removed. Your other devices were logged out."]
    assert told(another_client) == ["You were logged out because your password was removed on another device."]
    assert "Your account has no password." in page.text
    assert "/auth/remove-password" not in page.text
    assert outbox()[-1].subject == "Your Flasky password was removed"
    assert history()[-1] == "password_removed"
    assert 'Password <span class="badge ">Not set' in member.get("/account").text
    assert another_client.log_in(ada).status_code == 422
    assert log_in(another_client, key).location == "/"


def test_an_account_without_a_password_logs_in_by_passkey_and_emailed_link(member, another_client, key, outbox):
    member.post("/auth/remove-password")
    member.post(f"{page_of(member)}/remove")
    assert (
        "Until you add a passkey, you can log in with a link emailed to <strong><bdi>ada@example.com</bdi></strong>."
        in member.get(PAGE).text
    )
    assert refused(log_in(another_client, key))
    another_client.post("/auth/magic-link", data={"email": "ada@example.com"})
    assert another_client.get(outbox.link()).location == "/"
    assert is_added(add(another_client, Key()))


def test_without_a_passkey_the_password_is_not_removed(client, ada):
    client.log_in(ada)
    assert "Remove password" not in client.get(PAGE).text
    page = client.post("/auth/remove-password", follow_redirects=True)
    assert notes(page)[-1:] == ["Add a passkey first. Then you can remove your password."]
    assert client.application.test_client().log_in(ada).location == "/"


# Use as two factors at login


def test_a_required_passkey_is_asked_for_after_the_password(member, another_client, ada, key, codes):
    assert another_client.log_in(ada, remember_me="y").location == STEP
    page = another_client.get(STEP)
    assert "Use your passkey" in page.text
    assert "authenticator app" not in page.text
    options = asked(another_client, USE_AS_STEP)
    assert [known["id"] for known in options["allowCredentials"]] == [text(key.id)]
    assert log_in(another_client, key, options, STEP).location == "/"
    assert is_logged_in(another_client)
    newest = db.session.scalar(select(UserSession).order_by(UserSession.created_at.desc()))
    assert (newest.method, newest.remembered) == ("password", True)


def test_two_factor_accepts_only_a_passkey_of_the_account_for_this_purpose(
    member, another_client, ada, bob, key, codes
):
    bobs, browser = Key(), member.application.test_client()
    browser.log_in(bob)
    add(browser, bobs)

    def fails(page):
        return (page.status_code, notes(page)[-1]) == (422, NOT_ACCEPTED)

    another_client.log_in(ada)
    assert fails(log_in(another_client, bobs, asked(another_client, USE_AS_STEP), STEP))
    assert fails(log_in(another_client, key, asked(another_client), STEP)), "asked for to log in"
    assert fails(log_in(another_client, key, asked(another_client, USE_AS_STEP), STEP, flags=PRESENT))
    assert fails(log_in(another_client, key, asked(another_client, USE_AS_STEP), STEP, handle=b"x"))
    assert refused(log_in(another_client, key, asked(another_client, USE_AS_STEP)))
    assert not is_logged_in(another_client)
    options = asked(another_client, USE_AS_STEP)
    assert log_in(another_client, key, options, STEP, handle=None).location == "/", "the account is known"


def test_without_a_pending_login_there_are_no_passkey_options_for_two_factor(member, another_client, key):
    assert another_client.post(USE_AS_STEP, headers=JSON).status_code == 401
    assert log_in(another_client, key, asked(another_client), STEP).location == LOGIN


def test_a_recovery_code_replaces_a_required_passkey_and_a_trusted_device_needs_none(another_client, ada, key, codes):
    another_client.log_in(ada)
    assert another_client.post(STEP, data={"recovery_code": codes[0]}).location == "/"
    another_client.post("/auth/logout")
    another_client.log_in(ada)
    answer = key.get(asked(another_client, USE_AS_STEP))
    assert another_client.post(STEP, data={"credential": answer, "trust": "y"}).location == "/"
    another_client.post("/auth/logout")
    assert another_client.log_in(ada).location == "/"


def test_an_emailed_link_takes_a_required_passkey_too(member, another_client, key, codes, outbox):
    prove(member, key)
    member.post("/auth/remove-password")
    another_client.post("/auth/magic-link", data={"email": "ada@example.com"})
    assert another_client.get(outbox.link()).location == STEP
    assert log_in(another_client, key, asked(another_client, USE_AS_STEP), STEP).location == "/"


# Use for reauthentication


def test_a_passkey_alone_reauthenticates_and_a_waiting_form_comes_back(member, key, clock):
    clock.move(minutes=16)
    page = member.post("/auth/change-username", data={"username": "countess"})
    assert "Use a passkey" in page.text
    copied = member.get_cookie("session").value
    answer = key.get(asked(member, USE_AGAIN))
    held = {"target": "/auth/change-username", "held-username": "countess"}
    page = member.post("/auth/reauthenticate", data=held | {"credential": answer})
    assert 'value="countess"' in page.text
    assert member.get(PAGE).status_code == 200
    thief = member.application.test_client()
    thief.set_cookie("session", copied)
    assert not is_logged_in(thief)


def test_only_the_users_own_passkey_reauthenticates(member, another_client, bob, key, clock):
    bobs = Key()
    another_client.log_in(bob)
    add(another_client, bobs)
    clock.move(minutes=16)

    def fails(page):
        return (page.status_code, notes(page)[-1]) == (422, NOT_TAKEN)

    def prove(device, options, **lies):
        return log_in(member, device, options, "/auth/reauthenticate", **lies)

    assert fails(prove(bobs, asked(member, USE_AGAIN)))
    assert fails(prove(key, asked(member)))
    assert fails(prove(key, asked(another_client, USE_AGAIN)))
    assert fails(prove(key, asked(member, USE_AGAIN), flags=PRESENT))
    options = asked(member, USE_AGAIN)
    assert fails(prove(key, options, origin="http://localhost:1"))
    assert fails(prove(key, options)), "used up"
    assert member.get(PAGE).location == "/auth/reauthenticate"
    assert prove(key, asked(member, USE_AGAIN)).location == PAGE


def test_with_a_required_passkey_the_password_alone_is_no_reauthentication(member, key, codes, clock):
    client = member
    clock.move(minutes=16)
    assert "Recovery code" in client.get("/auth/reauthenticate").text
    assert client.post("/auth/reauthenticate", data={"password": PASSWORD}).status_code == 422
    proof = {"password": PASSWORD, "factor_code": codes[0]}
    assert client.post("/auth/reauthenticate", data=proof).status_code == 302


# Require a passkey after the password


def two_factor_is_on():
    db.session.expire_all()
    return [two_factor.is_on(user) for user in db.session.scalars(select(User))] == [True]


def test_requiring_a_passkey_turns_two_factor_on_with_recovery_codes(member, another_client, ada, key, outbox):
    another_client.log_in(ada)
    copied = member.get_cookie("session").value
    assert "Require a passkey" in member.get(SETTINGS).text
    page = member.post(REQUIRE)
    assert notes(page) == ["A passkey is now required to log in. Your other devices were logged out."]
    assert len(set(codes_on(page))) == 10
    assert two_factor_is_on()
    assert told(another_client) == ["You were logged out because your two-factor authentication was changed."]
    another_client.set_cookie("session", copied)
    assert not is_logged_in(another_client)
    assert outbox()[-1].subject == "Two-factor authentication was turned on for your Flasky account"
    assert history()[-1] == "two_factor_on"
    assert another_client.log_in(ada).location == STEP


def test_a_passkey_can_be_required_once_there_is_one(client, ada):
    client.log_in(ada)
    assert "Add a passkey first." in client.get(SETTINGS).text
    assert REQUIRE not in client.get(SETTINGS).text
    assert client.get(REQUIRE).status_code == 200
    assert client.post(REQUIRE).location == SETTINGS
    assert not two_factor_is_on()


def test_requiring_a_passkey_twice_changes_nothing(member, key, codes):
    prove(member, key)
    assert member.post(REQUIRE).location == SETTINGS
    assert history().count("two_factor_on") == 1


def test_turning_the_requirement_off_takes_both_factors(member, another_client, ada, key, codes, outbox):
    assert member.post(f"{REQUIRE}/off").status_code == 403
    prove(member, key)
    assert "Stop requiring a passkey?" in member.get(f"{REQUIRE}/off").text
    assert member.post(f"{REQUIRE}/off").location == SETTINGS
    assert not two_factor_is_on()
    assert db.session.scalars(select(RecoveryCode)).all() == []
    assert outbox()[-1].subject == "Two-factor authentication was turned off for your Flasky account"
    assert another_client.log_in(ada).location == "/"
    assert log_in(another_client, key).location == "/"


def test_removing_the_last_passkey_ends_its_requirement(member, another_client, ada, key, codes, outbox):
    prove(member, key)
    second = Key()
    assert is_added(add(member, second))
    for device in (second, key):
        assert two_factor_is_on()
        own = page_of(member)
        prove(member, key)
        said = member.get(f"{own}/remove").text
        assert ("This is your last passkey" in said) is (device is key)
        member.post(f"{own}/remove")
    assert not two_factor_is_on()
    subjects = [
        "A passkey was removed from your Flasky account",
        "Two-factor authentication was turned off for your Flasky account",
    ]
    assert [email.subject for email in outbox()[-2:]] == subjects
    assert another_client.log_in(ada).location == "/"


def test_a_passkey_from_before_satisfies_an_authenticator_apps_two_factor(member, another_client, ada, key, clock):
    set_up(member, clock)
    assert another_client.log_in(ada).location == STEP
    assert 'data-passkey="get"' in another_client.get(STEP).text
    assert log_in(another_client, key, asked(another_client, USE_AS_STEP), STEP).location == "/"
    assert "You can already use a passkey instead of a code." in member.get(SETTINGS).text
    prove(member, key)
    assert member.post("/auth/two-factor/off").location == SETTINGS
    assert not two_factor_is_on(), "a passkey that is not required does not keep two-factor on"


def test_with_an_app_removing_the_last_passkey_leaves_two_factor_on(member, key, codes, clock):
    prove(member, key)
    phone = Phone(key_on(member.get(SET_UP)), clock)
    assert member.post(SET_UP, data={"code": phone.code()}).location == SETTINGS, "no new recovery codes"
    prove(member, key)
    member.post(f"{page_of(member)}/remove")
    assert two_factor_is_on()
    assert db.session.scalars(select(PasskeyRequirement)).all() == []
    assert len(db.session.scalars(select(RecoveryCode)).all()) == 10


def test_adding_a_passkey_leaves_trusted_devices_trusted(client, another_client, ada, phone, key):
    for browser in (client, another_client):
        browser.log_in(ada)
        browser.post(STEP, data={"code": phone.code(), "trust": "y"})
        phone.clock.move(minutes=1)
    prove_by_code(client, phone)
    assert is_added(add(client, key))
    another_client.post("/auth/logout")
    assert another_client.log_in(ada).location == "/"


@pytest.mark.parametrize("settings", [{"TWO_FACTOR_REQUIRED_FOR": "everybody"}])
def test_where_two_factor_is_mandatory_a_passkey_is_one_click_from_it(client, ada, key):
    client.log_in(ada)
    assert client.get("/").location == SETTINGS
    assert add(client, key).location == SETTINGS
    assert client.get("/").location == SETTINGS, "the password alone would still log in"
    assert REQUIRE in client.get(SETTINGS).text
    assert codes_on(client.post(REQUIRE))
    assert client.get("/").status_code == 200

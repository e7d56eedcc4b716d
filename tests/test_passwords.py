"""Changing and resetting passwords, and the reasons that revoked sessions are told."""

import contextvars
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from support.clients import JSON, PASSWORD, on_sqlite
from support.concurrency import at_once, copies
from support.costly import COSTLY
from support.pages import FIREFOX, STRANGER, beside, is_logged_in, notes, told
from support.passwords import NEW, choose
from support.records import history, rows
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from app.accounts import password_strength, passwords
from app.extensions import db
from app.models import User


def change(client, old=PASSWORD, new=NEW, again=None, **request):
    form = {"old_password": old, "password": new, "confirm_password": new if again is None else again}
    return client.post("/auth/change-password", data=form, **request)


def ask(client, email="ada@example.com", **request):
    """Request a reset link."""
    return client.post("/auth/reset", data={"email": email}, **request)


# Changing the password


def test_changing_the_password_revokes_other_sessions_and_notifies_the_user(
    app, client, another_client, ada, outbox, clock
):
    client.log_in(ada, remember_me="y")
    another_client.log_in(ada, remember_me="y")
    [copy] = copies(client, 1)
    assert is_logged_in(copy)

    answer = change(client, headers={"User-Agent": FIREFOX})
    assert answer.location == "/auth/login-methods"
    assert "Expires=" in answer.headers["Set-Cookie"], "the session stays permanent"
    page = client.get("/account")
    assert notes(page) == ["Your password was changed. Your other devices were logged out."]
    assert told(another_client) == ["You were logged out because your password was changed on another device."]
    assert told(another_client) == STRANGER, "the reason is shown once"
    assert told(copy) == STRANGER, "the old session id is unknown now"
    assert is_logged_in(client)

    assert another_client.log_in(ada).status_code == 422
    another_client.log_in(ada, NEW)
    assert is_logged_in(another_client)
    new_device, message, forgotten = outbox()
    assert new_device.subject == forgotten.subject == "New login to your Flasky account"
    assert (message.subject, message.recipients) == ("Your Flasky password was changed", ["ada@example.com"])
    origin = {"When": f"{clock.time:%-d %B %Y, %H:%M} UTC", "Device": "Firefox on Linux", "IP address": "127.0.0.1"}
    assert "\n".join(f"{name}: {value}" for name, value in origin.items()) in message.body
    assert all(f">{value}<" in message.html for value in origin.values())
    assert outbox.link(1).startswith("/auth/secure-account/")
    assert "Take back your account" in client.get(outbox.link(1)).text
    happened = "logged_in logged_in new_device password_changed login_failed logged_in new_device"
    assert history() == happened.split()


@pytest.mark.parametrize(
    ("field", "form", "error"),
    [
        ("old_password", {"old": "wrong"}, "Incorrect password."),
        ("old_password", {"old": ""}, "Enter your password."),
        ("password", {"new": "adaadaada"}, "easy to guess"),
        ("password", {"new": "ada@example.com"}, "easy to guess"),
        ("confirm_password", {"again": "something else"}, "don't match"),
    ],
)
def test_change_password_shows_each_error_beside_its_field(client, another_client, ada, field, form, error):
    for browser in (client, another_client):
        browser.log_in(ada)
    before = rows() | {"audit_events": None}  # the failed attempt is recorded there
    page = change(client, **form)
    assert page.status_code == 422
    assert error in beside(field, page)
    assert page.text.count("is-invalid") == 1 or "old" not in form
    assert not [word for word in (PASSWORD, NEW, form.get("old")) if word and word in page.text]
    assert rows() | {"audit_events": None} == before
    assert is_logged_in(client)
    assert is_logged_in(another_client)


def test_changing_the_password_invalidates_outstanding_links(client, another_client, ada, outbox):
    client.log_in(ada)
    ask(another_client)
    another_client.post("/auth/magic-link", data={"email": ada.email})
    client.post("/auth/change-email", data={"email": "new@example.com", "password": PASSWORD})
    reset, magic_link, new_address = (outbox.link(number) for number in range(3))
    for address in (reset, magic_link):
        assert client.head(address).status_code in {200, 302}, "still valid"
    ask(another_client)
    waiting = len(outbox)

    change(client)
    assert [message.subject for message in outbox()[waiting:]] == ["Your Flasky password was changed"], (
        "no invalid link"
    )
    assert choose(another_client, reset, "a third lantern").status_code == 410
    assert another_client.get(magic_link).status_code == 410
    assert client.get(new_address).status_code == 410
    assert not is_logged_in(another_client)
    assert (ada.email, ada.verify_password(NEW)) == ("ada@example.com", True)


@on_sqlite
def test_the_three_thousand_most_common_passwords_are_refused(app):
    """Check every tenth password that is long enough."""
    common = [word for word in FREQUENCY_LISTS["passwords"] if len(word) >= 8]  # most common first
    for password in common[:3000:10]:
        with pytest.raises(ValueError, match="easy to guess"):
            password_strength.check(password, "ada")


LONG_AND_COMMON = [
    "passwordpassword", "PasswordPassword1", "P@ssw0rdP@ssw0rd", "password password", "Password123Password123!",
    "sunshinesunshine", "dragondragondragon", "letmein letmein letmein", "summer2024summer2024", "qwertyqwertyqwerty",
    "administrator2024", "changemechangeme", "111111111111111", "aaaaaaaaaaaaaaaaaaaa", "123456789012345",
    "abcdefghijklmnopqrstuvwxyz", "qwertyuiopasdfghjkl", "qwertyuiopasdfghjklzxcvbnm", "poiuytrewqlkjhgfdsa",
    "1qaz2wsx3edc4rfv", "!QAZ@WSX#EDC$RFV", "1qaz!QAZ2wsx@WSX", "zaq12wsxcde34rfv", "qazwsxedcrfvtgbyhnujm",
    "1q2w3e4r5t6y7u8i9o", "1a2b3c4d5e6f7g8h", "123qweasdzxc123qwe", "11223344556677889900", "asdfghjkl;'zxcvbnm",
    "iloveyouforever", "iloveyousomuch1", "I love you so much!!!", "thisismypassword", "This is my password 2026",
    "th1s1smyp@ssw0rd", "whatisyourpassword", "thequickbrownfox", "The quick brown fox jumps over the lazy dog",
    "correcthorsebatterystaple", "Correct-Horse-Battery-Staple-1", "maytheforcebewithyou",
    "tobeornottobethatisthequestion", "loremipsumdolorsitamet", "supercalifragilisticexpialidocious",
    "onetwothreefourfive",
]  # fmt: skip


@on_sqlite
@pytest.mark.parametrize("settings", [{}, {"PASSWORD_MIN_LENGTH": 15}], ids=["8", "15"])
def test_long_common_passwords_are_refused(app):
    assert min(map(len, LONG_AND_COMMON)) >= 15
    for password in LONG_AND_COMMON:
        with pytest.raises(ValueError, match="easy to guess"):
            password_strength.check(password, "eve", "eve@example.com")


@on_sqlite
@pytest.mark.parametrize("settings", [{"PASSWORD_MIN_LENGTH": 15}])
@pytest.mark.parametrize(
    "password",
    [
        PASSWORD, NEW, "seven otters on a raft", "brighter lanterns than before", "xK4$mQ9!vT2@pL7w", "zqkfhwxnrmtbvyd",
        "my dog ate the concertina", "i love brutalist car parks", "kdj3#FJ@kd93(dkDlso", "Fußgängerübergang am Kai",
        "夜明け前の灯台に二羽の鷺がいた。", "831 940 271 665 038",
    ],
)  # fmt: skip
def test_uncommon_passwords_are_accepted(client, password):
    form = {"email": "eve@example.com", "username": "eve", "password": password, "confirm_password": password}
    assert client.post("/auth/register", data=form).status_code == 302


@on_sqlite
def test_a_rule_of_the_application_holds_for_forms_and_commands(client, ada, flask, monkeypatch):
    asked = []

    def check_fern(password, own_words):
        asked.append(own_words)
        if "fern" in password:
            raise ValueError("No ferns.")

    monkeypatch.setattr(password_strength, "CHECKS", [*password_strength.CHECKS, check_fern])
    monkeypatch.setattr(password_strength, "HINT", "%(shortest)d characters, and no fern.")
    client.log_in(ada)
    page = change(client, new="fern on a tall chair")
    assert "No ferns." in beside("password", page)
    assert "8 characters, and no fern." in page.text
    assert "Avoid names" not in page.text
    assert asked == [["ada@example.com", "ada", "Flasky"]]
    assert "easy to guess" in beside("password", change(client, new="password password"))
    assert len(asked) == 1, "a password that is refused is not checked further"
    words = ("--email", "eve@example.com", "--username", "eve", "--password-stdin")
    assert "No ferns." in flask("users", "create", "--no-input", *words, typed="fern on a tall chair").output


@on_sqlite
def test_our_rules_for_passwords_can_be_removed(client, ada, monkeypatch):
    monkeypatch.setattr(password_strength, "CHECKS", [])
    client.log_in(ada)
    assert change(client, new="password").location == "/auth/login-methods"
    assert "at least 8" in beside("password", change(client, old="password", new="passwor"))


@on_sqlite
@pytest.mark.parametrize("settings", [{"PASSWORD_MIN_LENGTH": 15}])
def test_password_min_length_15_refuses_shorter_passwords(client, ada, outbox):
    client.log_in(ada)
    page = change(client, new="a heron's lock")
    assert page.status_code == 422
    assert "Use at least 15 characters." in beside("password", page)
    ask(client)
    assert "at least 15" in beside("password", choose(client, outbox.link(), "a heron's lock"))
    assert change(client, new="a heron's lock.").location == "/auth/login-methods"


ORDINARY = "an ordinary one: 32 long, not 31"


@on_sqlite
@pytest.mark.parametrize("kind", sorted(COSTLY))
def test_scoring_a_password_never_takes_long(app, kind):
    """Substitutions multiply zxcvbn's work by up to 576; a few times an ordinary password's must be enough."""
    password_strength.check(PASSWORD)
    for length in (16, 32, 1024):
        dear = usual = float("inf")
        for _ in range(6):  # the best of both, on a busy machine, too
            dear, usual = min(dear, _seconds(COSTLY[kind](length))), min(usual, _seconds(ORDINARY))
            if dear < 8 * usual + 0.01:
                break
        assert dear < 8 * usual + 0.01, length


def _seconds(password):
    begun = time.process_time()
    with suppress(ValueError):
        password_strength.check(password, "eve", "eve@example.com")
    return time.process_time() - begun


@on_sqlite
def test_concurrent_scoring_does_not_mix_the_users_words(app):
    """zxcvbn keeps the words of one user in a module variable."""

    def refused(name):
        with app.app_context(), suppress(ValueError):
            password_strength.check(name, name)
            return False
        return True

    names = ["zyxommavelde", "quernstonewj"] * 30
    password_strength.check(names[0], names[1])  # other users may choose it
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(refused, names))
    finally:
        sys.setswitchinterval(interval)


@on_sqlite
def test_a_password_may_contain_any_character(client, ada):
    """Try characters from all of Unicode, including unassigned and invisible ones."""
    old = PASSWORD
    everything = [chr(point) for point in range(1, 0x110000, 1137) if not 0xD800 <= point < 0xE000]
    for start in range(20):
        client.log_in(ada, old)
        new = "".join(everything[start::20])
        assert change(client, old, new).location == "/auth/login-methods", ascii(new)
        client.post("/auth/logout")
        assert not ada.verify_password(new[:-1])
        old = new
    assert client.log_in(ada, old).location == "/"


def test_a_user_without_a_password_requests_a_link(client, ada, outbox):
    ada.password_hash = None
    db.session.commit()
    client.post("/auth/magic-link", data={"email": ada.email})
    client.get(outbox.link())
    page = client.get("/auth/change-password")
    assert "Your account has no password" in page.text
    assert "old_password" not in page.text
    for old in ("", "None"):
        assert "Your account has no password" in change(client, old).text
    assert ada.password_hash is None

    action, email = re.search(r'action="(/auth/reset)".*name="email" value="([^"]+)"', page.text, re.DOTALL).groups()
    assert client.post(action, data={"email": email}).location == "/auth/email-sent"
    assert choose(client, outbox.link()).location == "/auth/login"
    client.log_in(ada, NEW)
    assert 'name="old_password"' in client.get("/auth/change-password").text


def test_of_two_concurrent_password_changes_one_wins(client, another_client, ada, outbox, monkeypatch):
    """The second request has verified the old password before the first one writes."""
    client.log_in(ada)
    another_client.log_in(ada)
    verify, asked = User.verify_password, []

    def verify_and_be_overtaken(user, password):
        asked.append(password)
        is_right = verify(user, password)
        if len(asked) == 1:
            assert contextvars.Context().run(change, another_client, new="a third lantern").status_code == 302
        return is_right

    monkeypatch.setattr(User, "verify_password", verify_and_be_overtaken)
    page = change(client)
    assert (page.status_code, "Your password was just changed on another device." in page.text) == (422, True)
    assert is_logged_in(another_client)
    assert told(client) == ["You were logged out because your password was changed on another device."]
    assert verify(ada, "a third lantern")
    changed = [message for message in outbox() if message.subject == "Your Flasky password was changed"]
    assert history().count("password_changed") == len(changed) == 1


def test_well_known_change_password_redirects_to_the_page(client, ada):
    answer = client.get("/.well-known/change-password")
    assert (answer.status_code, answer.location) == (302, "/auth/change-password")
    asked = client.get(answer.location)
    assert client.post(asked.location, data={"login": "ada", "password": PASSWORD}).location == "/auth/change-password"
    page = client.get("/auth/change-password").text
    assert 'name="username" autocomplete="username" value="ada"' in page
    assert re.findall(r'autocomplete="([a-z]+-password)"', page) == [
        "current-password", "new-password", "new-password",
    ]  # fmt: skip


# Requesting a reset link


def test_a_reset_request_emails_a_link_or_says_that_there_is_no_account(client, ada, outbox):
    for email in ("ADA@example.com", "eve@example.com"):
        assert ask(client, email).location == "/auth/email-sent"
    assert [message.recipients for message in outbox()] == [["ada@example.com"], ["eve@example.com"]]
    assert outbox[0].subject == "Reset your Flasky password"
    assert outbox.link(0).startswith("/auth/reset/")
    assert (outbox[1].subject, outbox.link(1)) == (
        "There's no Flasky account with this email address",
        "/auth/register",
    )
    assert "IP address: 127.0.0.1" in outbox[1].body


@pytest.mark.parametrize("settings", [{"REGISTRATION_OPEN": False}])
def test_with_registration_closed_no_email_links_to_it(client, outbox):
    ask(client, "eve@example.com")
    assert "register" not in (outbox()[0].body + outbox[0].html).lower()


def test_a_reset_request_for_an_invalid_address_is_refused(client, outbox):
    for email, error in (("", "Enter your email address."), ("ada", "@-sign"), ("a\0da@example.com", "used here")):
        page = ask(client, email)
        assert (page.status_code, error in beside("email", page)) == (422, True), email
    assert outbox() == []


# The link


def test_a_reset_link_works_once_and_revokes_all_sessions(client, another_client, ada, outbox, clock):
    client.log_in(ada, remember_me="y")
    another_client.log_in(ada)
    outbox().clear()  # the email about the second device
    ask(client)
    answer = choose(client, outbox.link(0), headers={"User-Agent": FIREFOX})
    assert answer.location == "/auth/login"
    page = client.get(answer.location)
    assert page.status_code == 200, "this browser was logged out, too"
    assert notes(page) == [
        "Your password was changed. Log in with your new password.",
        "You were logged out because your password was reset by email.",
    ]
    assert told(another_client) == ["You were logged out because your password was reset by email."]
    assert told(client) == told(another_client) == STRANGER
    assert (outbox()[1].subject, outbox[1].recipients) == ("Your Flasky password was changed", ["ada@example.com"])
    assert outbox.link(1).startswith("/auth/secure-account/")
    assert history() == ["logged_in", "logged_in", "new_device", "reset_requested", "password_reset"]

    assert client.get(outbox.link(0)).status_code == 410
    assert choose(client, outbox.link(0), "a third lantern").status_code == 410
    assert client.log_in(ada).status_code == 422
    assert client.log_in(ada, NEW).location == "/"
    assert is_logged_in(client)


def test_a_reset_link_works_for_an_hour(client, another_client, ada, outbox, clock):
    ask(client)
    link = outbox.link()
    clock.move(minutes=60)
    assert client.get(link).status_code == 410
    assert choose(client, link).status_code == 410
    assert ada.verify_password(PASSWORD)
    clock.move(seconds=-1)
    assert choose(client, link).status_code == 302


@pytest.mark.parametrize(
    ("field", "form", "error"),
    [
        ("password", {"password": "elpmaxeada"}, "easy to guess"),
        ("confirm_password", {"again": "something else"}, "don't match"),
    ],
)
def test_a_refused_password_keeps_the_reset_link_valid(client, ada, outbox, field, form, error):
    ask(client)
    link, before = outbox.link(), rows()
    page = choose(client, link, **form)
    assert (page.status_code, error in beside(field, page)) == (422, True)
    assert rows() == before
    assert choose(client, link).status_code == 302


def test_the_reset_page_does_not_leak_its_token(client, ada, outbox):
    ask(client)
    link = outbox.link()
    token = link.rpartition("/")[2]
    for page in (client.get(link), choose(client, link, "short77")):
        assert page.headers["Cache-Control"] == "no-store"
        assert 'name="robots" content="noindex"' in page.text
        for address in re.findall(r'(?:src|href|action)="([^"]*)"', page.text):
            assert re.match(r"[/#](?!/)", address), "another origin would get the token"
        assert page.text.count(token) == page.text.count(f'action="{link}"') == 1
    answer = choose(client, link)
    page = client.get(answer.location)
    assert token not in str(answer.headers) + answer.text + page.request.url + page.text
    assert answer.headers["Cache-Control"] == "no-store"


def test_of_ten_concurrent_resets_one_wins(app, client, ada, outbox):
    client.log_in(ada)
    ask(client)
    link, passwords = outbox.link(), [f"{NEW} number {number}" for number in range(10)]
    answers = at_once(lambda password: choose(app.test_client(), link, password).status_code, passwords)
    assert sorted(answers) == [302] + [410] * 9
    assert [ada.verify_password(password) for password in passwords] == [answer == 302 for answer in answers]
    assert history().count("password_reset") == len(outbox()[1:]) == 1


def test_a_reset_link_works_while_another_user_is_logged_in(client, ada, bob, outbox):
    """The link resets the password of its own user, in any browser."""
    bob.confirmed = True
    db.session.commit()
    client.log_in(bob)
    ask(client)
    assert "This sets a new password for <strong><bdi>ada</bdi></strong>" in client.get(outbox.link()).text
    choose(client, outbox.link())
    assert (ada.verify_password(NEW), bob.verify_password(PASSWORD)) == (True, True)
    assert "bob@example.com" in client.get("/account").text


# Why a browser was logged out


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (None, "because your session expired."),
        ("log-out", "an administrator logged you out on all devices."),
        ("deactivate", "because your account was deactivated."),
    ],
)
def test_the_reason_of_a_logout_is_shown_once(app, client, ada, clock, command, words):
    client.log_in(ada)
    if command:
        contextvars.Context().run(app.test_cli_runner().invoke, args=["users", command, "ada"])
    else:
        clock.move(hours=12)
    assert client.get("/account", headers=JSON).status_code == 401
    [why] = notes(client.get("/"))
    assert why.startswith("You were logged out")
    assert why.endswith(words)
    assert told(client) == STRANGER


def test_a_user_who_logged_out_sees_no_reason(app, client, another_client, ada):
    """A copy of the cookie gets no reason either, whatever happens to the account later."""
    client.log_in(ada)
    copy, cookie = app.test_client(), client.get_cookie("session").value
    copy.set_cookie("session", cookie)
    client.post("/auth/logout")
    another_client.log_in(ada)
    change(another_client)
    assert told(copy) == STRANGER
    assert "because" not in copy.get("/").text


# Concurrent logins


@pytest.fixture
def overtaken(monkeypatch):
    """Run something between the password check of a login and its end."""

    def by(deed, *arguments):
        check, asked = passwords.check_password, []

        def check_and_be_overtaken(stored, password):
            asked.append(password)
            is_right = check(stored, password)
            if len(asked) == 1:
                contextvars.Context().run(deed, *arguments)
            return is_right

        monkeypatch.setattr(passwords, "check_password", check_and_be_overtaken)

    return by


@pytest.mark.parametrize("person", ["ada", "bob"])
def test_a_password_change_beats_a_concurrent_login(request, client, another_client, outbox, overtaken, person):
    user = request.getfixturevalue(person)
    ask(another_client, user.email)
    overtaken(choose, another_client, outbox.link())
    client.log_in(user)
    assert user.verify_password(NEW)
    assert not is_logged_in(client)


def test_renewing_the_hash_does_not_restore_an_old_password(app, client, another_client, ada, outbox, overtaken):
    app.config["PASSWORD_HASH"] = "pbkdf2:sha256:2"
    ask(another_client)
    overtaken(choose, another_client, outbox.link())
    client.log_in(ada)
    assert ada.verify_password(NEW)


def test_deactivation_beats_a_concurrent_login(app, client, ada, overtaken):
    overtaken(app.test_cli_runner().invoke, None, ["users", "deactivate", "ada"])
    assert client.log_in(ada).status_code in {302, 422}
    assert not is_logged_in(client)


def test_of_thirty_concurrent_reset_requests_ten_send_an_email(app, ada, outbox):
    at_once(lambda _: ask(app.test_client()), range(30))
    assert len(outbox()) == 10

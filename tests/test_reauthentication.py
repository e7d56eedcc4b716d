"""Reauthentication before something sensitive, and the forms that wait for it."""

import re

import pytest
from sqlalchemy import select
from support.clients import JSON, PASSWORD, hidden_fields, hidden_token, on_sqlite
from support.concurrency import copies
from support.corpora import OUTSIDE
from support.emails import code_in, wrong
from support.pages import beside, is_logged_in, notes
from support.records import history, rows
from support.routes import addresses, our_rules, with_all_routes

from app.extensions import db
from app.models import AuditEvent

ASK = "/auth/reauthenticate"
SURE = "/auth/delete"  # a page that asks, with a form
BUTTON = "/auth/devices/revoke-others"  # a button that asks, without a page of its own

# Every route is in one of these two. Those that change credentials, or take data away, ask.
ASKING = {f"auth.{name}" for name in """
    devices revoke_device revoke_other_devices change_username export delete start_sso connections unlink list_passkeys
    passkey_creation_options passkey remove_passkey remove_password add_passkey reauthenticate_to_add_passkey
    set_up_authenticator remove_authenticator renew_codes untrust_device require_passkey stop_requiring_passkey
""".split()}  # fmt: skip
NOT_ASKING = {  # by the reason
    "has no session": "static asset favicon manifest robots security_txt main.healthz main.readyz main.metrics",
    "only sets a cookie, or how pages look to the user": "main.appearance main.language auth.decline_passkey",
    "answers flask doctor only": "main.arrived",
    "shows, and changes nothing": "main.index main.account main.well_known_change_password auth.history"
    " auth.two_factor auth.login_methods",
    "asks for the password itself, and for both factors if two-factor is on": "auth.change_password auth.change_email",
    "authenticates": "auth.login auth.magic_link auth.magic_link_sent auth.use_magic_link auth.two_factor_verify"
    " auth.verify_device auth.passkey_request_options",
    "creates an account, and changes none": "auth.register auth.sso_address",
    "only sends an email": "auth.request_reset auth.email_sent",
    "needs a token from an email": "auth.reset_password auth.change_email_link auth.secure_account"
    " auth.accept_invitation",
    "confirms the email address by a token or code": "auth.confirm auth.unconfirmed auth.send_again",
    "must be possible at any time, and takes nothing away": "auth.logout auth.cancel_deletion",
    "is the reauthentication": "auth.reauthenticate",
    "authenticates, or ends what began with a reauthentication": "auth.sso_callback",
    "needs a login at the provider a moment ago, and asks then": "auth.link_sso",
}


@pytest.fixture
def member(client, ada, clock):
    """Ada's browser, 16 minutes after she logged in."""
    client.log_in(ada)
    clock.move(minutes=16)
    client.get("/account")
    return client


@pytest.fixture
def without_password(client, ada, outbox, clock):
    """The same for an account without a password."""
    ada.password_hash = None
    db.session.commit()
    client.post("/auth/magic-link", data={"email": "ada@example.com"})
    client.get(outbox.link())
    clock.move(hours=2)
    client.get("/account")
    return client


def prove(client, password=PASSWORD, **request):
    fields = request.pop("data", {})
    return client.post(ASK, data={"password": password} | fields, **request)


def asks(client, address=SURE):
    return client.get(address).location == ASK


def hidden(page):
    """What a form sends in hidden inputs, without its CSRF token."""
    return {name: value for name, value in hidden_fields(page).items() if name != "csrf_token"}


# Routes that ask


@on_sqlite
def test_a_field_without_a_name_is_ignored(member):
    part = "--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--"
    for page in (ASK, SURE):
        answer = member.post(page, data=part, content_type="multipart/form-data; boundary=b")
        assert answer.status_code in {403, 422}
        assert "None" not in answer.text


@with_all_routes
def test_each_route_asks_for_reauthentication_or_has_a_reason_not_to(app, member, another_client, ada):
    another_client.log_in(ada)
    not_asking = " ".join(NOT_ASKING.values()).split()
    endpoints = {rule.endpoint for rule in our_rules(app)}
    endpoints = {name for name in endpoints if not name.startswith("admin.")}  # all of them ask: test_admin.py
    assert sorted(endpoints) == sorted([*ASKING, *not_asking]), "each once"
    before, asked = rows(), set()
    for endpoint, address in addresses(app, "GET"):
        for query in ("", "?password=" + PASSWORD.replace(" ", "+")):
            with member.get(address + query) as page:
                assert (page.location == ASK) is (endpoint in ASKING), address
                asked |= {endpoint} if page.location == ASK else set()
    fields = {"email": "ada@example.com", "authenticated_at": "2100-01-01", "target": "/", "go": "y"}
    for endpoint, address in addresses(app, "POST"):
        if endpoint in ASKING:
            page = member.post(address, data=fields)
            assert (page.status_code, "<h1>Confirm it's you</h1>" in page.text) == (403, True), address
            assert hidden(page)["target"].rstrip("?") == address
            asked.add(endpoint)
    assert asked == ASKING
    assert rows() == before
    assert is_logged_in(another_client)


@with_all_routes
def test_json_requests_that_need_reauthentication_get_403(app, member):
    before = rows()
    for method in ("GET", "POST"):
        for endpoint, address in addresses(app, method):
            if endpoint in ASKING:
                answer = member.open(address, method=method, headers=JSON)
                assert (answer.status_code, answer.mimetype) == (403, "application/json"), address
    assert rows() == before
    refused = prove(member, "wrong", headers=JSON)
    assert (refused.status_code, refused.json) == (422, {"errors": {"password": ["Incorrect password."]}})


def test_reauthentication_is_asked_for_fifteen_minutes_after_the_login(client, ada, clock):
    client.log_in(ada)
    clock.move(minutes=14, seconds=59)
    assert client.get(SURE).status_code == 200
    clock.move(seconds=1)
    assert asks(client)


# The password


def test_the_password_reauthenticates_for_fifteen_minutes(app, member, clock):
    [copy] = copies(member, 1)
    assert is_logged_in(copy)
    question = member.get("/auth/export?from=here", follow_redirects=True)
    assert question.request.path == ASK
    assert 'autocomplete="current-password"' in question.text
    assert prove(member).location == "/auth/export?from=here"
    assert not is_logged_in(copy), "its id is nobody's now"
    assert is_logged_in(member)
    assert member.get("/auth/export").status_code == 200
    assert history() == ["logged_in", "reauthenticated"]
    clock.move(minutes=14, seconds=59)
    assert not asks(member)
    clock.move(seconds=1)
    assert asks(member)


def test_a_wrong_password_does_not_reauthenticate(member):
    member.get(SURE)
    before = rows() | {"audit_events": None}
    for password in ("wrong", "", PASSWORD + "\0", "x" * 1025, PASSWORD.upper()):
        page = prove(member, password, data={"target": SURE, "held-email": "x@example.com"})
        assert (page.status_code, hidden(page)) == (422, {"target": SURE, "held-email": "x@example.com"})
        assert beside("password", page)
    for fields in ({"code": "00000000"}, {"code": PASSWORD}, {}):
        assert member.post(ASK, data=fields).status_code == 422
    assert asks(member)
    assert rows() | {"audit_events": None} == before
    assert "login_failed" in {event.action for event in db.session.scalars(select(AuditEvent))}
    assert prove(member).location == SURE, "the way is not forgotten"


def test_another_users_password_does_not_reauthenticate(member, bob):
    bob.password = "another heron entirely"
    db.session.commit()
    assert prove(member, "another heron entirely").status_code == 422
    assert asks(member)


# A code, where there is no password


def test_a_user_without_a_password_reauthenticates_by_an_emailed_code(app, without_password, outbox):
    member, copy = without_password, app.test_client()
    copy.set_cookie("session", member.get_cookie("session").value)
    question = member.get(SURE, follow_redirects=True)
    assert 'name="password"' not in question.text
    assert 'name="code"' not in question.text, "no code was sent yet"
    assert prove(member, "").status_code == 422
    page = member.post(ASK, data={"send_code": "y", "target": "/auth/export", "held-a": "b"})
    assert (page.status_code, notes(page)) == (200, ["We emailed you a code."])
    assert 'autocomplete="one-time-code"' in page.text
    assert hidden(page) == {"target": "/auth/export", "held-a": "b"}
    assert outbox()[-1].recipients == ["ada@example.com"]
    code = code_in(outbox[-1])
    assert code not in page.text
    assert code not in str(rows())
    refused = member.post(ASK, data={"code": wrong(code)})
    assert (refused.status_code, "This code is incorrect" in beside("code", refused)) == (422, True)
    assert asks(member)
    assert member.post(ASK, data={"code": f" {code} "}).location == SURE
    assert member.get(SURE).status_code == 200
    assert not is_logged_in(copy)
    assert member.post(ASK, data={"code": code}).status_code == 422, "it is used up"


def test_a_reauthentication_code_allows_five_attempts_within_fifteen_minutes(without_password, outbox, clock):
    member = without_password

    def have_one_sent():
        member.post(ASK, data={"send_code": "y"})
        return code_in(outbox()[-1])

    code = have_one_sent()
    assert have_one_sent() == code, "as long as it can be typed"
    for _ in range(5):
        assert member.post(ASK, data={"code": wrong(code)}).status_code == 422
    assert member.post(ASK, data={"code": code}).status_code == 422
    clock.move(seconds=1)
    code = have_one_sent()
    clock.move(minutes=15)
    assert member.post(ASK, data={"code": code}).status_code == 422
    assert asks(member)
    clock.move(seconds=-1)
    assert member.post(ASK, data={"code": code}).status_code == 302
    assert not asks(member)


def test_a_reauthentication_code_is_bound_to_account_and_purpose(app, without_password, bob, outbox):
    bob.confirmed, bob.password_hash = True, None
    db.session.commit()
    member, bobs = without_password, app.test_client()
    bobs.post("/auth/magic-link", data={"email": "bob@example.com"})
    bobs.get(outbox.link())
    bobs.post(ASK, data={"send_code": "y"})
    anothers = code_in(outbox()[-1])
    app.test_client().post("/auth/magic-link", data={"email": "ada@example.com"})
    to_login = code_in(outbox()[-1])
    member.post(ASK, data={"send_code": "y"})
    for code in (anothers, to_login, ""):
        assert member.post(ASK, data={"code": code}).status_code == 422
    assert asks(member)


def test_reauthentication_codes_have_an_hourly_limit(without_password, outbox):
    told = [notes(without_password.post(ASK, data={"send_code": "y"})) for _ in range(11)]
    assert told[:10] == [["We emailed you a code."]] * 10
    assert told[10:] == [["We've sent you too many emails. Try again in an hour."]]
    assert len(outbox()) == 11, "with the one that led in, two hours ago"


# A form that waits


def test_a_form_waits_for_reauthentication_without_its_secrets_and_is_sent_again(member, ada):
    secrets = {"password": "hush 1", "old_password": "hush 2", "confirm_password": "hush 3"}
    secrets |= {"code": "87654321", "csrf_token": "hush 4"}
    typed = {"email": "Ada@Example.com", '"><b>': '"><i>', "note": "\u00e9\n<"}
    question = member.post(SURE, data=typed | secrets)
    assert question.status_code == 403
    assert not [secret for secret in secrets.values() if secret in question.text]
    assert "<b>" not in question.text
    assert "<i>" not in question.text
    waits = hidden(question)
    assert waits == {"target": waits["target"]} | {f"held-{name}": value for name, value in typed.items()}
    refused = prove(member, "wrong", data=waits)
    assert hidden(refused) == waits
    page = prove(member, data=hidden(refused))
    assert (page.status_code, hidden(page)) == (200, typed)
    assert f'action="{SURE}"' in page.text
    db.session.refresh(ada)
    assert ada.deletion_due_at is None, "only when it is sent again"
    member.post(SURE, data=hidden(page))
    db.session.refresh(ada)
    assert ada.deletion_due_at is not None


def test_a_button_without_a_page_of_its_own_waits_and_is_sent_again(member, another_client, ada):
    another_client.log_in(ada)
    page = prove(member, data=hidden(member.post(BUTTON)))
    assert (page.status_code, hidden(page), f'action="{BUTTON}"' in page.text) == (200, {}, True)
    assert is_logged_in(another_client)
    assert member.post(BUTTON).location == "/auth/devices"
    assert not is_logged_in(another_client)


# Redirects


def test_reauthentication_redirects_to_no_other_site_and_changes_nothing(app, member, another_client, ada, clock):
    another_client.log_in(ada)
    inside = {address for method in ("GET", "POST") for _, address in addresses(app, method)}
    odd = {"/nowhere", "/auth/logout?x=y", "/auth/delete?email=ada@example.com", "/auth/devices/", "/[", "/%00", "/%ff"}
    odd |= {"/auth/login?next=//evil.com", "/?next=//evil.com", "/.//evil.com", "/a/..//evil.com", "/auth//delete"}
    held = {"held-email": "ada@example.com", "held-username": "eve", "held-next": "//evil.com", "held-send_code": "y"}

    def others():
        return {name: found for name, found in rows().items() if name not in {"user_sessions", "audit_events"}}

    before, count = others(), 0
    for target in [*OUTSIDE, *sorted(inside | odd)]:
        answer = prove(member, data={"target": target} | held)
        assert answer.status_code in {200, 302}, target
        assert not re.search(r'action="(?!/[^/\\])', answer.text), target
        assert (answer.location or "/").startswith("/"), target
        assert not (answer.location or "/").startswith(("//", "/\\")), target
        assert "evil" not in (answer.location or ""), target
        count += 1
    assert others() == before
    assert set(db.session.scalars(select(AuditEvent.action))) == {"logged_in", "new_device", "reauthenticated"}
    assert history().count("reauthenticated") == count
    assert is_logged_in(member)
    assert is_logged_in(another_client)


def test_an_unconfirmed_user_reaches_no_closed_page_through_reauthentication(app, client, bob):
    client.log_in(bob)
    reached = {f"auth.{name}" for name in "unconfirmed reauthenticate delete logout cancel_deletion confirm".split()}
    reached |= {"auth.secure_account", "auth.send_again", "main.appearance", "main.language"}
    for endpoint, address in addresses(app, "POST"):
        page = prove(client, data={"target": address, "held-username": "eve"})
        assert (page.status_code, hidden(page)) == (200, {"username": "eve"}), endpoint
        if endpoint not in reached:
            assert client.post(address, data=hidden(page)).location == "/auth/unconfirmed", endpoint
    assert "logged_out_others" not in history()


# A form that is too long to wait

LONG_FORMS = {
    "many fields": {f"x{number}": "" for number in range(60)},
    "long fields": {"x": "'" * 5_000, "y": "'" * 5_000},
    "long names": {f"{number}{'n' * 120}": "" for number in range(49)} | {"x": "x" * 4_000},
    "one long field": {"username": "\"'<&" * 4_000},
}


@on_sqlite
@pytest.mark.parametrize("kind", LONG_FORMS)
def test_a_form_that_is_too_long_does_not_wait_and_the_user_is_told(member, kind):
    page = member.post("/auth/change-username", data=LONG_FORMS[kind])
    assert (page.status_code, "Your form is too long to keep." in page.text) == (403, True)
    assert "held-" not in page.text
    assert len(page.data) < 20_000
    again = prove(member, "wrong", data={f"held-{name}": value for name, value in LONG_FORMS[kind].items()})
    assert (again.status_code, "too long to keep" in again.text) == (422, True)
    assert len(again.data) < 20_000
    target = {"target": "/auth/change-username", **{f"held-{name}": "" for name in LONG_FORMS["many fields"]}}
    back = prove(member, data=target)
    assert back.location == "/auth/change-username"
    assert "Thanks, that&#39;s confirmed. Fill in the form again." in member.get(back.location).text


@on_sqlite
def test_the_longest_form_that_waits_makes_a_page_of_bounded_size(member):
    page = member.post("/auth/change-username", data={f"x{number}": "'" * 160 for number in range(50)})
    assert page.text.count("held-") == 50
    assert len(page.data) < 64 * 1024


@on_sqlite
def test_a_target_that_is_not_a_path_is_not_shown(member):
    page = prove(member, "wrong", data={"target": "/" + "'" * 10_000})
    assert page.status_code == 422
    assert 'name="target"' not in page.text


def test_without_a_csrf_token_nothing_reauthenticates(app, member, outbox):
    app.config["WTF_CSRF_ENABLED"] = True
    before, fields = rows(), {"target": SURE, "held-email": "x@example.com", "send_code": "y"}
    tokens = {
        "This form has no security token": {},
        "open for too long": {"csrf_token": "abc"},
        "logged in or out after you opened this page": {
            "csrf_token": hidden_token(app.test_client().get("/auth/login"))
        },
    }
    for words, token in tokens.items():
        page = prove(member, data=fields | token)
        assert (page.status_code, words in page.text) == (400, True)
        assert PASSWORD not in page.text
        assert hidden(page) == fields, "what waits, waits on"
    assert asks(member)
    assert rows() == before
    sent_again = prove(
        member, data={name: hidden_fields(page)[name] for name in ("csrf_token", "target", "held-email")}
    )
    assert (sent_again.status_code, hidden(sent_again)) == (200, {"email": "x@example.com"})

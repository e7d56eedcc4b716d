"""Tokens: signing, verifying, and resolving them to a user and a purpose."""

import base64
import json
import warnings
from urllib.parse import quote

import pytest
from joserfc import jws
from support.clients import on_sqlite
from support.corpora import TOKENS, signed
from support.routes import our_rules

from app.email.outbox import recipient_hash
from app.extensions import db
from app.models import AuditAction, AuditEvent, User
from app.security import signing, tokens
from app.security.token_purposes import TokenPurpose

SECRET_KEY = "a key of the tests' own that is long enough"


@pytest.fixture
def key(app):
    """Return the derived key that signs confirmation tokens."""
    return signing.keys("confirm").keys[0]


@pytest.fixture
def payload(bob):
    return json.loads(base64.urlsafe_b64decode(bob.generate_confirmation_token().split(".")[1] + "=="))


def test_a_token_holds_user_state_lifetime_and_claims(bob, clock):
    claims = signing.verify(
        signing.sign(TokenPurpose.CONFIRM, bob.id, "state", lifetime=60, email="x"), TokenPurpose.CONFIRM
    )
    assert (claims.subject, claims.state, claims.extra) == (bob.id, "state", {"email": "x"})
    assert claims.expires_at - claims.issued_at == 60


def test_a_token_expires(bob, clock):
    token = bob.generate_confirmation_token()
    clock.move(seconds=3599)
    assert signing.verify(token, TokenPurpose.CONFIRM)
    clock.move(seconds=1)
    assert signing.verify(token, TokenPurpose.CONFIRM) is None
    assert signing.verify(token, TokenPurpose.CONFIRM, even_if_expired=True).subject == bob.id
    clock.move(days=-2)
    assert signing.verify(token, TokenPurpose.CONFIRM, even_if_expired=True) is None, "issued in the future"


@on_sqlite
@pytest.mark.parametrize("purpose", TokenPurpose)
def test_a_token_works_for_its_own_purpose_only(client, bob, purpose):
    event = AuditEvent(user_id=bob.id, action=AuditAction.NEW_DEVICE)
    db.session.add(event)
    db.session.commit()
    event_id, new = event.id, {"password": "another lantern", "confirm_password": "another lantern"}
    claims = {"email": "new@example.com", "challenge": "x", "event": event_id, "to": recipient_hash(bob.email)}
    token = signing.sign(purpose, bob.id, bob.state(purpose), **claims)
    spend = {
        "confirm": lambda: bob.confirm(token),
        "reset": lambda: User.reset_password(token, "another lantern"),
        "change_email": lambda: bob.change_email(token),
        "secure_account": lambda: client.post(f"/auth/secure-account/{token}", data=new).status_code == 302,
        "magic_link": lambda: client.post(f"/auth/magic-link/{token}").status_code == 302,
        "reauthentication": lambda: purpose == "reauthentication",  # it has codes only
        "verify_device": lambda: purpose == "verify_device",  # likewise
        "register": lambda: purpose == "register",  # its page is there with a CAPTCHA: test_altcha.py
        "first_login": lambda: purpose == "first_login",  # its page is there without passwords: test_switches.py
        "invitation": lambda: purpose == "invitation",  # it belongs to no user: test_invitations.py
        "doctor": lambda: client.get(f"/healthz/{token}").status_code == 200,
    }
    assert spend.keys() == {*TokenPurpose}
    for other in sorted(TokenPurpose, key=lambda each: each == purpose):  # last, because it changes the account
        assert (signing.verify(token, other) is not None) is (purpose == other), other
        assert spend[other]() is (purpose == other), other


def test_the_key_of_one_purpose_signs_no_token_for_another(key, payload):
    forged = signed(key, payload | {"purpose": "reset"})
    assert signing.verify(signed(key, payload), TokenPurpose.CONFIRM, TokenPurpose.RESET)
    assert signing.verify(forged, TokenPurpose.CONFIRM, TokenPurpose.RESET) is None


def test_every_token_purpose_has_its_own_key(app):
    assert len({signing.keys(purpose).keys[0].kid for purpose in TokenPurpose}) == len(TokenPurpose)


def test_authlib_and_joserfc_read_each_others_tokens(bob, key, payload):
    import authlib.deprecate  # enables its own warnings, so filter them afterwards

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", authlib.deprecate.AuthlibDeprecationWarning)
        from authlib.jose import JsonWebSignature  # noqa: TID251 - to show that it reads ours
    authlib = JsonWebSignature(["HS256"])
    ours = bob.generate_confirmation_token()
    assert json.loads(authlib.deserialize_compact(ours, key.get_op_key("verify"))["payload"])["sub"] == bob.id
    header = {"alg": "HS256", "kid": key.kid}
    theirs = authlib.serialize_compact(header, json.dumps(payload), key.get_op_key("sign")).decode()
    assert bob.confirm(theirs)


def test_a_fallback_key_verifies_tokens(app, bob):
    token = bob.generate_confirmation_token()
    former, app.config["SECRET_KEY"] = app.config["SECRET_KEY"], SECRET_KEY
    assert signing.verify(token, TokenPurpose.CONFIRM) is None
    app.config["SECRET_KEY_FALLBACKS"] = [former]
    assert signing.verify(token, TokenPurpose.CONFIRM)
    header = json.loads(base64.urlsafe_b64decode(bob.generate_confirmation_token().split(".")[0] + "=="))
    assert header["kid"] == signing.keys("confirm").keys[0].kid, "the current key signs"


def test_a_token_of_another_installation_is_refused(app, bob):
    token = bob.generate_confirmation_token()
    app.config["PUBLIC_URL"] = "https://other.example"
    assert signing.verify(token, TokenPurpose.CONFIRM) is None


@on_sqlite
def test_forged_and_malformed_tokens_get_the_invalid_link_page(client, bob, key, payload):
    client.log_in(bob)
    for name, forge in TOKENS.items():
        token = forge(bob.generate_confirmation_token(), key, payload)
        page = client.get(f"/auth/confirm/{quote(token, safe='')}")
        is_shown = "<h1>This link has expired or was already used</h1>" in page.text
        assert (page.status_code, is_shown) == ((404, False) if name == "empty" else (410, True)), name
        assert not bob.confirmed, name
        assert not bob.confirm(token), name


def test_a_correct_token_signed_by_the_tests_works(client, bob, key, payload):
    client.log_in(bob)
    client.get(f"/auth/confirm/{signed(key, payload)}")
    assert bob.confirmed


@pytest.fixture
def checked(monkeypatch):
    """Collect the tokens whose signatures are checked."""
    tokens, check = [], jws.deserialize_compact

    def check_and_note(token, *args, **kwargs):
        tokens.append(token)
        return check(token, *args, **kwargs)

    monkeypatch.setattr(jws, "deserialize_compact", check_and_note)
    return tokens


def link_for(user, purpose):
    event = AuditEvent(user_id=user.id, action=AuditAction.PASSWORD_CHANGED)
    db.session.add(event)
    db.session.commit()
    claims = {"email": "new@example.com", "challenge": "x", "event": event.id, "to": recipient_hash(user.email)}
    return user.issue_token(purpose, **claims)


NEW_PASSWORD = {"password": "another lantern", "confirm_password": "another lantern"}
LINKS = {
    "/auth/confirm/": TokenPurpose.CONFIRM,
    "/auth/reset/": TokenPurpose.RESET,
    "/auth/change-email/": TokenPurpose.CHANGE_EMAIL,
    "/auth/magic-link/": TokenPurpose.MAGIC_LINK,
    "/auth/secure-account/": TokenPurpose.SECURE_ACCOUNT,
    "/auth/invitation/": TokenPurpose.INVITATION,
}


@on_sqlite
@pytest.mark.parametrize("is_logged_in", [True, False])
@pytest.mark.parametrize("path", LINKS)
def test_a_link_page_verifies_its_token_once_per_request(app, client, ada, bob, checked, path, is_logged_in):
    user = bob if path == "/auth/confirm/" else ada
    token = link_for(user, LINKS[path])
    if is_logged_in:
        client.log_in(user)
    rules = [rule for rule in our_rules(app) if rule.rule.startswith(f"{path}<")]
    requests = [("HEAD", None), ("GET", None), ("POST", {"password": "short"}), ("POST", NEW_PASSWORD)]
    for method, data in requests:
        if method in rules[0].methods:
            checked.clear()
            assert client.open(f"{path}{token}", method=method, data=data).status_code < 500
            assert checked == [token], (method, data)


def test_every_page_with_a_token_is_tested_for_one_verification(app):
    pages = {rule.rule.partition("<")[0] for rule in our_rules(app) if "token" in rule.arguments}
    assert pages == LINKS.keys()
    assert set(LINKS.values()) == {purpose for purpose in TokenPurpose if not purpose.is_code_only} - {
        "doctor",
        "first_login",
        "register",
    }


def test_resolve_tells_spent_tokens_from_others(bob, clock):
    token = bob.generate_reset_token()
    assert tokens.resolve(token, TokenPurpose.CONFIRM, TokenPurpose.RESET).claims.purpose == TokenPurpose.RESET
    assert tokens.resolve(token, TokenPurpose.CONFIRM, even_if_spent=True) is None
    bob.password = "another lantern"
    assert tokens.resolve(token, TokenPurpose.RESET) is None
    assert tokens.resolve(token, TokenPurpose.RESET, even_if_spent=True).is_spent
    token = bob.generate_reset_token()
    clock.move(hours=2)
    assert tokens.resolve(token, TokenPurpose.RESET) is None
    spent = tokens.resolve(token, TokenPurpose.RESET, even_if_spent=True)
    assert (spent.user, spent.is_spent, spent.consume(confirmed=True)) == (bob, True, False)

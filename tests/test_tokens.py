"""Signed claims: what is read, and what is not, whatever comes."""

import base64
import json
import re
import warnings
from urllib.parse import quote

import pytest
from support.clients import ROOT, on_sqlite
from support.corpora import TOKENS, signed

from app.email.outbox import recipient_hash
from app.extensions import db
from app.models import AuditAction, AuditEvent, User
from app.models.user import STATE
from app.security import tokens

SECRET_KEY = "a key of the tests' own that is long enough"


@pytest.fixture
def key(app):
    """The derived key that signs confirmation tokens."""
    return tokens._keys("confirm").keys[0]


@pytest.fixture
def payload(bob):
    return json.loads(base64.urlsafe_b64decode(bob.generate_confirmation_token().split(".")[1] + "=="))


def test_a_token_says_whose_what_for_and_until_when(bob, clock):
    claims = tokens.read("confirm", tokens.issue("confirm", bob.id, "state", lifetime=60, email="x"))
    assert (claims.subject, claims.state, claims.extra) == (bob.id, "state", {"email": "x"})
    assert claims.expires_at - claims.issued_at == 60


def test_the_clock_decides(bob, clock):
    token = bob.generate_confirmation_token()
    clock.move(seconds=3599)
    assert tokens.read("confirm", token)
    clock.move(seconds=1)
    assert tokens.read("confirm", token) is None
    assert tokens.read("confirm", token, even_expired=True).subject == bob.id
    clock.move(days=-2)
    assert tokens.read("confirm", token, even_expired=True) is None, "it comes from the future"


@on_sqlite
@pytest.mark.parametrize("purpose", tokens.LIFETIMES)
@pytest.mark.parametrize("other", tokens.LIFETIMES)
def test_each_purpose_is_refused_at_every_other(client, bob, purpose, other):
    event = AuditEvent(user_id=bob.id, action=AuditAction.NEW_DEVICE)
    db.session.add(event)
    db.session.commit()
    event_id, new = event.id, {"password": "another lantern", "confirm_password": "another lantern"}
    state = bob.state(purpose) if purpose in STATE else ""
    token = tokens.issue(
        purpose,
        bob.id,
        state,
        email="new@example.com",
        challenge="x",
        event=event_id,
        to=recipient_hash(bob.email),
    )
    assert (tokens.read(other, token) is not None) is (purpose == other)
    spent = {
        "confirm": lambda: bob.confirm(token),
        "reset": lambda: User.reset_password(token, "another lantern"),
        "change_email": lambda: bob.change_email(token),
        "secure_account": lambda: client.post(f"/auth/secure-account/{token}", data=new).status_code == 302,
        "magic_link": lambda: client.post(f"/auth/magic-link/{token}").status_code == 302,
        "reauthentication": lambda: purpose == "reauthentication",  # only its code goes anywhere
        "verify_device": lambda: purpose == "verify_device",  # likewise
        "doctor": lambda: client.get(f"/healthz/{token}").status_code == 200,
    }[other]()
    assert spent is (purpose == other)


def test_every_purpose_has_a_key_of_its_own(app):
    assert len({tokens._keys(purpose).keys[0].kid for purpose in tokens.LIFETIMES}) == len(tokens.LIFETIMES)


@pytest.mark.parametrize(
    ("flow", "purpose"),
    [
        ("confirmation link and code", "confirm"),
        ("reset link", "reset"),
        ("magic link and code", "magic_link"),
        ("link to a new address", "change_email"),
        ('"This wasn\'t me"', "secure_account"),
    ],
)
def test_security_md_says_how_long_each_is_good_for(flow, purpose):
    said = re.search(rf"\| {flow} \| (\d+) (minute|hour|day)s?, once", (ROOT / "SECURITY.md").read_text())
    assert int(said[1]) * {"minute": 60, "hour": 3600, "day": 86400}[said[2]] == tokens.LIFETIMES[purpose]


def test_every_purpose_is_bound_to_a_state():
    assert tokens.LIFETIMES.keys() == STATE.keys() | {"doctor"}, "which changes nothing"


def test_authlib_reads_ours_and_we_read_its(bob, key, payload):
    import authlib.deprecate  # which insists on its warnings; so they are silenced after it

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", authlib.deprecate.AuthlibDeprecationWarning)
        from authlib.jose import JsonWebSignature  # noqa: TID251 - to show that it reads ours
    authlib = JsonWebSignature(["HS256"])
    ours = bob.generate_confirmation_token()
    assert json.loads(authlib.deserialize_compact(ours, key.get_op_key("verify"))["payload"])["sub"] == bob.id
    header = {"alg": "HS256", "kid": key.kid}
    theirs = authlib.serialize_compact(header, json.dumps(payload), key.get_op_key("sign")).decode()
    assert bob.confirm(theirs)


def test_a_former_key_still_reads(app, bob):
    token = bob.generate_confirmation_token()
    former, app.config["SECRET_KEY"] = app.config["SECRET_KEY"], SECRET_KEY
    assert tokens.read("confirm", token) is None
    app.config["SECRET_KEY_FALLBACKS"] = [former]
    assert tokens.read("confirm", token)
    header = json.loads(base64.urlsafe_b64decode(bob.generate_confirmation_token().split(".")[0] + "=="))
    assert header["kid"] == tokens._keys("confirm").keys[0].kid, "the newest signs"


def test_a_token_of_another_installation_is_refused(app, bob):
    token = bob.generate_confirmation_token()
    app.config["PUBLIC_URL"] = "https://other.example"
    assert tokens.read("confirm", token) is None


@on_sqlite
@pytest.mark.parametrize("name", TOKENS)
def test_hostile_tokens_get_the_one_page(client, bob, key, payload, name):
    token = TOKENS[name](bob.generate_confirmation_token(), key, payload)
    client.log_in(bob)
    answer = client.get(f"/auth/confirm/{quote(token, safe='')}")
    if name == "empty":
        assert answer.status_code == 404
    else:
        assert answer.status_code == 410
        assert "<h1>This link can't be used</h1>" in answer.text
    assert not bob.confirmed
    assert not bob.confirm(token)


def test_an_unspoilt_token_made_by_the_tests_would_have_worked(client, bob, key, payload):
    client.log_in(bob)
    client.get(f"/auth/confirm/{signed(key, payload)}")
    assert bob.confirmed

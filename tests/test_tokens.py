"""Signed claims: what is read, and what is not, whatever comes."""

import base64
import hmac
import json
import re
import warnings
from urllib.parse import quote

import pytest
from clients import ROOT, on_sqlite
from joserfc import jws
from joserfc.jwk import OctKey

from app import clock, tokens
from app.accounts import passkeys, sso, two_factor
from app.extensions import db
from app.models import EmailChange, Identity, Passkey, User
from app.models.user import STATE

SECRET_KEY = "a key of the tests' own that is long enough"


def b64(data):
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@pytest.fixture
def key(app):
    """The derived key that signs confirmation tokens."""
    return tokens._keys("confirm").keys[0]


@pytest.fixture
def payload(bob):
    return json.loads(base64.urlsafe_b64decode(bob.generate_confirmation_token().split(".")[1] + "=="))


def signed(key, payload, **header):
    return jws.serialize_compact({"alg": "HS256", "kid": key.kid} | header, json.dumps(payload), key)


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
    change = EmailChange(user_id=bob.id, old_email="old@example.com", old_email_key="old@example.com", new_email="x")
    identity = Identity(user_id=bob.id, provider="acme", issuer="i", subject="s")
    passkey = Passkey(user_id=bob.id, name="x", credential_id="x", public_key="x", sign_count=0)
    db.session.add_all([change, identity, passkey])
    bob.second_factor_at = clock.now()
    db.session.commit()
    state = bob.state(purpose) if purpose in STATE else ""
    claims = {"email": "new@example.com", "change": change.id, "challenge": "x"}
    token = tokens.issue(purpose, bob.id, state, **claims, factor=passkey.id, identity=identity.id)
    assert (tokens.read(other, token) is not None) is (purpose == other)
    spent = {
        "confirm": lambda: bob.confirm(token),
        "reset": lambda: User.reset_password(token, "another lantern"),
        "change_email": lambda: bob.change_email(token),
        "undo_email": lambda: client.post(f"/auth/undo-email/{token}").status_code == 302,
        "magic_link": lambda: client.post(f"/auth/magic-link/{token}").status_code == 302,
        "undo_link": lambda: sso.find_to_disown(token) == identity,
        "undo_passkey": lambda: passkeys.find_to_undo(token) == passkey,
        "undo_factor": lambda: two_factor.find_to_undo(token) == bob,
        "recent_login": lambda: purpose == "recent_login",  # only its code goes anywhere
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
        ("undo of a new address", "undo_email"),
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


SPARE = str.maketrans("AEIMQUYcgkosw048", "BFJNRVZdhlptx159")


def forged(key, payload, header):
    """A token whose header is as it is given, and whose signature is right."""
    signed = f"{b64(header)}.{b64(payload)}"
    return f"{signed}.{b64(hmac.digest(key.get_op_key('sign'), signed.encode(), 'sha256'))}"


HOSTILE = {
    "empty": lambda token, key, payload: "",
    "dots": lambda token, key, payload: "..",
    "word": lambda token, key, payload: "abc",
    "accents": lambda token, key, payload: "é.é.é",
    "3 KiB": lambda token, key, payload: signed(key, payload | {"x": "x" * 3000}),
    "300 KiB header": lambda token, key, payload: signed(key, payload, cty="x" * 300_000),
    "alg none": lambda token, key, payload: f"{b64({'alg': 'none'})}.{b64(payload)}.",
    "alg None": lambda token, key, payload: f"{b64({'alg': 'None', 'kid': key.kid})}.{b64(payload)}.",
    "alg nOnE": lambda token, key, payload: f"{b64({'alg': 'nOnE', 'kid': key.kid})}.{b64(payload)}.",
    "alg missing": lambda token, key, payload: forged(key, payload, {"kid": key.kid}),
    "HS512": lambda token, key, payload: jws.serialize_compact(
        {"alg": "HS512", "kid": key.kid}, json.dumps(payload), key, algorithms=["HS512"]
    ),
    "RS256": lambda token, key, payload: forged(key, payload, {"alg": "RS256", "kid": key.kid}),
    "alg a list": lambda token, key, payload: forged(key, payload, {"alg": ["HS256"], "kid": key.kid}),
    "alg an object": lambda token, key, payload: forged(key, payload, {"alg": {}, "kid": key.kid}),
    "alg a number": lambda token, key, payload: forged(key, payload, {"alg": 1, "kid": key.kid}),
    "header a list": lambda token, key, payload: forged(key, payload, []),
    "header deep": lambda token, key, payload: f"{b64(b'[' * 5000 + b']' * 5000)}.{token.split('.', 1)[1]}",
    "header deep and short": lambda token, key, payload: f"{b64(b'[' * 1200)}.{b64(payload)}.x",
    "header not JSON": lambda token, key, payload: f"{b64(b'abc')}.{token.split('.', 1)[1]}",
    "crit": lambda token, key, payload: forged(key, payload, {"alg": "HS256", "kid": key.kid, "crit": ["x"]}),
    "crit a number": lambda token, key, payload: forged(key, payload, {"alg": "HS256", "kid": key.kid, "crit": 1}),
    "jwk": lambda token, key, payload: forged(key, payload, {"alg": "HS256", "jwk": {"kty": "oct", "k": "AA"}}),
    "jku": lambda token, key, payload: forged(key, payload, {"alg": "HS256", "jku": "http://127.0.0.1/"}),
    "x5u": lambda token, key, payload: forged(key, payload, {"alg": "HS256", "x5u": "http://127.0.0.1/"}),
    "kid a path": lambda token, key, payload: forged(key, payload, {"alg": "HS256", "kid": "../../etc/passwd"}),
    "kid an object": lambda token, key, payload: forged(key, payload, {"alg": "HS256", "kid": {}}),
    "kid missing": lambda token, key, payload: forged(key, payload, {"alg": "HS256"}),
    "b64 false": lambda token, key, payload: forged(key, payload, {"alg": "HS256", "kid": key.kid, "b64": False}),
    "padding": lambda token, key, payload: token + "==",
    "spare bit": lambda token, key, payload: token[:-1] + token[-1].translate(SPARE),
    "newline": lambda token, key, payload: token + "\n",
    "lower case": lambda token, key, payload: token.lower(),
    "another's signature": lambda token, key, payload: (
        f"{token.rpartition('.')[0]}.{signed(key, {'a': 1}).rpartition('.')[2]}"
    ),
    "payload not JSON": lambda token, key, payload: jws.serialize_compact(
        {"alg": "HS256", "kid": key.kid}, b"\xff{", key
    ),
    "payload a list": lambda token, key, payload: signed(key, [payload]),
    "payload a number": lambda token, key, payload: signed(key, 7),
    "payload deep": lambda token, key, payload: jws.serialize_compact(
        {"alg": "HS256", "kid": key.kid}, b"[" * 1200, key
    ),
    "exp missing": lambda token, key, payload: signed(key, {name: payload[name] for name in payload if name != "exp"}),
    "exp NaN": lambda token, key, payload: signed(key, payload | {"exp": float("nan")}),
    "exp infinite": lambda token, key, payload: signed(key, payload | {"exp": float("inf")}),
    "exp text": lambda token, key, payload: signed(key, payload | {"exp": "2100-01-01"}),
    "exp true": lambda token, key, payload: signed(key, payload | {"exp": True}),
    "exp huge": lambda token, key, payload: signed(key, payload | {"exp": 10**30}),
    "exp past": lambda token, key, payload: signed(key, payload | {"exp": payload["iat"] - 1}),
    "iat in the future": lambda token, key, payload: signed(
        key, payload | {"iat": payload["iat"] + 7200, "exp": payload["exp"] + 7200}
    ),
    "sub of nobody": lambda token, key, payload: signed(key, payload | {"sub": 999}),
    "sub huge": lambda token, key, payload: signed(key, payload | {"sub": 2**63}),
    "sub negative": lambda token, key, payload: signed(key, payload | {"sub": -1}),
    "sub text": lambda token, key, payload: signed(key, payload | {"sub": str(payload["sub"])}),
    "sub true": lambda token, key, payload: signed(key, payload | {"sub": True}),
    "state missing": lambda token, key, payload: signed(
        key, {name: payload[name] for name in payload if name != "state"}
    ),
    "state another": lambda token, key, payload: signed(key, payload | {"state": "x"}),
    "state a list": lambda token, key, payload: signed(key, payload | {"state": [payload["state"]]}),
    "aud missing": lambda token, key, payload: signed(key, {name: payload[name] for name in payload if name != "aud"}),
    "aud another": lambda token, key, payload: signed(key, payload | {"aud": "https://other.example"}),
    "other purpose": lambda token, key, payload: signed(key, payload | {"purpose": "reset"}),
    "other key": lambda token, key, payload: signed(OctKey.import_key(b"k" * 32, {"kid": key.kid}), payload),
    "key of zeros": lambda token, key, payload: signed(OctKey.import_key(b"\0" * 32, {"kid": key.kid}), payload),
}


@on_sqlite
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_tokens_get_the_one_page(client, bob, key, payload, name):
    token = HOSTILE[name](bob.generate_confirmation_token(), key, payload)
    client.sign_in(bob)
    answer = client.get(f"/auth/confirm/{quote(token, safe='')}")
    if name == "empty":
        assert answer.status_code == 404
    else:
        assert answer.status_code == 410
        assert "<h1>This link can't be used</h1>" in answer.text
    assert not bob.confirmed
    assert not bob.confirm(token)


def test_an_unspoilt_token_made_by_the_tests_would_have_worked(client, bob, key, payload):
    client.sign_in(bob)
    client.get(f"/auth/confirm/{signed(key, payload)}")
    assert bob.confirmed

"""How providers differ in each part of the protocol, and what a failure may cost.

docs/providers.md names the providers that behave so.
"""

import base64
import json
import re
import time
from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey
from sqlalchemy import select
from support.clients import ROOT, on_sqlite
from support.issuer import CLIENT, FIRST, SECOND, public, send
from support.pages import is_logged_in
from support.records import count
from support.sso import ADA, BACK, NO_ANSWER, NOT_BELIEVED, NOT_YOURS, START, link_by_hand, set_out, told, travel
from support.waiting import PATIENCE

from app.extensions import db
from app.models import Identity, User
from settings.providers import KNOWN_PROVIDERS

ADDRESS = "/auth/sso/acme/address"
NOT_SET_UP = "Logging in with Acme isn't set up correctly on this site."
TROUBLE = "Acme is having a problem."
CANCELLED = "You didn't finish logging in with Acme."


@pytest.fixture
def settings(issuer):
    return {"OIDC_PROVIDERS": {"acme": issuer.provider()}}


@pytest.fixture
def configure(app, issuer):
    """Change the settings of the provider."""

    def configure(**options):
        app.config["OIDC_PROVIDERS"] = {"acme": replace(issuer.provider(), **options)}

    return configure


def logs_in(client, issuer):
    """Log in with a new browser, and return whether that worked."""
    return travel(client.application.test_client(), issuer).location == "/"


# Userinfo: needed for a new user if the ID token lacks claims; its failure prevents no login


def answer(body, status=200):
    return lambda _: lambda handler: send(handler, body, status)


def hang(issuer):
    return lambda handler: issuer.over.wait(120)


def hang_up(_):
    return lambda handler: handler.connection.close()


USELESS = {
    "an error": answer(b"oops", 500),
    "unauthorized": answer({"error": "invalid_token"}, 401),
    "a signed JWT": answer(b"eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2ln"),
    "null": answer(b"null"),
    "a text": answer(b'"ada"'),
    "a number": answer(b"42"),
    "a list": answer([{"sub": "ada", "email": "ada@example.com", "email_verified": True}]),
    "nothing": answer(b""),
    "a page": answer(b"<html>"),
    "no UTF-8": answer(b"\xff\xfe\xfd"),
    "another subject": answer({"sub": "eve", "email": "ada@example.com", "email_verified": True}),
    "a closed line": hang_up,
    "silence": hang,
}


@pytest.mark.parametrize("useless", USELESS)
@on_sqlite
def test_login_works_without_usable_userinfo(client, another_client, ada, issuer, monkeypatch, useless):
    monkeypatch.setattr("app.security.oidc.USERINFO_TIMEOUT", 0.3)
    issuer.userinfo = ADA | {"sub": "ada"}
    issuer.answers["/userinfo"] = USELESS[useless](issuer)
    link_by_hand(ada, issuer)
    assert travel(client, issuer, email=None, email_verified=None).location == "/"
    assert "/userinfo" not in issuer.asked
    new = travel(another_client, issuer, sub="new", email=None, email_verified=None)
    assert new.location == ADDRESS
    issuer.over.set()


# The claims of the ID token, those of userinfo, and whether the account is confirmed; None: no account
TRUE, FALSE = {"email_verified": True}, {"email_verified": False}
NEW, OTHER = {"email": "new@example.com"}, {"email": "other@example.com"}
ADDRESSES = [
    (NEW | TRUE, OTHER | TRUE, True),
    (NEW, TRUE, True),
    (NEW, NEW | TRUE, True),
    (NEW, {"email": "NEW@example.com"} | TRUE, True),
    (NEW, OTHER | TRUE, False),
    (NEW, {}, False),
    (NEW, NEW | FALSE, False),
    (NEW, NEW | {"email_verified": "true"}, False),
    (NEW | FALSE, NEW | TRUE, False),
    ({}, NEW | TRUE, True),
    ({}, NEW, False),
    (TRUE, NEW, False),
    ({"email": ""} | TRUE, NEW | TRUE, True),
    ({"email": " "}, NEW | TRUE, True),
    ({"email": None}, NEW | TRUE, True),
    ({"email": []}, NEW | TRUE, True),
    ({"email": 7} | TRUE, NEW, False),
    ({"email": "new"}, NEW | TRUE, True),
    ({}, {"email": ["new@example.com"]} | TRUE, None),
    ({"email": ""}, TRUE, None),
]


@pytest.mark.parametrize(("token", "userinfo", "is_confirmed"), ADDRESSES)
@on_sqlite
def test_email_and_email_verified_may_come_from_id_token_and_userinfo(client, issuer, token, userinfo, is_confirmed):
    issuer.userinfo = {"sub": "ada"} | userinfo
    travel(client, issuer, **{"email": None, "email_verified": None} | token)
    user = db.session.scalar(select(User))
    assert (user and user.confirmed) is is_confirmed
    assert user is None or user.email == "new@example.com"


def test_identity_keeps_its_last_known_address(client, another_client, issuer):
    issuer.userinfo = ADA | {"sub": "ada"}
    travel(client, issuer, email=None, email_verified=None)
    travel(another_client, issuer, email=None, email_verified=None)
    assert db.session.scalar(select(Identity)).email == ADA["email"]
    assert issuer.asked.count("/userinfo") == 1


# Unsupported keys (RFC 7517, 5)


ODD_KEYS = {
    "an unknown type": {"kty": "AKP", "alg": "ML-DSA-44", "kid": "pq", "pub": "x"},
    "an unknown curve": {"kty": "EC", "crv": "P-999", "kid": "ec", "x": "eA", "y": "eA"},
    "a point off the curve": {"kty": "EC", "crv": "P-256", "kid": "ec", "x": "eA", "y": "eA"},
    "an unknown Edwards curve": {"kty": "OKP", "crv": "Ed999", "kid": "okp", "x": "eA"},
    "a key for encryption": public(ECKey.generate_key("P-256", {"kid": "enc", "use": "enc"})),
    "no exponent": public(FIRST, kid="rsa", e=None),
    "an exponent as a number": public(FIRST, kid="rsa", e=65537),
    "no modulus": public(FIRST, kid="rsa", n=None),
    "a modulus that is no number": public(FIRST, kid="rsa", n="!"),
    "no type": public(FIRST, kid="rsa", kty=None),
    "a type as a number": {"kty": 7},
    "a type as a list": {"kty": ["RSA"]},
    "an unknown use": public(SECOND, kid="use", use="other"),
    "unknown operations": public(SECOND, kid="ops", use=None, key_ops=["dance"]),
    "a use and operations that differ": public(SECOND, kid="ops", use="sig", key_ops=["encrypt"]),
    "a broken certificate": public(SECOND, kid="x5c", x5c=7),
    "a secret": OctKey.generate_key(256, {"kid": "first"}).as_dict(),
    "the same name on another key": public(SECOND, kid="first"),
    "the same name on an elliptic curve": public(ECKey.generate_key("P-256", {"kid": "first"})),
    "a name that is a number": public(SECOND, kid=1),
    "a text": "key",
    "null": None,
    "a list": [],
    "nothing": {},
}


@pytest.mark.parametrize("odd", ODD_KEYS)
@on_sqlite
def test_unsupported_signing_keys_are_ignored(client, issuer, odd):
    issuer.publishes.insert(0, ODD_KEYS[odd])
    assert travel(client, issuer).location == "/"


@on_sqlite
def test_unsupported_signing_keys_after_the_right_one_are_ignored(client, issuer):
    issuer.publishes += ODD_KEYS.values()
    assert travel(client, issuer).location == "/"


@on_sqlite
def test_login_requires_a_supported_signing_key(client, issuer):
    issuer.publishes[:] = [ODD_KEYS["an unknown type"], ODD_KEYS["a secret"]]
    assert NO_ANSWER in told(client, client.post(START))


SIGNED = {
    "an elliptic curve": (ECKey.generate_key("P-256", {"kid": "e"}), "ES256"),
    "Edwards": (OKPKey.generate_key("Ed25519", {"kid": "o"}), "EdDSA"),
    "RSA-PSS": (FIRST, "PS256"),
}


@pytest.mark.parametrize("signed", SIGNED)
@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
@on_sqlite
def test_provider_may_sign_with_any_supported_algorithm(client, issuer, signed):
    issuer.key, algorithm = SIGNED[signed]
    issuer.publishes = [issuer.key]
    issuer.header = {"alg": algorithm}
    issuer.metadata = {"id_token_signing_alg_values_supported": [algorithm]}
    assert travel(client, issuer).location == "/"


# Keys that are replaced


def replaced(issuer, name="first", header="first"):
    issuer.key, issuer.publishes, issuer.header = SECOND, [public(SECOND, kid=name)], {"kid": header}


REPLACED = {
    "under another name": ("second", "second"),
    "under the same name": ("first", "first"),
    "without a name": (None, None),
    "named in the token alone": (None, "second"),
    "named in the set alone": ("second", None),
}


@pytest.mark.parametrize("how", REPLACED)
@on_sqlite
def test_replaced_key_is_fetched_when_a_signature_fails(client, another_client, issuer, how):
    travel(client, issuer)
    replaced(issuer, *REPLACED[how])
    assert travel(another_client, issuer).location == "/"
    assert issuer.asked.count("/keys") == 2
    assert issuer.asked.count("/.well-known/openid-configuration") == 1


@on_sqlite
def test_keys_without_ids_are_tried_in_turn(client, issuer):
    issuer.publishes = [public(SECOND, kid=None), public(FIRST, kid=None)]
    issuer.header = {"kid": None}
    assert travel(client, issuer).location == "/"
    assert issuer.asked.count("/keys") == 1


@on_sqlite
def test_wrong_signatures_fetch_keys_twice_a_minute_at_most(client, issuer, clock):
    issuer.key = SECOND  # while it publishes another key
    for _ in range(8):
        assert NOT_BELIEVED in told(client, travel(client, issuer))
    assert issuer.asked.count("/keys") == 2
    clock.move(seconds=31)
    travel(client, issuer)
    travel(client, issuer)
    assert issuer.asked.count("/keys") == 3


@on_sqlite
def test_failure_to_fetch_newer_keys_fails_one_login(client, issuer, clock):
    assert logs_in(client, issuer)
    replaced(issuer)
    issuer.answers["/keys"] = lambda handler: send(handler, b"oops", 500)
    assert NOT_BELIEVED in told(client, travel(client, issuer))
    issuer.answers.clear()
    clock.move(seconds=31)
    assert travel(client, issuer).location == "/"


DOWN = {
    "an error": answer(b"oops", 503),
    "a page": answer(b"<html>"),
    "an empty object": answer({}),
    "another issuer": answer({"issuer": "https://evil.example"}),
    "no keys": answer({"keys": []}),
    "a closed line": hang_up,
    "silence": hang,
}


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/keys"])
@pytest.mark.parametrize("down", DOWN)
@on_sqlite
def test_cached_metadata_is_used_while_discovery_fails(client, issuer, clock, monkeypatch, path, down, caplog):
    monkeypatch.setattr("app.security.oidc.discovery.REFRESH_TIMEOUT", 0.3)
    travel(client, issuer)
    issuer.answers[path] = DOWN[down](issuer)
    clock.move(days=1, seconds=1)
    assert logs_in(client, issuer)
    assert "refreshing the metadata failed" in caplog.text
    asked = issuer.asked.count(path)
    assert logs_in(client, issuer)
    assert issuer.asked.count(path) == asked  # not at every login
    issuer.over.set()
    issuer.answers.clear()
    replaced(issuer)
    monkeypatch.setattr("app.security.oidc.discovery.REFRESH_TIMEOUT", PATIENCE)
    clock.move(minutes=5, seconds=1)
    assert logs_in(client, issuer)


# Client authentication


BASIC, POST = "client_secret_basic", "client_secret_post"
METHODS = [  # accepted by the endpoint, listed in the metadata, set by the owner; number of requests, outcome
    ([BASIC], None, "", 1, True),
    ([BASIC], [BASIC], "", 1, True),
    ([POST], [POST], "", 1, True),
    ([BASIC], [POST, BASIC], "", 1, True),
    ([POST], ["private_key_jwt", POST], "", 1, True),
    ([POST], [BASIC], "", 2, True),
    ([POST], None, "", 2, True),
    ([POST], ["private_key_jwt"], "", 2, True),
    ([POST], "client_secret_post", "", 2, True),
    ([POST], [7, None], "", 2, True),
    ([POST], [BASIC], POST, 1, True),
    ([BASIC], [POST], BASIC, 1, True),
    ([POST], [POST], BASIC, 1, False),
    ([BASIC], [BASIC], POST, 1, False),
    ([BASIC], [POST], "", 1, False),
    ([], [BASIC], "", 2, False),
]


@pytest.mark.parametrize(("accepted", "named", "forced", "asked", "is_in"), METHODS)
@on_sqlite
def test_client_authentication_at_the_token_endpoint(client, issuer, configure, accepted, named, forced, asked, is_in):
    configure(token_auth=forced)
    issuer.auth_methods = accepted
    issuer.metadata = {"token_endpoint_auth_methods_supported": named} if named else {}
    page = travel(client, issuer)
    assert (page.location == "/") is is_in
    assert is_in or NOT_SET_UP in told(client, page)
    assert issuer.asked.count("/token") == asked


@on_sqlite
def test_client_authentication_method_found_by_retrying_is_cached(client, another_client, issuer, clock):
    issuer.auth_methods = [POST]
    travel(client, issuer)
    travel(another_client, issuer)
    assert issuer.asked.count("/token") == 3
    clock.move(days=1, seconds=1)
    travel(another_client, issuer)
    assert issuer.asked.count("/token") == 4


@pytest.mark.parametrize(
    ("secret", "encoded"),
    [
        ("a b", "a+b"),
        ("a+b", "a%2Bb"),
        ("50%", "50%25"),
        ("a:b/c=", "a%3Ab%2Fc%3D"),
        ("žä", "%C5%BE%C3%A4"),
        ("a~b", "a~b"),
    ],
)
@on_sqlite
def test_credentials_in_basic_authentication_are_form_encoded(client, issuer, configure, monkeypatch, secret, encoded):
    monkeypatch.setattr("support.issuer.SECRET", secret)
    configure(client_secret=secret)
    assert travel(client, issuer).location == "/"
    basic = base64.b64decode(issuer.authorizations[0].removeprefix("Basic ")).decode()
    assert basic == f"{CLIENT}:{encoded}"


APPLE = ECKey.generate_key("P-256")


@on_sqlite
def test_client_secret_can_be_signed_for_each_request(client, issuer, configure):
    """Apple requires this: its client secrets are JWTs that last six months at most."""
    secrets = []

    def is_secret(secret):
        token = jwt.decode(secret, APPLE, algorithms=["ES256"])
        secrets.append(secret)
        claims, now = token.claims, time.time()
        right = {"iss": "TEAM", "sub": CLIENT, "aud": issuer.url}
        is_short = now - 60 < claims["iat"] <= now + 1 < claims["exp"] <= now + 600
        return token.header["kid"] == "KEY" and is_short and claims | right == claims

    issuer.is_secret, issuer.auth_methods = is_secret, [POST]
    issuer.metadata = {"token_endpoint_auth_methods_supported": [POST]}
    pem = APPLE.as_pem(private=True).decode()
    configure(client_secret="", signing_key=pem, key_id="KEY", team_id="TEAM")
    assert travel(client, issuer).location == "/"
    assert len(secrets) == 1
    configure(client_secret="", signing_key="-----BEGIN PRIVATE KEY----- nothing", key_id="KEY", team_id="TEAM")
    assert "Acme isn't responding. Try again in a minute.<" in told(client, travel(client, issuer))


# Posted callbacks (response_mode=form_post)


def posted(client, back, **more):
    """Post the parameters of the URL `back` as a form on the provider's page does: without our cookies."""
    page = client.application.test_client().post(
        urlsplit(back).path,
        data=dict(parse_qsl(urlsplit(back).query)) | more,
        headers={"Sec-Fetch-Site": "cross-site", "Origin": "https://appleid.apple.com"},
    )
    assert page.status_code == 302
    return page


@pytest.mark.parametrize("settings", [{"WTF_CSRF_ENABLED": True}])
def test_callback_can_be_posted_by_the_provider(app, client, issuer):
    app.config["OIDC_PROVIDERS"] = {"acme": replace(issuer.provider(), response_mode="form_post")}
    token = client.get(START).text.partition('name="csrf_token"')[2].partition('value="')[2].partition('"')[0]
    going = set_out(client, csrf_token=token)
    assert "response_mode=form_post" in going
    page = posted(client, issuer.agree(going, **ADA), user='{"name": "Ada"}', id_token="eyJ", extra="x")
    assert page.location.startswith(f"{BACK}?")
    assert dict(parse_qsl(urlsplit(page.location).query)).keys() == {"code", "state"}
    assert "Set-Cookie" not in page.headers
    assert client.get(page.location).location == "/"
    assert is_logged_in(client)


def test_posted_error_is_explained(client, issuer):
    going = set_out(client)
    state = dict(parse_qsl(urlsplit(going.removeprefix("0; url=")).query))["state"]
    page = posted(client, f"{BACK}?state={state}&error=user_cancelled_authorize")
    assert CANCELLED in told(client, client.get(page.location))


def test_posted_callback_changes_nothing_before_the_redirect(client, another_client, issuer):
    back = issuer.agree(set_out(another_client), **ADA)
    page = posted(client, back)
    assert NOT_YOURS in told(client, client.get(page.location))
    assert not is_logged_in(client)
    assert "/token" not in issuer.asked
    assert another_client.get(page.location).location == "/"


@pytest.mark.parametrize("data", [{}, {"code": "x" * 7000}, {"state": "\0"}, {"code": "é" * 300}, {"x": "y"}])
@on_sqlite
def test_any_posted_callback_is_answered_with_a_page(client, issuer, data):
    page = client.post(BACK, data=data)
    assert page.status_code == 302
    assert len(page.location) < 7000
    assert NOT_YOURS in told(client, client.get(page.location))


@on_sqlite
def test_email_verified_may_be_text_for_apple(client, issuer, configure):
    configure(**KNOWN_PROVIDERS["apple"] | {"issuer": issuer.url})
    going = set_out(client)
    assert "scope=openid+email+name" in going
    page = posted(client, issuer.agree(going, **ADA | {"email_verified": "true"}))
    assert client.get(page.location).location == "/"
    assert db.session.scalar(select(User)).confirmed


# Error codes


ERRORS = {
    CANCELLED: "access_denied user_cancelled_login user_cancelled_authorize consent_required interaction_required",
    TROUBLE: "temporarily_unavailable server_error of_its_own_making",
    NOT_SET_UP: "invalid_scope invalid_request unauthorized_client unsupported_response_type redirect_uri_mismatch",
}


def came_back_with(client, **answer):
    query = dict(parse_qsl(urlsplit(set_out(client).removeprefix("0; url=")).query))
    return client.get(BACK, query_string={"state": query["state"]} | answer)


@pytest.mark.parametrize(
    ("error", "words"), [("", TROUBLE), *((error, words) for words in ERRORS for error in ERRORS[words].split())]
)
@on_sqlite
def test_each_provider_error_has_its_message(client, issuer, caplog, error, words):
    page = came_back_with(client, error=error, error_description="AADSTS50105: not assigned", code="x")
    assert words in told(client, page)
    assert f"acme answered with the error {error}: AADSTS50105: not assigned" in caplog.text
    assert "/token" not in issuer.asked


@pytest.mark.parametrize(
    "nasty", ["a\nERROR forged", "a\r\nforged", "\x1b[31mred", "\u2028x", "x" * 5000, "\0", "\u202eevil"]
)
@on_sqlite
def test_provider_error_is_logged_on_one_line(client, issuer, caplog, nasty):
    came_back_with(client, error=nasty, error_description=nasty)
    said = next(record.getMessage() for record in caplog.records if "answered with" in record.getMessage())
    assert said.isprintable()
    assert len(said) < 500


@on_sqlite
def test_provider_error_is_logged_without_addresses(client, issuer, caplog):
    said = "AADSTS50105: The user 'ada@example.com' (or ada%40example.com) is not assigned."
    came_back_with(client, error="ada@example.com", error_description=said)
    assert "acme answered with the error <address>: AADSTS50105: The user '<address>' (or <address>) is" in caplog.text
    lines = [record for record in caplog.records if record.name.startswith(("security", "app.security"))]
    assert not re.search("ada(@|%40)", json.dumps([vars(line) for line in lines], default=str))


def test_callback_without_code_and_error_is_explained(client, issuer):
    assert NOT_BELIEVED in told(client, came_back_with(client))


NO_TOKENS = [None, 7, ["x"], "", "a.b.c", "\u00e9.b.c", "a.b.c.d.e"]
TOKEN_ERRORS = [
    ({"error": "invalid_grant", "error_description": "too late"}, 400, NOT_BELIEVED),
    ({"error": "unauthorized_client"}, 400, NOT_SET_UP),
    ({"error": "unsupported_grant_type"}, 400, NOT_SET_UP),
    ({"error": "temporarily_unavailable"}, 400, TROUBLE),
    ({"error": {"x": 1}}, 400, TROUBLE),
    ({"error": None}, 400, TROUBLE),
    ({"error": ["invalid_client"]}, 200, TROUBLE),
    ({"access_token": "x", "token_type": "Bearer"}, 200, NOT_BELIEVED),
    *(({"access_token": "x", "id_token": token}, 200, NOT_BELIEVED) for token in NO_TOKENS),
    ({"access_token": "x", "expires_in": "soon"}, 200, NO_ANSWER),
    ({}, 200, NOT_BELIEVED),
]


@pytest.mark.parametrize(("said", "status", "words"), TOKEN_ERRORS)
@on_sqlite
def test_each_token_endpoint_error_has_its_message(client, issuer, said, status, words):
    issuer.answers["/token"] = lambda handler: send(handler, said, status)
    assert words in told(client, travel(client, issuer))
    assert count(User) == 0


# The callback's issuer (RFC 9207)


SENDS = {"authorization_response_iss_parameter_supported": True}
ISSUERS = [  # the metadata, the callback, whether it is accepted
    ({}, None, True),
    ({}, "", False),
    ({}, "right", True),
    ({}, "https://evil.example", False),
    (SENDS, None, False),
    (SENDS, "", False),
    (SENDS, "right", True),
    (SENDS, "https://evil.example", False),
    ({"authorization_response_iss_parameter_supported": "true"}, None, True),
]


@pytest.mark.parametrize(("metadata", "named", "is_in"), ISSUERS)
@on_sqlite
def test_callback_must_name_its_issuer_if_the_metadata_says_so(client, issuer, metadata, named, is_in):
    issuer.metadata = metadata
    back = issuer.agree(set_out(client), **ADA)
    said = {"right": issuer.url}.get(named, named)
    client.get(back if said is None else f"{back}&iss={said}")
    assert is_logged_in(client) is is_in
    assert ("/token" in issuer.asked) is is_in


AUDIENCES = [  # aud, azp, and whether it is accepted with "project" listed, and without
    ("the-application", None, True, True),
    (["the-application"], None, True, True),
    (["the-application", "project"], "the-application", True, False),
    (["project", "the-application"], "the-application", True, False),
    (["the-application", "project"], None, False, False),
    (["the-application", "project"], "project", False, False),
    (["the-application", "another"], "the-application", False, False),
    ("project", "the-application", False, False),
    (["project"], "the-application", False, False),
    (["the-application", ["project"]], "the-application", False, False),
    (["the-application", None], "the-application", False, False),
]


@pytest.mark.parametrize(("audience", "party", "counts", "counts_unlisted"), AUDIENCES)
@on_sqlite
def test_other_audiences_must_be_listed(client, issuer, configure, audience, party, counts, counts_unlisted):
    issuer.claims = {"aud": audience, "azp": party}
    assert logs_in(client, issuer) is counts_unlisted
    configure(audiences=("project",))
    assert logs_in(client, issuer) is counts


# Unused claims, and an issuer that differs by a slash


UNUSED = ["amr", "auth_time", "acr", "sid", "jti", "locale", "updated_at", "groups"]
ANY_TYPE = pytest.mark.parametrize("value", ["pwd", 7, ["pwd"], {"x": 1}, True, ""])


@ANY_TYPE
@on_sqlite
def test_unused_claims_may_have_any_type(client, issuer, value):
    assert travel(client, issuer, **dict.fromkeys(UNUSED, value)).location == "/"


@ANY_TYPE
@on_sqlite
def test_a_wrong_hash_of_the_access_token_is_refused(client, issuer, value):
    assert (travel(client, issuer, at_hash=value).location == "/") is (not value)


@pytest.mark.parametrize("claim", ["exp", "iat", "nbf", "nonce", "azp", "aud"])
@pytest.mark.parametrize("value", ["x", [], {}, {"x": 1}, ["x"], True, -1, 1e400, "9" * 5000])
@on_sqlite
def test_used_claims_of_the_wrong_type_are_no_error(client, issuer, claim, value):
    issuer.claims[claim] = value
    assert travel(client, issuer).status_code == 302


@pytest.mark.parametrize("ours", ["", "/"])
@pytest.mark.parametrize("theirs", ["", "/"])
@on_sqlite
def test_issuer_may_differ_by_a_trailing_slash(client, issuer, configure, ours, theirs):
    configure(issuer=issuer.url + ours)
    issuer.metadata = SENDS | {"issuer": issuer.url + theirs}
    back = issuer.agree(set_out(client), **ADA, iss=issuer.url + theirs)
    assert client.get(f"{back}&iss={issuer.url}{theirs}").location == "/"
    assert db.session.scalar(select(Identity)).issuer == issuer.url + theirs


@on_sqlite
def test_id_token_must_name_the_issuer_of_the_metadata_exactly(client, issuer):
    issuer.metadata = {"issuer": f"{issuer.url}/"}
    assert NOT_BELIEVED in told(client, travel(client, issuer))


DOCUMENTS = {
    "an issuer of another type": {"issuer": ["x"]},
    "an endpoint of another type": {"token_endpoint": 7},
    "an endpoint with a line break": {"authorization_endpoint": "http://127.0.0.1/x\r\nSet-Cookie: x=y"},
    "an endpoint that is a script": {"authorization_endpoint": "javascript:alert(1)"},
    "an endpoint without a host": {"authorization_endpoint": "/authorize"},
    "no keys": {"jwks_uri": None},
    "keys in a file": {"jwks_uri": "file:///etc/passwd"},
}


@pytest.mark.parametrize("odd", DOCUMENTS)
@on_sqlite
def test_malformed_discovery_document_is_explained(client, issuer, odd):
    issuer.metadata = DOCUMENTS[odd]
    assert NO_ANSWER in told(client, client.post(START))


# Several tabs


def test_sso_login_can_be_started_in_several_tabs(client, issuer):
    first, second = (
        issuer.agree(set_out(client, f"{START}?next=/auth/{page}"), **ADA) for page in ("history", "devices")
    )
    assert client.get(first).location == "/auth/history"
    assert client.get(second).location == "/auth/devices"
    assert count(User) == 1


def test_only_the_five_newest_sso_logins_are_pending(client, issuer):
    backs = [issuer.agree(set_out(client), **ADA) for _ in range(6)]
    assert NOT_YOURS in told(client, client.get(backs[0]))
    assert client.get(backs[1]).location == "/"
    assert [client.get(back).location for back in backs[2:]] == ["/"] * 4


def test_second_callback_of_a_logged_in_user_redirects_home(client, issuer):
    back = issuer.agree(set_out(client), **ADA)
    client.get(back)
    again = client.get(back)
    assert again.location == "/"
    assert "alert-warning" not in client.get("/").text
    assert issuer.asked.count("/token") == 1
    client.post("/auth/logout")
    assert NOT_YOURS in told(client, client.get(back))


# docs/providers.md


def test_tests_named_in_providers_md_exist():
    named = re.findall(r"`(test_\w+)`", (ROOT / "docs/providers.md").read_text())
    sources = "".join(path.read_text() for path in (ROOT / "tests").glob("test_*.py"))
    assert len(named) > 20
    assert [name for name in named if f"def {name}(" not in sources] == []
    assert "docs/providers.md" in (ROOT / "README.md").read_text()

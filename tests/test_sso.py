"""The round trip to a provider: states, callbacks, ID tokens, userinfo, and providers that fail."""

import threading
import time
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import current_app
from sqlalchemy import select
from support.clients import on_sqlite
from support.concurrency import at_once, copies
from support.issuer import SECOND, TENANT, Issuer, send
from support.pages import is_logged_in
from support.records import count, rows
from support.sso import ADA, BACK, NO_ANSWER, NOT_BELIEVED, NOT_YOURS, START, set_out, told, travel
from support.waiting import until

from app.extensions import db
from app.models import Identity, OAuthState, User, UserSession
from settings.providers import KNOWN_PROVIDERS


@pytest.fixture
def settings(issuer):
    return {"OIDC_PROVIDERS": {"acme": issuer.provider()}}


def test_first_sso_login_creates_an_account_and_the_next_one_finds_it(client, another_client, issuer, outbox):
    answer = travel(client, issuer)
    assert answer.location == "/"
    assert "Welcome. Your username is ada.lovelace" in told(client, answer)
    user = db.session.scalar(select(User))
    assert (user.email, user.username, user.confirmed, user.password_hash) == (ADA["email"], "ada.lovelace", True, None)
    assert outbox() == []
    assert travel(another_client, issuer).location == "/"
    assert is_logged_in(another_client)
    assert (count(User), count(Identity)) == (1, 1)
    sessions = [(session.method, session.remembered) for session in db.session.scalars(select(UserSession))]
    assert sessions == [("sso:acme", False)] * 2


def test_sso_login_keeps_remember_me_and_the_next_page(client, issuer):
    answer = travel(client, issuer, f"{START}?next=/auth/history", {"remember_me": "y"})
    assert answer.location == "/auth/history"
    assert "Expires=" in next(line for line in answer.headers.getlist("Set-Cookie") if line.startswith("session="))
    assert db.session.scalar(select(UserSession)).remembered


@pytest.mark.parametrize(
    "to", ["//evil.example", "https://evil.example/", "/\\evil.example", "/\tx", "javascript:alert(1)"]
)
@on_sqlite
def test_sso_login_does_not_redirect_to_another_site(client, issuer, to):
    page = client.post(START, query_string={"next": to})
    assert client.get(issuer.agree(page.headers["Refresh"], **ADA)).location == "/"


def test_login_page_has_an_sso_button_and_sends_the_provider_no_request(client, issuer):
    for path in ("/", "/auth/login", "/auth/register"):
        assert f'formaction="{START}"' in client.get(path).text
    assert "Continue with Acme" in client.get(START).text
    assert issuer.asked == []


@pytest.mark.parametrize("settings", [{}])
@on_sqlite
def test_without_a_provider_there_is_no_sso(client):
    assert "/auth/sso" not in client.get("/auth/login").text
    assert client.post(START).status_code == client.get(BACK).status_code == 404


def test_authorization_request_carries_state_nonce_and_our_redirect_uri(client, issuer):
    going = set_out(client)
    asked = parse_qs(urlsplit(going.removeprefix("0; url=")).query)
    oauth_state = db.session.scalar(select(OAuthState))
    assert asked["redirect_uri"] == [f"http://localhost{BACK}"]
    assert asked["scope"] == ["openid email profile"]
    assert asked["state"] == [oauth_state.id]
    assert asked["nonce"] == [oauth_state.nonce]
    assert oauth_state.code_verifier not in going
    assert len(oauth_state.code_verifier) >= 43


@pytest.mark.parametrize("settings", [{"PUBLIC_URL": "https://www.example.com/people"}])
@on_sqlite
def test_redirect_uri_starts_with_public_url(client, app, issuer):
    app.config["OIDC_PROVIDERS"] = {"acme": issuer.provider()}
    page = client.post(
        START, base_url="https://www.example.com/people", headers={"Referer": "https://www.example.com/"}
    )
    back = issuer.agree(page.headers["Refresh"], **ADA)
    assert back.startswith("https://www.example.com/people/auth/sso/acme/callback?")


def test_no_token_of_the_provider_is_stored_or_logged(client, issuer, caplog):
    back = issuer.agree(set_out(client), **ADA)
    client.get(back)
    code, state = (parse_qs(urlsplit(back).query)[name][0] for name in ("code", "state"))
    cookie = client.get_cookie("session").value
    assert not any(secret in caplog.text + cookie for secret in (code, state))
    kept = str(rows())
    assert not any(secret in kept for secret in (code, "eyJ", "an access token"))
    with client.session_transaction() as session:
        assert not any(secret in str(session) for secret in ("eyJ", "an access token"))


def test_fifty_started_sso_logins_fit_in_the_session_cookie(client, ada, issuer):
    for _ in range(50):
        set_out(client, f"{START}?next=/{'x' * 2000}")
    assert len(client.get_cookie("session").value) < 1000
    assert client.log_in(ada).location == "/"
    assert is_logged_in(client)


def test_declining_at_the_provider_is_explained(client, issuer):
    state = parse_qs(urlsplit(set_out(client)).query)["state"][0]
    answer = client.get(BACK, query_string={"state": state, "error": "access_denied"})
    assert "You didn't finish logging in with Acme. Try again, or log in another way." in told(client, answer)


def test_a_user_who_fails_to_connect_an_account_is_not_told_to_log_in_another_way(client, ada, issuer):
    client.log_in(ada)
    state = parse_qs(urlsplit(set_out(client)).query)["state"][0]
    answer = client.get(BACK, query_string={"state": state, "error": "access_denied"})
    assert answer.location == "/auth/connections"
    assert "You didn't finish logging in with Acme. Try again.<" in told(client, answer)


def test_oauth_state_works_once(client, another_client, issuer):
    back = issuer.agree(set_out(client), **ADA)
    before = client.get_cookie("session").value
    client.get(back)
    client.post("/auth/logout")
    client.set_cookie("session", before)  # an old copy
    assert NOT_YOURS in told(client, client.get(back))
    assert not is_logged_in(client)
    assert issuer.asked.count("/token") == 1


def test_of_many_callbacks_at_once_one_is_processed(client, issuer):
    back = issuer.agree(set_out(client), **ADA)
    browsers = copies(client, 6)
    at_once(lambda browser: browser.get(back), browsers)
    assert issuer.asked.count("/token") == 1
    assert sum(is_logged_in(browser) for browser in browsers) == 1


def test_oauth_state_works_for_ten_minutes(client, issuer, clock):
    late, in_time = (issuer.agree(set_out(client), **ADA) for _ in range(2))
    clock.move(minutes=10, seconds=1)
    assert NOT_YOURS in told(client, client.get(late))
    assert count(User) == 0
    clock.move(seconds=-2)
    assert client.get(in_time).location == "/"


def test_callback_in_another_browser_logs_nobody_in(client, another_client, issuer):
    """Login CSRF: the victim would work in the attacker's account."""
    back = issuer.agree(set_out(another_client), **ADA)
    set_out(client)  # started a login, too
    assert NOT_YOURS in told(client, client.get(back))
    assert not is_logged_in(client)
    assert count(User) == 0
    assert another_client.get(back).location == "/"  # unaffected


@pytest.mark.parametrize("headers", [{"Sec-Purpose": "prefetch"}, {"Purpose": "prefetch"}])
def test_prefetching_the_callback_uses_up_nothing(client, issuer, headers):
    back = issuer.agree(set_out(client), **ADA)
    client.head(back)
    client.get(back, headers=headers)
    assert "/token" not in issuer.asked
    assert client.get(back).location == "/"


def test_callback_without_a_started_login_is_explained(client, issuer):
    for query in ("", "?state=x&code=y", "?state=&code=", f"?state={'x' * 5000}", "?error=x", "?state=\0", "?iss=x"):
        assert NOT_YOURS in told(client, client.get(BACK + query))


@pytest.fixture
def other():
    other = Issuer()
    yield other
    other.stop()


def test_callback_at_the_address_of_another_provider_is_refused(app, client, issuer, other):
    """Mix-up attack: the code of one provider would be sent to the other."""
    app.config["OIDC_PROVIDERS"] = {"acme": issuer.provider(), "other": other.provider("other")}
    back = issuer.agree(set_out(client), **ADA)
    client.get(back.replace("/acme/", "/other/"))
    assert other.asked == []
    assert not is_logged_in(client)


def test_same_subject_of_another_issuer_is_another_user(app, client, another_client, issuer, other):
    app.config["OIDC_PROVIDERS"] = {"acme": issuer.provider(), "other": other.provider("other")}
    travel(client, issuer)
    travel(another_client, other, "/auth/sso/other", email="eve@example.com")
    assert count(User) == count(Identity) == 2


def sign_with_another_key(**header):
    def sign(issuer):
        issuer.key, issuer.header = SECOND, header

    return sign


def say(**claims):
    return lambda issuer: issuer.claims.update(claims)


def head(**header):
    return lambda issuer: issuer.header.update(header)


WRONG = {
    "another key": sign_with_another_key(),
    "another key under its name": sign_with_another_key(kid="first"),
    "no signature": head(alg="none"),
    "its public key as a secret": head(alg="HS256"),
    "another nonce": say(nonce="x"),
    "no nonce": say(nonce=None),
    "another issuer": say(iss="https://evil.example"),
    "another audience": say(aud="another application"),
    "another audience, for us": say(aud="another application", azp="the-application"),
    "two audiences": say(aud=["the-application", "another application"], azp="the-application"),
    "no audience": say(aud=None),
    "out of date": say(exp=int(time.time()) - 180),
    "no end": say(exp=None),
    "from the future": say(iat=int(time.time()) + 3600),
    "a long subject": say(sub="x" * 256),
}


@on_sqlite
@pytest.mark.parametrize("wrong", WRONG)
def test_invalid_id_token_logs_nobody_in(client, issuer, wrong):
    WRONG[wrong](issuer)
    assert NOT_BELIEVED in told(client, travel(client, issuer))
    assert count(User) == count(Identity) == 0


def test_provider_metadata_is_cached_for_a_day(client, another_client, issuer, clock):
    travel(client, issuer)
    clock.move(hours=23)
    travel(client, issuer)
    assert issuer.asked.count("/keys") == issuer.asked.count("/.well-known/openid-configuration") == 1
    clock.move(hours=2)
    travel(another_client, issuer)
    assert issuer.asked.count("/keys") == issuer.asked.count("/.well-known/openid-configuration") == 2


def test_discovery_document_of_another_issuer_is_refused(client, issuer):
    issuer.metadata = {"issuer": "https://evil.example"}
    assert NO_ANSWER in told(client, client.post(START))
    issuer.metadata = {}
    assert travel(client, issuer).location == "/"


PROTOCOL = dict.fromkeys(["aud", "azp"], "another application") | dict.fromkeys(["exp", "iat", "auth_time"], 1)
PROTOCOL |= {"iss": "https://evil.example", "nonce": "x", "amr": ["mfa"], "acr": "high", "hd": "example.com"}
PROTOCOL |= {"tid": "99999999-2222-3333-4444-555555555555"}


def test_userinfo_cannot_name_the_user_of_another_provider(app, client, another_client, issuer, other, outbox):
    """Account takeover: a provider's unsigned userinfo claims another provider's issuer."""
    app.config["OIDC_PROVIDERS"] = {"acme": issuer.provider(), "other": other.provider("other", two_factor=False)}
    travel(client, issuer, sub="v")
    other.userinfo = {"sub": "v", "iss": issuer.url}
    answer = travel(another_client, other, "/auth/sso/other", sub="v", email=None, email_verified=None)
    assert answer.location == "/auth/sso/other/address"
    assert not is_logged_in(another_client)
    another_client.post(answer.location, data={"email": "eve@example.com"})
    identities = db.session.scalars(select(Identity).order_by(Identity.id)).all()
    expected = [(issuer.url, "ada@example.com"), (other.url, "eve@example.com")]
    assert [(found.issuer, found.user.email) for found in identities] == expected


@pytest.mark.parametrize("value", ["as it is", None, 42, [], {}, "a\nb", "", "\0"])
@on_sqlite
def test_userinfo_does_not_replace_protocol_claims(client, issuer, value):
    issuer.userinfo = ADA | {"sub": "ada"} | (PROTOCOL if value == "as it is" else dict.fromkeys(PROTOCOL, value))
    assert travel(client, issuer, email=None, email_verified=None).location == "/"
    identity = db.session.scalar(select(Identity))
    assert (identity.issuer, identity.subject) == (issuer.url, "ada")


@pytest.mark.parametrize("subject", [None, "", "eve", "ADA", "ada ", 42, [], ["ada"], {"ada": 1}, True])
@on_sqlite
def test_email_address_of_another_subjects_userinfo_is_not_used(client, issuer, subject):
    issuer.userinfo = ADA | {"sub": subject}
    assert travel(client, issuer, email=None, email_verified=None).location == "/auth/sso/acme/address"


@pytest.mark.parametrize("claim", ["iss", "sub"])
@pytest.mark.parametrize("value", [None, 42, 1.5, True, [], ["x"], {}, {"x": 1}, "", "a\nb", "\0", "\u2028"])
@on_sqlite
def test_issuer_or_subject_of_the_wrong_type_is_refused(client, issuer, claim, value):
    issuer.claims[claim] = value
    assert NOT_BELIEVED in told(client, travel(client, issuer))
    assert count(User) == count(Identity) == 0


@on_sqlite
@pytest.mark.parametrize(
    "nasty", [["x"], {"x": 1}, 7, None, "", "\0", "a" * 300, "x\r\nBcc: y@example.com", "ada@", "@", "\ud800"]
)
def test_profile_claims_of_the_wrong_type_are_ignored(client, issuer, nasty):
    answer = travel(client, issuer, email=nasty, name=nasty, nickname=nasty, preferred_username=nasty)
    assert answer.location == "/auth/sso/acme/address"


def hang(issuer):
    return lambda handler: issuer.over.wait(120)


def drip(issuer):
    def slowly(handler):
        handler.send_response(200)
        handler.end_headers()
        while not issuer.over.wait(0.2):
            handler.wfile.write(b" ")

    return slowly


TROUBLE = {
    "garbage": lambda _: lambda handler: send(handler, b"<html>"),
    "a list": lambda _: lambda handler: send(handler, []),
    "an empty object": lambda _: lambda handler: send(handler, {}),
    "an error": lambda _: lambda handler: send(handler, b"oops", 500),
    "a closed line": lambda _: lambda handler: handler.connection.close(),
}
SLOW = {"silence": hang, "drips": drip}


@pytest.mark.parametrize("trouble", TROUBLE)
@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/token", "/keys"])
@on_sqlite
def test_malformed_responses_of_a_provider_are_explained(client, ada, issuer, path, trouble):
    issuer.answers[path] = TROUBLE[trouble](issuer)
    page = client.post(START)
    if page.status_code == 200:
        page = client.get(issuer.agree(page.headers["Refresh"], **ADA))
    words = told(client, page)
    assert NO_ANSWER in words or NOT_BELIEVED in words
    assert count(Identity) == 0
    assert client.log_in(ada).location == "/"


@pytest.mark.parametrize("slow", SLOW)
@on_sqlite
def test_slow_provider_times_out(client, ada, issuer, slow, monkeypatch):
    monkeypatch.setattr("app.security.oidc.TIMEOUT", 0.5)
    issuer.answers["/.well-known/openid-configuration"] = SLOW[slow](issuer)
    assert NO_ANSWER in told(client, client.post(START))
    assert client.log_in(ada).location == "/"
    issuer.over.set()


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/keys", "/token"])
@on_sqlite
def test_answer_of_a_provider_that_never_ends_is_not_read_on(client, issuer, path, monkeypatch):
    monkeypatch.setattr("app.security.oidc.TIMEOUT", 0.5)
    issuer.answers[path] = drip(issuer)
    page = client.post(START)
    if page.status_code == 200:
        page = client.get(issuer.agree(page.headers["Refresh"], **ADA))
    assert NO_ANSWER in told(client, page)
    until(is_reading_nothing, "the end of the reading")


@on_sqlite
def test_userinfo_that_never_ends_is_ignored_and_not_read_on(client, issuer, monkeypatch):
    monkeypatch.setattr("app.security.oidc.USERINFO_TIMEOUT", 0.5)
    issuer.userinfo, issuer.answers["/userinfo"] = ADA, drip(issuer)
    assert travel(client, issuer, email=None).location == "/auth/sso/acme/address"
    until(is_reading_nothing, "the end of the reading")


def is_reading_nothing():
    return not [thread for thread in threading.enumerate() if thread.name.startswith("remote")]


@on_sqlite
def test_answers_of_a_provider_have_at_most_a_mebibyte(client, another_client, issuer, clock):
    huge = {"padding": "x" * 2**20}
    issuer.userinfo = ADA | {"sub": "ada"} | huge
    assert travel(client, issuer, email=None).location == "/auth/sso/acme/address"
    clock.move(hours=25)
    issuer.metadata = huge
    assert travel(another_client, issuer).location == "/", "with the metadata of the day before"
    current_app.extensions["oidc"].clear()
    assert NO_ANSWER in told(client, client.post(START))


def test_unreachable_provider_is_explained(client, ada, issuer):
    issuer.stop()
    assert NO_ANSWER in told(client, client.post(START))
    assert client.log_in(ada).location == "/"


@pytest.fixture
def microsoft(app, issuer):
    issuer.metadata = {"issuer": f"{issuer.url}/{{tenantid}}/v2.0"}
    issuer.claims = {"iss": f"{issuer.url}/{TENANT}/v2.0", "tid": TENANT}

    def provide(**options):
        known = KNOWN_PROVIDERS["microsoft"] | {"issuer": issuer.metadata["issuer"]} | options
        fields = issuer.provider("microsoft").__dict__ | known
        app.config["OIDC_PROVIDERS"] = {"microsoft": type(issuer.provider())(**fields)}
        return "/auth/sso/microsoft"

    return provide


def test_users_of_any_microsoft_tenant_can_log_in(client, issuer, microsoft):
    assert travel(client, issuer, microsoft()).location == "/auth/unconfirmed"
    assert db.session.scalar(select(Identity)).issuer == f"{issuer.url}/{TENANT}/v2.0"


@pytest.mark.parametrize("tenant", ["99999999-2222-3333-4444-555555555555", "../evil", "", None, 7])
def test_id_token_whose_issuer_is_another_tenant_is_refused(client, issuer, microsoft, tenant):
    issuer.claims["tid"] = tenant
    answer = travel(client, issuer, microsoft())
    assert "didn't work" in told(client, answer)


def test_only_listed_tenants_can_log_in(client, another_client, issuer, microsoft):
    assert travel(client, issuer, microsoft(tenants=(TENANT,))).location == "/auth/unconfirmed"
    answer = travel(another_client, issuer, microsoft(tenants=("99999999-2222-3333-4444-555555555555",)))
    assert "didn't work" in told(another_client, answer)


@pytest.mark.parametrize(
    ("says", "is_verified"), [(True, True), ("1", True), (False, False), ("0", False), (None, False)]
)
def test_microsoft_verifies_addresses_by_a_claim_of_its_own(client, issuer, microsoft, says, is_verified):
    travel(client, issuer, microsoft(), xms_edov=says)
    assert db.session.scalar(select(User)).confirmed is is_verified

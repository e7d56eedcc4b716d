"""Cross-site requests: Fetch Metadata decides first, Flask-WTF's token second; each refusal has its own advice."""

import html
import itertools

import pytest
from flask import request
from flask_wtf import FlaskForm
from support.clients import PASSWORD, hidden_fields, hidden_token, on_sqlite, without_tokens
from support.routes import our_rules
from support.walk import PROVIDERS, fill

from app.extensions import csrf
from app.web.csrf import open_to_other_sites

HTTPS = {"PUBLIC_URL": "https://accounts.example", "SESSION_COOKIE_SECURE": True}
PROTECTED = {"WTF_CSRF_ENABLED": True, "RATELIMIT_ENABLED": False, "OIDC_PROVIDERS": PROVIDERS}
OTHER = "https://evil.example"

REFUSED = "This form came from another site"
NO_TOKEN = "This form has no security token"
NO_COOKIE = "Your browser sent no cookie with this form"
NO_ORIGIN = "Your browser didn't say which page this form came from"
OTHER_SESSION = "You logged in or out after you opened this page"
OLD = "This page was open for too long"

FORM = {"login": "ada", "password": PASSWORD}

SITES = [None, "", "none", "same-origin", "same-site", "cross-site", "Same-Origin", "same-origin, cross-site", "other"]
TOKENS = ["valid", "another session's", "garbled", "missing"]
both_schemes = pytest.mark.parametrize("settings", [PROTECTED, PROTECTED | HTTPS], ids=["http", "https"])


def is_login(answer):
    """Whether a visitor is led to the login page, as the guard of the administration pages does."""
    return answer.status_code == 302 and answer.location.startswith("/auth/login")


@on_sqlite
@pytest.mark.parametrize(
    "settings",
    [pytest.param(PROTECTED, id="http", marks=pytest.mark.extended), pytest.param(PROTECTED | HTTPS, id="https")],
)
def test_every_post_route_is_protected_by_header_then_by_token(app, ada):
    """Each view is replaced by one that says that it was reached."""
    rules = [rule for rule in our_rules(app) if "POST" in rule.methods]
    assert len(rules) > 20
    open_to_others = {
        rule.endpoint for rule in rules if hasattr(app.view_functions[rule.endpoint], "open_to_other_sites")
    }
    assert open_to_others == {"auth.sso_callback"}
    for endpoint in {rule.endpoint for rule in rules} - {"auth.login"} - open_to_others:
        app.view_functions[endpoint] = lambda **_: ("reached" if request.method == "POST" else "shown", 200)
    browser, site = app.test_client(), app.config["PUBLIC_URL"]
    valid, foreign = token_of(browser), token_of(app.test_client())
    sent = {"valid": valid, "another session's": foreign, "garbled": valid[:-3], "missing": ""}
    for rule, header, token in itertools.product(rules, SITES, TOKENS):
        if rule.endpoint in open_to_others | {"auth.login"}:
            continue
        headers = {"Referer": f"{site}/"} | ({} if header is None else {"Sec-Fetch-Site": header})
        answer = browser.post(fill(rule, "1"), data={"csrf_token": sent[token]}, headers=headers)
        tried = f"{rule.rule} {header} {token}: {answer.status_code}"
        if header in {"cross-site", "same-site"}:
            assert (answer.status_code, REFUSED in answer.text) == (403, True), tried
        elif header == "same-origin" or token == "valid":
            is_reached = answer.text == "reached" or (rule.endpoint.startswith("admin.") and is_login(answer))
            assert is_reached, tried
        else:
            assert (answer.status_code, "reached" in answer.text) == (400, False), tried


@on_sqlite
@both_schemes
def test_a_same_origin_login_needs_neither_token_nor_cookie(app, ada):
    answer = app.test_client().post("/auth/login", data=FORM, headers={"Sec-Fetch-Site": "same-origin"})
    assert answer.location == "/"


@on_sqlite
@both_schemes
@pytest.mark.parametrize("site", ["none", "same-origin", "same-site", "cross-site"])
def test_a_browser_that_says_where_it_comes_from_gets_no_token_and_no_cookie(app, ada, site):
    browser = app.test_client()
    page = browser.get("/auth/login", headers={"Sec-Fetch-Site": site})
    assert (hidden_token(page), "Set-Cookie" in page.headers) == ("", False)
    assert "Sec-Fetch-Site" in page.vary
    form = FORM | {"csrf_token": hidden_token(page)}
    assert browser.post("/auth/login", data=form, headers={"Sec-Fetch-Site": "same-origin"}).location == "/"


@on_sqlite
@both_schemes
@pytest.mark.parametrize("site", [None, "", "other", "same-origin, cross-site"])
def test_any_other_browser_gets_a_token(client, site):
    page = client.get("/auth/login", headers={} if site is None else {"Sec-Fetch-Site": site})
    assert (bool(hidden_token(page)), "Set-Cookie" in page.headers) == (True, True)


@on_sqlite
@both_schemes
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_cross_site_request_is_refused_for_unknown_urls_too(client, site, method):
    answer = client.open("/nowhere", method=method, headers={"Sec-Fetch-Site": site})
    assert (answer.status_code, "Set-Cookie" in answer.headers) == (403, False)


OURS, NULL = {"Origin": "https://accounts.example"}, {"Origin": "null"}
SENT = [  # the headers of a request, and the status and error that it gets: 302 is a login
    (OURS, 302, ""),
    ({"Origin": "https://accounts.example:443"}, 302, ""),
    (OURS | {"Sec-Fetch-Site": "none"}, 302, ""),
    (OURS | {"Referer": f"{OTHER}/"}, 302, ""),  # the Origin counts first
    ({"Referer": "https://accounts.example/auth/login"}, 302, ""),
    ({"Referer": "https://accounts.example"}, 302, ""),
    (NULL | {"Referer": "https://accounts.example/"}, 302, ""),
    (NULL, 400, NO_ORIGIN),
    ({}, 400, NO_ORIGIN),
    ({"Referer": f"{OTHER}/"}, 400, REFUSED),
    ({"Origin": OTHER}, 403, REFUSED),
    ({"Origin": OTHER, "Referer": "https://accounts.example/"}, 403, REFUSED),
    ({"Origin": "http://accounts.example"}, 403, REFUSED),
    ({"Origin": "https://accounts.example:8443"}, 403, REFUSED),
    ({"Origin": "https://accounts.example.evil.example"}, 403, REFUSED),
    ({"Origin": "https://[bad"}, 403, REFUSED),
]


@on_sqlite
@pytest.mark.parametrize("settings", [PROTECTED | HTTPS])
@pytest.mark.parametrize(("headers", "status", "words"), SENT, ids=str)
def test_over_https_a_token_needs_an_origin_or_referer_of_this_site(client, ada, headers, status, words):
    page = client.post("/auth/login", data=FORM | {"csrf_token": token_of(client)}, headers=headers)
    assert (page.status_code, words in html.unescape(page.text)) == (status, True)
    assert page.location == ("/" if status == 302 else None)
    assert "ada" not in without_tokens(page) or not headers, "a page of this site may have sent none"


@on_sqlite
@pytest.mark.parametrize("settings", [PROTECTED])
def test_each_reason_has_its_own_title_and_advice(app, client, ada):
    token, other = token_of(client), token_of(app.test_client())
    told = {
        NO_TOKEN: client.post("/auth/login", data=FORM),
        OLD: client.post("/auth/login", data=FORM | {"csrf_token": "abc"}),
        OTHER_SESSION: client.post("/auth/login", data=FORM | {"csrf_token": other}),
        NO_COOKIE: app.test_client().post("/auth/login", data=FORM | {"csrf_token": token}),
    }
    advice = ["extensions", "Nothing is lost", "logged in to the right account", "Allow cookies"]
    for (title, page), words in zip(told.items(), advice, strict=True):
        text = html.unescape(page.text)
        assert (page.status_code, f"<h1>{title}</h1>" in text, words in text) == (400, True, True), title
        assert hidden_fields(page)["login"] == "ada"


@on_sqlite
@pytest.mark.parametrize("settings", [PROTECTED])
def test_a_session_signed_with_a_lost_key_is_too_old(app, client, ada):
    token = token_of(client)
    app.config["SECRET_KEY"] = "another key, which is as long as the first"
    page = client.post("/auth/login", data=FORM | {"csrf_token": token})
    assert (page.status_code, OLD in page.text) == (400, True)


@on_sqlite
@pytest.mark.parametrize("settings", [PROTECTED])
def test_scripts_get_the_reason_as_json_and_can_send_the_token_in_a_header(client, ada):
    token, headers = token_of(client), {"Accept": "application/json"}
    assert client.post("/auth/login", data=FORM, headers=headers).json["error"] == NO_TOKEN
    bad = client.post("/auth/login", data=FORM, headers=headers | {"X-CSRFToken": "abc"})
    assert bad.json["error"] == OLD
    assert client.post("/auth/login", data=FORM, headers={"X-CSRFToken": token}).location == "/"


@on_sqlite
@pytest.mark.parametrize("settings", [PROTECTED | HTTPS])
def test_exempt_views_need_no_token_and_marked_views_accept_cross_site_forms(own_app, app):
    @csrf.exempt
    def webhook():
        return "reached"

    @open_to_other_sites
    def widget():
        return "reached"

    for view in (webhook, widget):
        app.add_url_rule(f"/{view.__name__}", view_func=view, methods=["POST"])
    client = app.test_client()
    assert client.post("/webhook").text == client.post("/widget").text == "reached"
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": OTHER}):
        assert client.post("/webhook", headers=headers).status_code == 403
        assert client.post("/widget", headers=headers).text == "reached"


def token_of(browser):
    return hidden_token(browser.get("/auth/login"))


@pytest.mark.parametrize("settings", [PROTECTED], ids=[""])
def test_an_applications_own_form_of_flask_wtf_needs_no_token_either(own_app, app, client):
    @app.post("/own")
    def own():
        return "valid" if FlaskForm().validate_on_submit() else "invalid"

    assert client.post("/own", headers={"Sec-Fetch-Site": "same-origin"}).text == "valid"
    assert client.post("/own", headers={"Sec-Fetch-Site": "none"}).status_code == 400

"""Security, cache and static file headers, on every route and for every visitor."""

import gzip
import re
import shutil

import pytest
from support.clients import ROOT, on_sqlite
from support.routes import FILES, addresses
from werkzeug.test import Client

from app.web import csrf
from app.web.headers import ConstantHeaders
from app.web.hosts import PROBES

pytestmark = on_sqlite

EXPECTED = {
    "Content-Security-Policy": "default-src 'self'", "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin", "Permissions-Policy": "camera=()",
    "Referrer-Policy": "same-origin", "X-Content-Type-Options": "nosniff",
}  # fmt: skip
WITH_TOKEN = {
    "auth.confirm", "auth.reset_password", "auth.use_magic_link", "auth.change_email_link", "auth.secure_account",
    "auth.accept_invitation", "main.arrived",
}  # fmt: skip
PRODUCTION = {
    "PUBLIC_URL": "https://localhost",
    "SESSION_COOKIE_NAME": "__Host-session",
    "DEVICE_COOKIE_NAME": "__Host-device",
    "APPEARANCE_COOKIE_NAME": "__Host-appearance",
    "SESSION_COOKIE_SECURE": True,
}


@pytest.fixture
def app(own_app, app):
    app.testing = False
    app.add_url_rule("/bug", "bug", lambda: 1 / 0)
    return app


@pytest.mark.parametrize("settings", [{}, PRODUCTION], ids=["http", "https"])
@pytest.mark.parametrize("who", [None, "bob", "ada"])
def test_security_and_cache_headers_of_every_route(app, client, request, settings, who):
    if who:
        client.log_in(request.getfixturevalue(who))
    asked = [*addresses(app, "GET"), ("nowhere", "/nowhere"), ("auth.confirm", "/auth/confirm/abc")]
    for method in ("GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE"):
        for endpoint, address in asked:
            form = {"email": "x"} if method == "POST" else None
            origin = {"Origin": "https://evil.example"}
            with client.open(address, method=method, data=form, headers=origin, buffered=True) as answer:
                check(answer, endpoint, settings, who)
                assert answer.status_code < 500 or endpoint == "bug"
                if endpoint == "auth.logout" and method == "POST" and who:
                    client.log_in(request.getfixturevalue(who))


def check(answer, endpoint, settings, who):
    for name, beginning in EXPECTED.items():
        assert answer.headers[name].startswith(beginning), (endpoint, name)
    assert answer.headers.getlist("Content-Security-Policy") == [answer.headers["Content-Security-Policy"]]
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert not re.search(r"https?:", answer.headers["Content-Security-Policy"]), "another origin"
    assert answer.headers.get("Strict-Transport-Security") == ("max-age=31536000" if settings else None)
    assert not [name for name in answer.headers.keys() if name.startswith("Access-Control")]
    for cookie in answer.headers.getlist("Set-Cookie"):
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        if settings:
            assert cookie.startswith("__Host-")
            assert "Secure" in cookie
            assert "Path=/;" in cookie + ";"
            assert "Domain" not in cookie
    if endpoint not in FILES and answer.status_code < 300:
        private = bool(who) or endpoint in WITH_TOKEN or endpoint in PROBES
        assert answer.headers["Cache-Control"] == ("no-store" if private else "no-cache"), endpoint
    assert answer.mimetype not in {"text/html"} or "Traceback" not in answer.text


def test_the_content_security_policy_forbids_frames_foreign_forms_and_base(client):
    policy = client.get("/").headers["Content-Security-Policy"]
    for rule in ("frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'", "object-src 'none'"):
        assert rule in policy


def test_a_page_with_a_token_is_not_stored(client):
    assert client.get("/auth/confirm/abc").headers["Cache-Control"] == "no-store"


def test_probes_and_static_files_do_not_vary_by_cookie(client, ada):
    client.log_in(ada)
    for address in ("/healthz", "/readyz", "/metrics", "/static/app.css"):
        with client.get(address) as answer:
            assert "Cookie" not in answer.headers.get("Vary", "")
            assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("filename", ["x/../app.css", "../static/app.css", "./app.css"])
def test_asset_under_another_spelling_is_not_found_and_not_cached(app, client, filename):
    digest = client.get("/").text.partition("/assets/")[2].partition("/")[0]
    cached = set(app.extensions["assets"])
    assert client.get(f"/assets/{digest}/{filename}").status_code == 404
    assert set(app.extensions["assets"]) == cached


def test_static_files_are_kept_for_a_year_under_the_hash_of_what_is_in_them(client):
    page = client.get("/").text
    linked = re.findall(r'(?:href|src)="(/assets/[^"]+)"', page)
    assert len(linked) == 4
    for address in set(linked):
        with client.get(address) as answer:
            assert answer.status_code == 200
            assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert re.fullmatch(r"/assets/[0-9a-f]{12}/(\w+\.(css|js|svg)|icons/apple-touch-icon\.png)", address)


def test_a_browser_waits_for_two_files_which_come_compressed(client):
    page = client.get("/auth/login")
    linked = re.findall(r'(?:stylesheet"|script) (?:href|src)="([^"]+)"', page.text)
    assert len(linked) == 2
    sizes = [len(page.data)]
    for address in linked:
        with client.get(address, headers={"Accept-Encoding": "gzip"}) as answer, client.get(address) as plain:
            assert (answer.headers["Content-Encoding"], answer.headers["Vary"]) == ("gzip", "Accept-Encoding")
            assert "Content-Encoding" not in plain.headers
            assert gzip.decompress(answer.data) == plain.data
            assert plain.content_type == answer.content_type
            sizes.append(len(answer.data))
    assert sum(sizes) < 38_500, "with their headers, 40 kB"


def test_of_the_owners_own_rules_none_is_left_out(app, client, monkeypatch, tmp_path):
    shutil.copytree(ROOT / "app/static", tmp_path / "static")
    with (tmp_path / "static/app.css").open("a") as css:
        css.write(".modal { color: red; }")
    monkeypatch.setattr(app, "static_folder", str(tmp_path / "static"))
    with client.get(re.search(r"/assets/\w+/site\.css", client.get("/").text)[0]) as css:
        assert b".modal { color: red; }" in css.data


def test_a_bundle_is_all_of_its_files(client):
    page = client.get("/").text
    with client.get(re.search(r"/assets/\w+/site\.css", page)[0]) as css:
        assert b".table{" in css.data
        assert b".topbar {" in css.data
        assert b"sourceMappingURL" not in css.data
        assert b"Licensed under MIT" in css.data
        assert b".modal-content{" not in css.data, "it needs Bootstrap's scripts"
    with client.get(re.search(r"/assets/\w+/site\.js", page)[0]) as js:
        for name in ("app.js", "webauthn.js", "passkeys.js"):
            source = (ROOT / "app/static" / name).read_bytes()
            assert re.sub(rb"(?m)^ *//.*\n", b"", source) in js.data, "but for comments on lines of their own"


def test_the_hash_of_another_release_is_not_found(client):
    assert client.get("/assets/0123456789ab/app.css").status_code == 404
    assert client.get("/assets/0123456789ab/nothing.css").status_code == 404
    assert client.get(f"/assets/0123456789ab/{'x' * 300}.css").status_code == 404
    assert client.get("/assets/0123456789ab/%00.css").status_code == 404
    assert client.get("/assets/0123456789ab/../../config.py").status_code == 404


def test_without_a_hash_a_file_is_asked_for_each_time(client):
    with client.get("/static/app.css") as answer:
        assert answer.headers["Cache-Control"] == "no-cache"
        assert answer.data == (ROOT / "app/static/app.css").read_bytes()


TYPED = dict.fromkeys(("login", "username", "code", "name", "factor_code", "recovery_code"), "zyxomma")
TYPED |= {"email": "zyxomma@example.com", "password": "x", "remember_me": "y"}


@pytest.mark.parametrize(
    ("csrf", "settings"),
    [
        pytest.param(True, {}, id="stale"),
        pytest.param(True, {"PREVENT_ENUMERATION": True}, id="stale-hidden", marks=pytest.mark.extended),
        pytest.param(False, {"PREVENT_ENUMERATION": True}, id="taken-hidden", marks=pytest.mark.extended),
    ],
)
def test_a_page_that_shows_what_was_typed_is_not_stored(app, client, csrf):
    app.config["WTF_CSRF_ENABLED"] = csrf
    shown = set()
    posts, gets = list(addresses(app, "POST")), list(addresses(app, "GET"))
    for endpoint, address in posts:
        form = TYPED | {"password": "a lantern in the fog", "confirm_password": "a lantern in the fog"}
        for sent in (TYPED | {"email": "zyxomma"}, TYPED, form):
            answer = client.post(address, data=sent)
            is_kept = "Set-Cookie" in answer.headers  # otherwise no later page can show it
            shown |= {endpoint} if is_shown_and_not_stored(answer) else set()
            if is_kept:
                shown |= {page for page, address in gets if is_shown_and_not_stored(client.get(address))}
            client.post("/auth/logout")
    pages = "login register magic_link" if csrf else "login register request_reset email_sent magic_link_sent"
    assert shown >= {f"auth.{name}" for name in pages.split()}


def is_shown_and_not_stored(page):
    """Return whether a page shows what was typed; check that such a page is not stored."""
    is_shown = page.mimetype == "text/html" and "zyxomma" in page.text
    assert page.headers.get("Cache-Control") == "no-store" or not is_shown, page.request.path
    page.close()
    return is_shown


def test_a_rate_limited_page_is_not_stored(client, clock):
    pages = [client.post("/auth/login", data={"login": "zyxomma", "password": "x"}) for _ in range(6)]
    assert [page.status_code for page in pages] == [422] * 5 + [429]
    assert all(is_shown_and_not_stored(page) for page in pages)


def test_a_response_that_a_view_returns_again_has_each_header_once(app, client):
    page = app.make_response("a page")
    app.add_url_rule("/again", "again", lambda: csrf.token() or page)
    first, *_, last = [client.get("/again", headers={"Sec-Fetch-Site": "none"}) for _ in range(3)]
    assert "Vary" in first.headers
    assert sorted(last.headers.keys()) == sorted(first.headers.keys())


def test_an_applications_own_list_of_headers_stays(app):
    own = [("Content-Type", "text/plain")]
    inner = ConstantHeaders(lambda environ, start: start("200 OK", own) and [])
    headers = Client(inner).get("/").headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert own == [("Content-Type", "text/plain")]

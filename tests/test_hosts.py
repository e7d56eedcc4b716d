"""Hosts, schemes, proxies and probes."""

import re
from urllib.parse import unquote

import pytest
from sqlalchemy import select, text
from support.clients import PASSWORD, on_sqlite, value_of
from werkzeug.test import EnvironBuilder, run_wsgi_app
from werkzeug.wrappers import Request, Response

from app.extensions import db
from app.models import UserSession
from app.web import hosts

HTTPS = {"PUBLIC_URL": "https://accounts.example"}
UNDER = {"PUBLIC_URL": "https://accounts.example/app"}


@on_sqlite
@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "localhost:81", "LOCALHOST.", "evil@localhost"]
)
@pytest.mark.parametrize("path", ["/", "/auth/login", "/nowhere", "/static/app.css"])
def test_another_host_is_refused_in_plain_text(client, host, path):
    answer = client.get(path, headers={"Host": host})
    assert answer.status_code == 400
    assert answer.mimetype == "text/plain"
    assert "evil" not in answer.text


ASKED = {  # a developer's server at http://localhost:5000: the advice on the page
    "localhost:8080": "write PORT=8080, and leave PUBLIC_URL out, into .env",
    "127.0.0.1:5000": "write PUBLIC_URL=http://127.0.0.1:5000 into .env",
    "garden.test": "write PUBLIC_URL=http://garden.test into .env",
    "[::1]:5000": "write PUBLIC_URL=http://[::1]:5000 into .env",
}


@pytest.fixture
def at_home(make_app, databases, tmp_path):
    """The application in the development configuration."""
    own = {"SECRET_KEY": "for these tests alone", "MAILBOX": str(tmp_path / "mailbox"), "MAIL_DELIVERY": "off"}
    with make_app("development", databases("sqlite"), own | {"PUBLIC_URL": "http://localhost:5000"}) as app:
        yield app


@pytest.mark.parametrize("host", ASKED)
def test_in_development_page_and_log_name_the_right_address_and_its_setting(at_home, caplog, host):
    for path in ("/", "/auth/login", "/static/app.css"):
        answer = at_home.test_client().get(path, base_url=f"http://{host}")
        assert (answer.status_code, answer.mimetype) == (400, "text/plain")
        assert f"http://{host} is not the address of this site: PUBLIC_URL is http://localhost:5000." in answer.text
        assert f"Open http://localhost:5000/ or {ASKED[host]} and start again." in answer.text
    (said,) = [record.getMessage() for record in caplog.records if record.name == "app.web.hosts"]
    assert f"http://{host}" in said
    assert "http://localhost:5000" in said
    assert "PUBLIC_URL or PORT" in said


@on_sqlite
@pytest.mark.parametrize("settings", [HTTPS])
def test_in_production_only_the_log_names_refused_addresses_once_each_up_to_a_limit(client, caplog):
    for number in range(150):
        for _ in range(2):
            answer = client.get("/", base_url=f"https://x{number}.example")
            assert answer.text == "This site has another address.\n"
    said = [record.getMessage() for record in caplog.records if record.name == "app.web.hosts"]
    assert (len(said), len(set(said))) == (100, 100)
    assert said[0].startswith(
        "https://x0.example is not the address of this site: PUBLIC_URL is https://accounts.example."
    )


@on_sqlite
@pytest.mark.parametrize("host", ["localhost", "LocalHost", "localhost:80"])
def test_the_own_host_is_served(client, host):
    assert client.get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("settings", [HTTPS])
@pytest.mark.parametrize(("method", "status"), [("GET", 301), ("HEAD", 301), ("POST", 308), ("DELETE", 308)])
def test_http_is_redirected_to_https(client, method, status):
    answer = client.open("/auth/login?next=/a%20b", method=method, base_url="http://accounts.example")
    assert answer.status_code == status
    assert answer.location == "https://accounts.example/auth/login?next=/a%20b"


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_are_served_at_any_address_and_disclose_nothing(client, path):
    answer = client.get(path, base_url="http://10.0.0.7:8000")
    assert answer.status_code == 200
    assert answer.text in {"ok\n", "ready\n"}
    assert answer.headers["Cache-Control"] == "no-store"


def test_readyz_fails_while_migrations_are_missing_and_healthz_does_not(app, client):
    with db.engine.begin() as connection:
        head = connection.scalar(text("SELECT version_num FROM alembic_version"))
        connection.execute(text("UPDATE alembic_version SET version_num = 'before'"))
    try:
        assert client.get("/healthz").status_code == 200
        answer = client.get("/readyz")
        assert (answer.status_code, answer.text) == (503, "not ready\n")
    finally:
        with db.engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = :head"), {"head": head})


FORGED = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example"}


def test_without_proxies_forwarded_headers_are_ignored(client, ada):
    data = {"login": "ada", "password": PASSWORD}
    answer = client.post("/auth/login", data=data, headers=FORGED)
    assert answer.location == "/"
    assert "Strict-Transport-Security" not in answer.headers
    assert db.session.scalar(select(UserSession.ip)) == "127.0.0.1"


@pytest.mark.parametrize("settings", [HTTPS | {"TRUSTED_PROXIES": 1}])
def test_with_one_proxy_only_its_own_headers_are_trusted(client, ada):
    headers = {"Host": "accounts.example", "X-Forwarded-For": "203.0.113.9, 198.51.100.7", "X-Forwarded-Proto": "https"}
    form = {"login": "ada", "password": PASSWORD}
    assert client.post("/auth/login", data=form, headers=headers, base_url="http://127.0.0.1").status_code == 302
    assert db.session.scalar(select(UserSession.ip)) == "198.51.100.7"


@pytest.mark.parametrize("settings", [UNDER])
@pytest.mark.parametrize("taken_off", ["", "/app"], ids=["kept by the proxy", "taken off by the proxy"])
def test_the_application_works_under_a_path_prefix(app, ada, taken_off):
    def proxy(environ, start_response):
        return inner(environ | {"PATH_INFO": environ["PATH_INFO"].removeprefix(taken_off)}, start_response)

    inner, app.wsgi_app = app.wsgi_app, proxy
    browser = app.test_client()
    site = {"base_url": "https://accounts.example"}
    page = browser.get("/app/account", **site)
    assert page.location == "/app/auth/login?next=/app/account"
    form = browser.get("/app/auth/login?next=/app/account", **site)
    assert 'action="/app/auth/login?next=/app/account"' in form.text
    stylesheet = re.search(r'href="(/app/assets/[^"]+/site\.css)"', form.text)[1]
    assert browser.get(stylesheet, **site).status_code == 200
    answer = browser.post("/app/auth/login?next=/app/account", data={"login": "ada", "password": PASSWORD}, **site)
    assert answer.location == "/app/account"
    assert "ada@example.com" in browser.get("/app/account", **site).text


OUTSIDE_THE_PREFIX = [
    "/", "/b/logout", "/ap", "/apple", "/app2/x", "/app;/x", "/App/x", "/%61pp/x", "/app/../b", "/app/..",
    "/app/./../b", "/app/%2e%2e/b", "/app/%2E%2e/b", "/app/.%2e/b", "/app/%2e./b", "/app/..%2fb", "/app/%2e%2e%2fb",
    "/app/x/../../b", "/app/%252e%252e/b", "/app/..%252fb", "/app/..;/b", "/app/..;x=y/b", "/app/..%5cb",
    "/app/%2e%2e%5cb", "/app\\..\\b", "/app/..?x", "/app/..#x", "//app/x", "/../app/x", "/b?/app/", "/b#/app/",
    "app/x", "https://accounts.example/b",
]  # fmt: skip
INSIDE_THE_PREFIX = [
    "/app", "/app/", "/app/account", "/app?x=y", "/app/x?next=/../b", "/app/x#/../b", "/app/...", "/app/.well-known/x",
    "/app/a..b", "/app/%C3%A9", "/app/a;b",
]  # fmt: skip


@on_sqlite
@pytest.mark.parametrize("settings", [UNDER | {"RATELIMIT_ENABLED": False}])
def test_next_does_not_leave_the_path_prefix(app, ada):
    site, form = {"base_url": "https://accounts.example"}, {"login": "ada", "password": PASSWORD}
    for target in [*OUTSIDE_THE_PREFIX, *INSIDE_THE_PREFIX]:
        where = {"query_string": {"next": target}, **site}
        answer = app.test_client().post("/app/auth/login", data=form, **where)
        expected = target if target in INSIDE_THE_PREFIX else "/app/"
        assert unquote(answer.location) == unquote(expected), target
        page = app.test_client().get("/app/auth/login", **where)
        assert target in INSIDE_THE_PREFIX or "next=" not in page.text.partition("<footer")[0], target


@on_sqlite
@pytest.mark.parametrize("settings", [UNDER])
def test_a_form_waits_for_reauthentication_under_a_path_prefix(app, ada, clock):
    browser, site = app.test_client(), {"base_url": "https://accounts.example"}
    browser.post("/app/auth/login", data={"login": "ada", "password": PASSWORD}, **site)
    clock.move(minutes=16)
    page = browser.post("/app/auth/change-username", data={"username": "lovelace"}, **site)
    held = dict(re.findall(r'name="(target|held-\w+)" value="([^"]*)"', page.text))
    assert held == {"target": "/app/auth/change-username", "held-username": "lovelace"}
    again = browser.post("/app/auth/reauthenticate", data={"password": PASSWORD} | held, **site)
    assert again.status_code == 200
    assert 'action="/app/auth/change-username"' in again.text
    assert value_of(again, "username") == "lovelace"


CHAINED = HTTPS | {"TRUSTED_PROXIES": 2}
SEEN = {  # X-Forwarded-For and TRUSTED_PROXIES: the client's address
    ("203.0.113.7", 1): "203.0.113.7",
    ("203.0.113.7:51234", 1): "203.0.113.7",
    ("[2001:DB8::7]:51234", 1): "2001:db8::7",
    ("[2001:db8::7]", 1): "2001:db8::7",
    ("2001:db8:0:0::7", 1): "2001:db8::7",
    ("::ffff:203.0.113.7", 1): "203.0.113.7",
    ("fe80::7%eth0", 1): "fe80::7",
    ('"203.0.113.7"', 1): "203.0.113.7",
    ("198.51.100.1, 203.0.113.7", 1): "203.0.113.7",
    ("198.51.100.1,203.0.113.7,10.0.0.5", 2): "203.0.113.7",
    ("198.51.100.1, 203.0.113.7, 10.0.0.5, 10.0.0.6", 3): "203.0.113.7",
    ("203.0.113.7", 2): "127.0.0.1",  # one of the two did not append, and nothing says which
    ("unknown", 1): "",
    ("203.0.113.7.example", 1): "",
    ("_hidden", 1): "",
}


@pytest.fixture
def arrived():
    """Send a request from a peer, and return what the application sees of the client."""

    def ask(peer, headers, count=1, networks=("127.0.0.0/8", "::1")):
        seen = {}

        def see(environ, start_response):
            request = Request(environ)
            seen.update(ip=request.remote_addr, scheme=request.scheme, host=request.host)
            return Response()(environ, start_response)

        under_test = hosts.TrustedProxies(see, count, networks)
        environ = EnvironBuilder("/", "http://localhost", headers=headers, environ_base={"REMOTE_ADDR": peer})
        run_wsgi_app(under_test, environ.get_environ())
        return seen

    return ask


@pytest.mark.parametrize(("header", "count"), SEEN)
def test_the_client_address_is_counted_from_the_right_of_x_forwarded_for(arrived, header, count):
    assert arrived("127.0.0.1", {"X-Forwarded-For": header}, count)["ip"] == SEEN[header, count]


NETWORKS = ("10.1.0.0/16", "192.0.2.7", "2001:db8:1::/48")
TRUSTED = [
    "10.1.2.3", "192.0.2.7", "2001:db8:1::5", "::ffff:10.1.2.3", "2001:db8:1::5%eth0", "", "localhost", "<local>",
]  # fmt: skip
UNTRUSTED = ["10.2.0.1", "192.0.2.8", "127.0.0.1", "::1", "::ffff:10.2.0.1", "2001:db8:2::5", "unknown", "10.1.2"]


@pytest.mark.parametrize("peer", TRUSTED)
def test_a_proxy_in_a_trusted_network_is_trusted(arrived, peer):
    seen = arrived(peer, FORGED, networks=NETWORKS)
    assert seen == {"ip": "203.0.113.9", "scheme": "https", "host": "evil.example"}


@pytest.mark.parametrize("peer", UNTRUSTED)
@pytest.mark.parametrize("more", [{}, {"X-Forwarded-For": "10.1.2.3"}, {"X-Real-IP": "10.1.2.3"}])
def test_any_other_proxy_is_ignored_and_logged_once(arrived, peer, more, caplog):
    seen = arrived(peer, FORGED | more, networks=NETWORKS)
    assert seen == {"ip": peer.removeprefix("::ffff:"), "scheme": "http", "host": "localhost"}
    assert [record.getMessage() for record in caplog.records] == [
        f"Ignored the X-Forwarded-* headers from {peer}."
        " If that is your proxy, add its network to TRUSTED_PROXY_NETWORKS."
    ]


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_by_default_loopback_proxies_are_trusted(arrived, peer):
    assert arrived(peer, FORGED)["ip"] == "203.0.113.9"


def test_the_log_warns_once_about_a_proxy_that_no_setting_counts(own_app, client, caplog):
    for _ in range(3):
        client.get("/", headers=FORGED)
    (said,) = [record.getMessage() for record in caplog.records if record.name == "app.web.hosts"]
    assert said.startswith("Ignored the X-Forwarded-* headers from 127.0.0.1.")
    assert "set TRUSTED_PROXIES to the number" in said


@pytest.mark.parametrize("settings", [HTTPS | {"TRUSTED_PROXIES": 1, "TRUSTED_PROXY_NETWORKS": ("192.0.2.0/24",)}])
def test_a_client_that_bypasses_the_proxy_can_forge_nothing(client, ada):
    forged = FORGED | {"Host": "accounts.example", "X-Forwarded-Host": "accounts.example"}
    here = {"base_url": "http://127.0.0.1", "headers": forged}
    past = client.get("/auth/login", environ_base={"REMOTE_ADDR": "198.51.100.4"}, **here)
    assert (past.status_code, past.location) == (301, "https://accounts.example/auth/login")
    through = client.get("/auth/login", environ_base={"REMOTE_ADDR": "192.0.2.4"}, **here)
    assert through.status_code == 200


CHAINS = {  # scheme and host as two proxies send them: overwritten, appended or dropped on the way
    "overwritten by the nearest": {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "accounts.example"},
    "appended by both": {"X-Forwarded-Proto": "https, https", "X-Forwarded-Host": "x.example, accounts.example"},
    "the host is not forwarded": {"X-Forwarded-Proto": "https"},
    "the visitor asked for http": {"X-Forwarded-Proto": "http, https"},
}


@pytest.mark.parametrize("settings", [CHAINED])
@pytest.mark.parametrize("chain", CHAINS)
def test_behind_two_proxies_https_is_not_redirected_to_itself(client, ada, chain):
    headers = CHAINS[chain] | {"Host": "accounts.example", "X-Forwarded-For": "198.51.100.1, 203.0.113.7, 10.0.0.5"}
    form = {"login": "ada", "password": PASSWORD}
    answer = client.post("/auth/login", data=form, headers=headers, base_url="http://127.0.0.1")
    assert answer.location == "/"
    assert db.session.scalar(select(UserSession.ip)) == "203.0.113.7"

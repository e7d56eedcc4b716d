"""Hosts, schemes, proxies and probes."""

import pytest
from clients import PASSWORD, on_sqlite
from sqlalchemy import select, text

from app.extensions import db
from app.models import UserSession

HTTPS = {"PUBLIC_URL": "https://accounts.example"}
UNDER = {"PUBLIC_URL": "https://accounts.example/app"}


@on_sqlite
@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "localhost:81", "LOCALHOST.", "evil@localhost"]
)
@pytest.mark.parametrize("path", ["/", "/auth/login", "/nowhere", "/static/app.css"])
def test_another_host_gets_a_word_and_no_page(client, host, path):
    answer = client.get(path, headers={"Host": host})
    assert answer.status_code == 400
    assert answer.mimetype == "text/plain"
    assert "evil" not in answer.text


@on_sqlite
@pytest.mark.parametrize("host", ["localhost", "LocalHost", "localhost:80"])
def test_its_own_host_is_answered(client, host):
    assert client.get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("settings", [HTTPS])
@pytest.mark.parametrize(("method", "status"), [("GET", 301), ("HEAD", 301), ("POST", 308), ("DELETE", 308)])
def test_http_goes_to_https(client, method, status):
    answer = client.open("/auth/login?next=/a%20b", method=method, base_url="http://accounts.example")
    assert answer.status_code == status
    assert answer.location == "https://accounts.example/auth/login?next=/a%20b"


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_are_answered_at_any_address_and_tell_nothing(client, path):
    answer = client.get(path, base_url="http://10.0.0.7:8000")
    assert answer.status_code == 200
    assert answer.text in {"ok\n", "ready\n"}
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_process_whose_database_is_behind_is_alive_but_not_ready(app, client):
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


def test_without_proxies_forged_headers_change_nothing(client, ada):
    data = {"login": "ada", "password": PASSWORD}
    answer = client.post("/auth/login", data=data, headers=FORGED)
    assert answer.location == "/"
    assert "Strict-Transport-Security" not in answer.headers
    assert db.session.scalar(select(UserSession.ip)) == "127.0.0.1"


@pytest.mark.parametrize("settings", [HTTPS | {"TRUSTED_PROXIES": 1}])
def test_one_proxy_is_believed_and_those_before_it_are_not(client, ada):
    headers = {
        "Host": "accounts.example",
        "X-Forwarded-For": "203.0.113.9, 198.51.100.7",
        "X-Forwarded-Proto": "https",
    }
    form = {"login": "ada", "password": PASSWORD}
    assert client.post("/auth/login", data=form, headers=headers, base_url="http://127.0.0.1").status_code == 302
    assert db.session.scalar(select(UserSession.ip)) == "198.51.100.7"


@pytest.mark.parametrize("settings", [UNDER])
@pytest.mark.parametrize("prefix", ["/app", ""], ids=["kept by the proxy", "taken off by the proxy"])
def test_it_works_under_a_path(app, ada, prefix):
    browser = app.test_client()
    site = {"base_url": "https://accounts.example"}
    page = browser.get(f"{prefix}/account", **site)
    assert page.location == "/app/auth/login?next=/app/account"
    form = browser.get(f"{prefix}/auth/login?next=/app/account", **site)
    assert 'action="/app/auth/login?next=/app/account"' in form.text
    assert 'href="/app/static/site.' in form.text
    answer = browser.post(f"{prefix}/auth/login?next=/app/account", data={"login": "ada", "password": PASSWORD}, **site)
    assert answer.location == "/app/account"
    assert "ada@example.com" in browser.get(f"{prefix}/account", **site).text

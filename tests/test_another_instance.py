"""Another instance with the same SECRET_KEY, such as a copy for staging: what it signs is not valid here."""

import re
from urllib.parse import urlsplit

import pytest
from sqlalchemy import select
from support.clients import PASSWORD, Browser, on_sqlite, without_tokens
from support.passkeys import asked

from app import create_app
from app.extensions import db
from app.models import UserSession
from app.security import signing
from app.security.token_purposes import TokenPurpose

pytestmark = on_sqlite


@pytest.fixture(params=["https://staging.example", "http://localhost:8080", "http://localhost/staging"])
def staging(app, request):
    kept = {name: app.config[name] for name in ("SQLALCHEMY_DATABASE_URI", "WTF_CSRF_ENABLED")}
    return create_app("testing", **kept, PUBLIC_URL=request.param)


def signed_by(app, claims):
    return f"session={app.session_interface.get_signing_serializer(app).dumps(claims)}"


def test_a_session_cookie_of_another_instance_logs_nobody_in(app, staging, client, ada):
    client.log_in(ada)
    claims = {"_user_id": db.session.scalar(select(UserSession.id)), "_fresh": True}
    browser = app.test_client(use_cookies=False)
    assert browser.get("/account", headers={"Cookie": signed_by(app, claims)}).status_code == 200
    assert browser.get("/account", headers={"Cookie": signed_by(staging, claims)}).status_code == 302


def test_nothing_else_in_a_session_cookie_of_another_instance_counts(app, staging):
    claims = {"_flashes": [["info", "From elsewhere"]]}
    browser = app.test_client(use_cookies=False)
    assert "From elsewhere" in browser.get("/auth/login", headers={"Cookie": signed_by(app, claims)}).text
    page = browser.get("/auth/login", headers={"Cookie": signed_by(staging, claims)})
    assert without_tokens(page) == without_tokens(browser.get("/auth/login"))


def test_a_csrf_token_of_another_instance_is_refused_even_with_its_cookie(app, staging, client):
    app.config["WTF_CSRF_ENABLED"] = staging.config["WTF_CSRF_ENABLED"] = True
    page = staging.test_client().get("/auth/login", base_url=staging.config["PUBLIC_URL"])
    token = re.search(r'name="csrf_token" value="([^"]+)"', page.text)[1]
    cookie = page.headers["Set-Cookie"].partition(";")[0]
    form = {"csrf_token": token, "login": "nobody", "password": PASSWORD}
    browser = app.test_client(use_cookies=False)
    assert browser.post("/auth/login", data=form, headers={"Cookie": cookie}).status_code == 400


@pytest.mark.parametrize("purpose", TokenPurpose)
def test_links_of_another_instance_are_refused(app, staging, purpose):
    with staging.app_context():
        token = signing.sign(purpose, 1, "")
        assert signing.verify(token, purpose)
    assert signing.verify(token, purpose) is None


def test_codes_of_another_instance_differ(app, staging):
    with staging.app_context():
        code = signing.code("confirm", "1 ada@example.com")
        assert signing.is_code("confirm", "1 ada@example.com", code)
    assert not signing.is_code("confirm", "1 ada@example.com", code)


def test_encrypted_columns_are_readable_under_a_new_public_url(app, staging):
    secret = signing.encrypt("authenticator", "a secret")
    with staging.app_context():
        assert signing.decrypt("authenticator", secret) == "a secret"
        assert signing.reencrypt("authenticator", secret) is None


def test_passkeys_are_asked_for_by_the_host_of_the_public_url(app, staging, client):
    """So those of another host are not offered by the browser: docs/maintenance.md."""
    staging.test_client_class = Browser
    with staging.app_context():
        assert asked(staging.test_client())["rpId"] == urlsplit(staging.config["PUBLIC_URL"]).hostname
        db.engine.dispose()
    assert asked(client)["rpId"] == "localhost"

"""SSO with an independent provider, npm's oidc-provider, in a real browser."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest
from sqlalchemy import select, update
from support.clients import on_sqlite
from support.records import count

from app.extensions import db
from app.models import Identity, OAuthState, User
from settings.providers import Provider

pytestmark = pytest.mark.extended

HERE = Path(__file__).parent
NOT_BELIEVED = "Logging in with Acme didn't work."


class Node:
    """The issuer, in a process of its own."""

    def __init__(self, redirect_uri):
        command = ["node", "issuer.mjs", redirect_uri]
        quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, cwd=HERE, text=True, **quiet)
        self.url = json.loads(self.process.stdout.readline())["issuer"]

    def is_now(self, mode):
        urlopen(Request(f"{self.url}/mode/{mode}", method="PUT"), timeout=120).close()

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def issuer(app, live):
    issuer = Node(f"{live}/auth/sso/acme/callback")
    provider = Provider("acme", "Acme", issuer.url, "app", "app-secret-app-secret-app-secret")
    app.config["OIDC_PROVIDERS"] = {"acme": provider}
    yield issuer
    issuer.stop()


@pytest.fixture
def visit(browser, live):
    """Open a page in a browser of its own."""
    contexts = []

    def visit(path="/auth/login"):
        context = browser.new_context(base_url=live)
        context.set_default_timeout(60_000)
        contexts.append(context)
        page = context.new_page()
        page.goto(path)
        return page

    yield visit
    for context in contexts:
        context.close()


def log_in(page, who="ada"):
    """Press our button, and do at the issuer what its pages ask."""
    page.get_by_role("button", name="Continue with Acme").click()
    agree(page, who)


def agree(page, who="ada"):
    page.get_by_placeholder("Enter any login").fill(who)
    page.get_by_placeholder("and password").fill("x")
    page.get_by_role("button", name="Sign-in").click()
    page.get_by_role("button", name="Continue").click()


def test_the_whole_flow(issuer, visit):
    page = visit("/auth/history")
    page.get_by_label("Keep me logged in on this device").check()
    log_in(page)
    page.get_by_text("Your username is ada.lovelace").wait_for()
    assert urlsplit(page.url).path == "/auth/history"
    again = visit()
    log_in(again)
    again.get_by_text("Hello, ada.lovelace!").wait_for()
    assert (count(User), count(Identity)) == (1, 1)
    assert db.session.scalar(select(User)).confirmed


@on_sqlite
def test_an_unverified_address_at_the_provider_opens_no_account(issuer, ada, visit):
    page = visit()
    log_in(page, "eve")
    page.get_by_text("You already have an account").wait_for()
    assert count(Identity) == 0


@on_sqlite
def test_cancelling_at_the_provider_is_reported(issuer, visit):
    page = visit()
    page.get_by_role("button", name="Continue with Acme").click()
    page.get_by_text("Cancel").click()
    page.get_by_text("You didn't finish logging in with Acme.").wait_for()


@on_sqlite
def test_the_provider_may_rotate_its_keys(issuer, visit):
    log_in(first := visit())
    first.get_by_text("Hello, ada.lovelace!").wait_for()
    issuer.is_now("rotated")
    log_in(second := visit())
    second.get_by_text("Hello, ada.lovelace!").wait_for()


@pytest.mark.parametrize("mode", ["nonce", "audience", "expired", "key", "none"])
@on_sqlite
def test_an_invalid_id_token_logs_nobody_in(issuer, visit, mode):
    issuer.is_now(mode)
    log_in(page := visit())
    page.get_by_text(NOT_BELIEVED).wait_for()
    assert count(User) == count(Identity) == 0


@on_sqlite
def test_an_authorization_code_works_once(app, issuer, visit):
    """We would not even ask twice; so let us forget that we did."""
    backs, page, twin = [], visit(), visit()
    page.on("request", lambda request: "/callback?" in request.url and backs.append(request.url))
    page.get_by_role("button", name="Continue with Acme").click()
    page.get_by_placeholder("Enter any login").wait_for()
    twin.context.clear_cookies()
    twin.context.add_cookies(page.context.cookies())
    agree(page)
    page.get_by_text("Hello, ada.lovelace!").wait_for()
    db.session.execute(update(OAuthState).values(returned_at=None))
    db.session.commit()
    twin.goto(backs[0])
    twin.get_by_text(NOT_BELIEVED).wait_for()


@on_sqlite
def test_a_slow_or_unreachable_provider_is_reported(issuer, visit):
    for trouble in (lambda: issuer.is_now("slow"), issuer.process.kill):
        trouble()
        page = visit()
        page.get_by_role("button", name="Continue with Acme").click()
        page.get_by_text("Acme isn't responding.").wait_for()
        page.get_by_label("Password").wait_for()


@on_sqlite
def test_a_form_post_callback_logs_in(app, issuer, visit):
    """The browser sends no session cookie with that form: it comes again by GET."""
    app.config["OIDC_PROVIDERS"] = {"acme": replace(app.config["OIDC_PROVIDERS"]["acme"], response_mode="form_post")}
    page, methods = visit("/auth/history"), []
    page.on("request", lambda request: "/callback" in request.url and methods.append(request.method))
    log_in(page)
    page.get_by_text("Your username is ada.lovelace").wait_for()
    assert urlsplit(page.url).path == "/auth/history"
    assert methods == ["POST", "GET"]


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
@on_sqlite
def test_each_client_authentication_method_works(issuer, visit, method):
    issuer.is_now(method)
    log_in(page := visit())
    page.get_by_text("Hello, ada.lovelace!").wait_for()

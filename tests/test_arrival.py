"""Where users arrive after they registered, confirmed their address or logged in: on the page that they came from."""

import re

import pytest
from flask import Blueprint, abort, render_template_string
from flask_login import current_user, login_required
from support.clients import JSON, on_sqlite
from support.emails import code_in
from support.passkeys import MAKE, Key, asked
from support.registration import FORM

from app import clock
from app.extensions import db
from app.models import User

PASSWORDLESS = pytest.mark.parametrize("settings", [{"LOGIN_METHODS": ("magic_link", "passkey")}])
PASSKEY_ONLY = pytest.mark.parametrize("settings", [{"LOGIN_METHODS": ("passkey",)}])
CONCEALED = pytest.mark.parametrize("settings", [{"PREVENT_ENUMERATION": True}])
OFFER = "data-passkey-offer"
PAGE = "{% extends 'base.html' %}{% block content %}<h1>Tools of {{ name }}</h1>{% endblock %}"
pytestmark = on_sqlite


@pytest.fixture(autouse=True)
def tools(own_app, app):
    """Pages of an application: anyone looks at the tools, only users borrow one."""
    bp = Blueprint("a_test_shed", __name__, url_prefix="/a-test-shed")

    @bp.route("", methods=["GET", "POST"])
    def look():
        name = current_user.email if current_user.is_authenticated else "anybody"
        return render_template_string(PAGE, name=name)

    @bp.route("/borrow", methods=["POST"])
    @login_required
    def borrow():
        return "borrowed"

    @bp.route("/broken")
    def broken():
        abort(404)

    app.register_blueprint(bp)


def register(client, **changes):
    return client.post("/auth/register?next=/a-test-shed", data=FORM | changes, follow_redirects=True)


def add_passkey(client, next_url):
    form = {"name": "My phone", "credential": Key().create(asked(client, MAKE))}
    return client.post(f"/auth/passkeys?next={next_url}", data=form)


def topbar(page):
    """The links of the top bar, by their words."""
    bar = re.search(r'<header class="topbar">.*?</header>', page.text, re.DOTALL)[0]
    return {words: url for url, words in re.findall(r'href="([^"]*)">([^<]+)</a>', bar)}


def assert_arrived(page):
    assert page.request.path == "/a-test-shed"
    assert "Your email address is confirmed. Welcome." in page.text
    assert "Tools of eve@example.com" in page.text


def test_registration_leads_to_the_confirmation_and_its_code_back_to_a_public_page(client, outbox):
    page = register(client)
    assert page.request.path == "/auth/unconfirmed"
    assert "We sent a link and a code" in page.text
    client.get("/a-test-shed")
    code = {"code": code_in(outbox()[0])}
    assert_arrived(client.post("/auth/unconfirmed", data=code, follow_redirects=True))


def test_registration_leads_to_the_confirmation_and_its_link_back_to_a_public_page(client, outbox):
    register(client)
    assert_arrived(client.get(outbox.link(), follow_redirects=True))


def test_login_of_an_unconfirmed_user_leads_to_the_confirmation_and_then_to_a_public_page(client, bob, outbox):
    client.post("/auth/register", data=FORM)
    client.post("/auth/logout")
    form = {"login": "eve", "password": FORM["password"]}
    page = client.post("/auth/login?next=/a-test-shed", data=form, follow_redirects=True)
    assert page.request.path == "/auth/unconfirmed"
    assert_arrived(client.get(outbox.link(), follow_redirects=True))


def test_confirmation_in_another_browser_still_confirms_after_the_login(client, another_client, outbox):
    register(client)
    page = another_client.get(outbox.link(), follow_redirects=True)
    assert "Log in to confirm your email address." in page.text
    form = {"login": "eve", "password": FORM["password"]}
    another_client.post(page.request.full_path, data=form, follow_redirects=True)
    assert User.find("eve").confirmed


def test_the_page_of_one_user_is_not_that_of_the_next_one_in_this_browser(client, ada, outbox):
    register(client)
    client.post("/auth/logout")
    assert client.log_in(ada).location == "/"


def test_a_script_that_logs_in_an_unconfirmed_user_is_led_to_the_confirmation(client, bob):
    answer = client.post(
        "/auth/login?next=/a-test-shed", data={"login": "bob", "password": FORM["password"]}, headers=JSON
    )
    assert answer.json == {"logged_in": True, "next": "/auth/unconfirmed"}


@CONCEALED
def test_concealed_registration_keeps_the_page_until_its_confirmation(client, outbox):
    register(client)
    assert_arrived(client.post(outbox.link(), data={"password": FORM["password"]}, follow_redirects=True))


@PASSWORDLESS
def test_registration_without_passwords_leads_back_and_offers_a_passkey_there(client, outbox):
    page = register(client)
    assert page.request.path == "/auth/unconfirmed"
    assert ("passkey" in page.text, OFFER in page.text) == (False, False)
    page = client.get(outbox.link(), follow_redirects=True)
    assert_arrived(page)
    assert OFFER in page.text
    assert "instead of a link by email" in page.text
    assert 'action="/auth/passkeys?next=/a-test-shed"' in page.text
    assert OFFER not in client.get("/a-test-shed").text
    assert add_passkey(client, "/a-test-shed").location == "/a-test-shed"


@pytest.mark.parametrize(
    "settings", [{"LOGIN_METHODS": ("magic_link", "passkey"), "CONFIRMATION": way} for way in ("later", "off")]
)
def test_registration_without_passwords_and_confirmation_offers_a_passkey_at_once(client):
    page = register(client)
    assert (page.request.path, OFFER in page.text) == ("/a-test-shed", True)


def test_registration_with_a_passkey_leads_to_the_passkeys_and_then_back(client, outbox):
    form = {name: value for name, value in FORM.items() if "password" not in name}
    page = client.post("/auth/register?next=/a-test-shed", data=form | {"by_passkey": "y"}, follow_redirects=True)
    assert re.search(r"alert-info.*?Confirm your email address first, then add a passkey\.", page.text, re.DOTALL)
    assert "alert-success" not in page.text
    page = client.get(outbox.link(), follow_redirects=True)
    assert page.request.path == "/auth/passkeys"
    assert '<a class="btn btn-outline" href="/a-test-shed">Continue</a>' in page.text
    assert 'action="/auth/passkeys?next=/a-test-shed"' in page.text
    assert add_passkey(client, "https://evil.example").location == "/auth/passkeys"
    assert ">Continue</a>" not in client.get("/auth/passkeys").text


@PASSKEY_ONLY
def test_registration_leads_to_the_passkeys_where_nothing_else_logs_in(client, outbox):
    register(client)
    page = client.get(outbox.link(), follow_redirects=True)
    assert page.request.full_path == "/auth/passkeys?next=/a-test-shed"


# The top bar of an application's own pages


def test_top_bar_leads_back_to_the_page_of_the_application(client, app):
    links = topbar(client.get("/a-test-shed?size=5&all"))
    back = "next=/a-test-shed?size%3D5%26all"
    assert (links["Log in"], links["Create account"]) == (f"/auth/login?{back}", f"/auth/register?{back}")
    page = client.get("/auth/login?next=/a-test-shed")
    assert topbar(page)["Create account"] == "/auth/register?next=/a-test-shed"


@pytest.mark.parametrize("path", ["/", "/auth/login", "/auth/register", "/nowhere", "/a-test-shed/broken"])
def test_top_bar_of_account_pages_and_errors_leads_back_to_no_page(client, path):
    links = topbar(client.get(path))
    assert links.get("Log in", "/auth/login") == "/auth/login"
    assert links.get("Create account", "/auth/register") == "/auth/register"


def test_top_bar_of_an_answer_to_a_form_names_no_page_of_another_site(client):
    for referer, back in (
        ("https://evil.example/a-test-shed", ""),
        ("http://localhost/a-test-shed", "?next=/a-test-shed"),
    ):
        page = client.post("/a-test-shed", headers={"Referer": referer})
        assert topbar(page)["Log in"] == f"/auth/login{back}"


def test_caching_of_public_pages_does_not_change(client):
    page = client.get("/a-test-shed")
    assert "Set-Cookie" not in page.headers


def unconfirmed(user):
    user.confirmed = False


def leaving(user):
    user.deletion_due_at = clock.now()


def without_two_factor(user):
    """Leave two-factor off, which the settings below require."""


HELD = {
    unconfirmed: {"Confirm your email": "/auth/unconfirmed"},
    leaving: {"Cancel deletion": "/auth/cancel-deletion"},
    without_two_factor: {"Finish setup": "/auth/two-factor"},
}


@pytest.mark.parametrize("settings", [{"TWO_FACTOR_REQUIRED_FOR": "everybody"}])
@pytest.mark.parametrize("standing", HELD, ids=lambda standing: standing.__name__)
def test_top_bar_tells_a_user_who_is_held_back_what_to_do(client, ada, standing):
    client.log_in(ada)
    standing(ada)
    db.session.commit()
    page = client.get("/a-test-shed")
    assert "Tools of anybody" in page.text
    links = topbar(page)
    assert {words: links[words] for words in links if words not in {"Flasky", "Log out"}} == HELD[standing]
    assert client.get(links["Log out"]).status_code == 200


# Forms that need a login


def test_a_form_that_needs_a_login_leads_back_to_its_page(client, ada, bob):
    ours = {"Referer": "http://localhost/a-test-shed?size=5"}
    assert client.post("/a-test-shed/borrow", headers=ours).location == "/auth/login?next=/a-test-shed?size%3D5"
    assert client.post("/a-test-shed/borrow", headers={"Referer": "https://evil.example/x"}).location == "/auth/login"
    assert client.post("/a-test-shed/borrow").location == "/auth/login"
    assert client.post("/auth/confirm", headers=ours).location == "/auth/login"

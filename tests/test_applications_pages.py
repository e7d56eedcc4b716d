"""Pages of an application built on this: who sees them, and authentication by its own tokens."""

import pytest
from flask import Blueprint, jsonify
from flask_login import current_user, login_required
from support.clients import PASSWORD, on_sqlite, request_loader
from support.routes import our_rules

from app import clock
from app.auth import access
from app.extensions import csrf, db, login_manager
from app.models import User


@pytest.fixture
def shop(own_app, app):
    bp = Blueprint("a_test_shop", __name__, url_prefix="/a-test-shop")

    @bp.route("/", methods=["GET", "POST"])
    def shelf():
        return f"a rose for {current_user.username if current_user.is_authenticated else 'anybody'}"

    @bp.route("/orders")
    @login_required
    def orders():
        return "your orders"

    @bp.route("/ours")
    @login_required
    def ours():
        return "your orders"

    @bp.route("/sure")
    @access.reauthentication_required
    def sure():
        return "sure"

    @bp.route("/api/me", methods=["GET", "POST"])
    @csrf.exempt
    @login_required
    def me():
        return jsonify(username=current_user.username)

    app.register_blueprint(bp)
    app.add_url_rule("/a-test-page", "a_test_page", shelf)
    app.add_url_rule("/a-test-shop/roses/<int:id>", "a_test_rose", lambda id: str(id))


@on_sqlite
@pytest.mark.parametrize(("number", "status"), [(2**31 - 1, 200), (2**31, 404), (2**64, 404)])
def test_a_number_in_a_url_that_no_database_can_store_is_not_found(shop, client, number, status):
    assert client.get(f"/a-test-shop/roses/{number}").status_code == status


def unconfirmed(user):
    user.confirmed = False


def leaving(user):
    user.deletion_due_at = clock.now()


def without_two_factor(user):
    """Leave two-factor off, which the settings below require."""


HELD = {unconfirmed: "/auth/unconfirmed", leaving: "/auth/cancel-deletion", without_two_factor: "/auth/two-factor"}


@on_sqlite
@pytest.mark.parametrize("settings", [{"TWO_FACTOR_REQUIRED_FOR": "everybody"}])
@pytest.mark.parametrize("standing", HELD, ids=lambda standing: standing.__name__)
def test_users_who_are_held_back_are_visitors_on_an_applications_public_pages(app, client, ada, shop, standing):
    client.log_in(ada)
    standing(ada)
    db.session.commit()
    for answer in (client.get("/a-test-shop/"), client.post("/a-test-shop/"), client.get("/a-test-page")):
        assert answer.text == "a rose for anybody"
    for page in ("/a-test-shop/orders", "/a-test-shop/ours", "/a-test-shop/sure", "/account"):
        assert client.get(page).location == HELD[standing], page
        assert client.get(page, headers={"Accept": "application/json"}).status_code == 403, page
    assert client.get("/auth/logout").status_code == 200


@on_sqlite
def test_a_confirmed_user_returns_to_the_applications_page(client, bob, shop, outbox):
    client.log_in(bob)
    client.get("/a-test-shop/orders")
    client.post("/auth/confirm")
    assert client.get(outbox.link()).location == "/a-test-shop/orders"
    assert client.get("/a-test-shop/").text == "a rose for bob"


# A request loader (docs/token-authentication.md)


@pytest.fixture
def tokens(app, ada, bob, monkeypatch):
    """A request loader as Flask-Login documents it: a header names the user."""
    owners = {"of-ada": ada.id, "of-bob": bob.id}

    def load(request):
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        return db.session.get(User, owners.get(token, 0)) if kind == "Bearer" else None

    with request_loader(load):
        yield


def test_an_application_keeps_its_request_loader():
    with request_loader(len):
        with request_loader(str):
            assert login_manager.request_callback is str
        assert login_manager.request_callback is len


ADA, BOB = {"Authorization": "Bearer of-ada"}, {"Authorization": "Bearer of-bob"}


@on_sqlite
@pytest.mark.parametrize("settings", [{"WTF_CSRF_ENABLED": True}])
def test_a_request_loader_authenticates_one_request(app, shop, tokens):
    api = app.test_client(use_cookies=False)
    for ask in (api.get, api.post):
        answer = ask("/a-test-shop/api/me", headers=ADA)
        assert (answer.json, "Set-Cookie" in answer.headers) == ({"username": "ada"}, False)
        assert ask("/a-test-shop/api/me", headers={"Accept": "application/json"}).status_code == 401
        assert ask("/a-test-shop/api/me", headers={"Authorization": "Bearer x", "Accept": "*/*"}).status_code == 302
    assert api.get("/a-test-shop/", headers=ADA).text == "a rose for ada"


@on_sqlite
def test_a_request_loader_authenticates_no_unconfirmed_or_deactivated_user(app, ada, shop, tokens):
    api = app.test_client(use_cookies=False)
    assert api.get("/a-test-shop/api/me", headers=BOB | {"Accept": "application/json"}).status_code == 403
    ada.deactivated_at = clock.now()
    db.session.commit()
    assert api.get("/a-test-shop/api/me", headers=ADA | {"Accept": "application/json"}).status_code == 401


@on_sqlite
def test_no_page_fails_for_a_user_without_a_session_row(app, ada, shop, tokens):
    api = app.test_client(use_cookies=False)
    for rule in our_rules(app):
        if rule.arguments or rule.endpoint.startswith("dev."):
            continue
        for method in {"GET", "POST"} & rule.methods:
            form = {
                "password": PASSWORD,
                "old_password": PASSWORD,
                "confirm_password": PASSWORD,
                "email": "x@example.com",
            }
            with api.open(rule.rule, method=method, headers=ADA, data=form if method == "POST" else None) as answer:
                assert answer.status_code < 500, rule.rule
    assert api.get("/a-test-shop/sure", headers=ADA).status_code == 403
    assert api.get("/account", headers=ADA).status_code == 200

"""The administration pages: who reaches them, and what they record. The tests walk all of them, also later ones."""

import pytest
from flask.testing import FlaskClient
from flask_login import current_user
from sqlalchemy import select
from support.clients import JSON, on_sqlite, request_loader
from support.routes import addresses

from app.admin.blueprint import confirm
from app.extensions import db
from app.models import AuditAction, AuditEvent, User
from app.security import audit

pytestmark = on_sqlite
ASK = "/auth/reauthenticate"


def answers(app, client, *methods, **options):
    """What all administration pages answer: pairs of status and location."""
    found = set()
    for method in methods or ("GET", "POST"):
        for name, address in addresses(app, method):
            if name.startswith("admin."):
                with client.open(address, method=method, buffered=True, **options) as answer:
                    found.add((answer.status_code, (answer.location or "").partition("?")[0]))
    return found


def make_administrator(user):
    user.is_admin = True
    db.session.commit()


def test_visitors_and_members_reach_no_page(app, client, another_client, ada):
    assert answers(app, client) == {(302, "/auth/login")}
    assert answers(app, client, headers=JSON) == {(401, "")}
    another_client.log_in(ada)
    assert answers(app, another_client) == {(403, "")}
    assert "You don&#39;t have permission to open this page.</p>" in another_client.get("/admin/").text
    assert "Administration" not in another_client.get("/account").text


def test_unconfirmed_administrators_and_those_without_two_factor_authentication_reach_no_page(app, client, ada, bob):
    for user in (ada, bob):
        make_administrator(user)
    client.log_in(ada)
    assert answers(app, client) == {(302, "/auth/two-factor")}
    assert "The administration pages require it." in client.get("/auth/two-factor").text
    client.post("/auth/logout")
    client.log_in(bob)
    assert answers(app, client) == {(302, "/auth/unconfirmed")}


@pytest.mark.parametrize("settings", [{"TWO_FACTOR": False}])
def test_reauthentication_suffices_where_two_factor_authentication_is_switched_off(client, ada, clock):
    make_administrator(ada)
    client.log_in(ada)
    assert client.get("/admin/").status_code == 200
    clock.move(minutes=16)
    assert client.get("/admin/").location == ASK


def test_administrators_reach_every_page_within_fifteen_minutes_of_a_login(app, administrator, clock):
    assert {status for status, _ in answers(app, administrator, "GET")} <= {200, 404}
    page = administrator.get("/admin/")
    assert page.headers["Cache-Control"] == "no-store"
    assert '<a href="/admin/" aria-current="page">' in page.text
    assert '<meta name="robots" content="noindex">' in page.text
    assert "Administration" in administrator.get("/account").text
    clock.move(minutes=15)
    assert answers(app, administrator, "GET") == {(302, ASK)}
    assert answers(app, administrator, "POST") <= {(403, "")}


def test_tokens_and_former_administrators_reach_no_page(app, administrator, ada):
    with request_loader(lambda request: User.find("ada") if "Authorization" in request.headers else None):
        program = app.test_client(use_cookies=False)
        assert answers(app, program, headers={"Authorization": "Bearer x"}) == {(403, "")}
    ada.is_admin = False
    db.session.commit()
    assert answers(app, administrator) == {(403, "")}


@pytest.fixture
def own_page(own_app, app):
    """A page that an owner adds to the blueprint and that asks first; the same view elsewhere."""

    def act():
        audit.record(current_user, AuditAction.EXPORTED)
        db.session.commit()
        return confirm("Sell the plant?", "It won't come back.", "Sell plant", "/admin/")

    app.add_url_rule("/admin/own", "admin.own", act, methods=["GET", "POST"])
    app.add_url_rule("/own", "own", act, methods=["POST"])


def test_an_owners_page_has_the_guard_and_what_a_post_does_is_recorded_as_an_administrators(own_page, administrator):
    assert "<h1>Sell the plant?</h1>" in administrator.get("/admin/own").text
    asked = administrator.get("/admin/emails/retry").text
    assert '<a href="/admin/emails" aria-current="true">' in asked, "a question is below its page in the navigation"
    for path in ("/admin/own", "/own"):
        FlaskClient.open(administrator, path, method="POST")  # one context for both, as in a server's thread
    done = db.session.scalars(select(AuditEvent.detail).filter_by(action=AuditAction.EXPORTED)).all()
    assert done == [{}, {"by": "administrator", "acting_user": 1}, {}]
    administrator.post("/auth/logout")
    assert administrator.post("/admin/own").location.startswith("/auth/login")

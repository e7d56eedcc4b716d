"""Error pages: status, contents, and no database query from 500 up."""

import pytest
from flask import abort
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from support.clients import PASSWORD, on_sqlite
from support.passwords import NEW

from app.extensions import db


@pytest.fixture
def app(own_app, app):
    app.testing = False  # so that an exception becomes a page
    app.add_url_rule("/abort/<int:code>", "abort", abort)
    app.add_url_rule("/bug", "bug", lambda: 1 / 0)
    return app


@pytest.mark.parametrize("code", [400, 401, 403, 404, 405, 410, 413, 415, 429, 500, 503])
def test_every_error_is_a_page_of_this_site_with_its_status(client, ada, code):
    client.log_in(ada)
    page = client.get(f"/abort/{code}")
    assert page.status_code == code
    assert "Go to the home page" in page.text
    assert '<a class="brand" href="/">' in page.text
    assert ("ada" in page.text) is (code < 500)


@pytest.mark.parametrize("address", ["/abort/503", "/bug"])
def test_error_pages_from_500_up_make_no_query(client, ada, address):
    """The one query loads the user before the request, when nothing has failed yet."""
    client.log_in(ada)
    statements = []
    event.listen(db.engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    page = client.get(address)
    assert page.status_code >= 500
    assert len(statements) == 1


def test_an_error_page_discloses_nothing_about_the_exception(client):
    page = client.get("/bug")
    assert (page.status_code, "It&#39;s our fault" in page.text) == (500, True)
    assert "ZeroDivision" not in page.text


@on_sqlite
@pytest.mark.parametrize(
    ("address", "form"),
    [
        ("/auth/change-password", {"old_password": PASSWORD, "password": NEW, "confirm_password": NEW}),
        ("/auth/logout", {}),
        ("/auth/delete", {"email": "ada@example.com"}),
    ],
)
def test_a_failed_commit_leaves_the_session_cookie_as_it_was(client, ada, address, form):
    """The database is full or away at the commit."""

    def refuse(connection):
        raise OperationalError("COMMIT", {}, Exception("database or disk is full"))

    client.log_in(ada)
    event.listen(db.engine, "commit", refuse)
    try:
        assert client.post(address, data=form).status_code == 503
    finally:
        event.remove(db.engine, "commit", refuse)
    assert client.get("/account").status_code == 200
    assert client.post(address, data=form).status_code == 302


def test_a_form_that_is_too_large_is_refused(client):
    page = client.post("/auth/login", data={"login": "x" * 70_000, "password": "x"})
    assert (page.status_code, "That was too large" in page.text) == (413, True)


def test_a_wrong_method_gets_an_allow_header(client):
    answer = client.get("/auth/confirm")
    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]

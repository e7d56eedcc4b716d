"""Error pages: status, contents, and no database query from 500 up."""

import pytest
from flask import abort
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from support.clients import PASSWORD, on_sqlite, without_tokens
from support.passwords import NEW
from werkzeug.exceptions import ServiceUnavailable, TooManyRequests

from app.extensions import db


@pytest.fixture
def app(own_app, app):
    app.testing = False  # so that an exception becomes a page
    app.add_url_rule("/abort/<int:code>", "abort", abort)
    app.add_url_rule("/bug", "bug", lambda: 1 / 0)
    return app


@on_sqlite
@pytest.mark.parametrize("code", [400, 401, 403, 404, 405, 410, 413, 415, 429, 500, 503])
def test_every_error_is_a_page_of_this_site_with_its_status(client, ada, code):
    client.log_in(ada)
    page = client.get(f"/abort/{code}")
    assert page.status_code == code
    assert '<a class="row-item" href="/">' in page.text
    assert ('<a class="row-item" href="/account">' in page.text) is (code < 500)
    assert ('<a class="btn btn-primary w-100" href="">Try again</a>' in page.text) is (code in {429, 500, 503})
    assert f"""mention the error number <code dir="ltr">{page.headers["X-Request-ID"]}</code>""" in page.text
    assert '<a class="brand" href="/">' in page.text
    assert ("ada" in without_tokens(page)) is (code < 500)


@pytest.mark.parametrize("address", ["/abort/503", "/bug"])
def test_error_pages_from_500_up_make_no_query(client, ada, address):
    """The one query loads the user before the request, when nothing has failed yet."""
    client.log_in(ada)
    statements = []
    event.listen(db.engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    page = client.get(address)
    assert page.status_code >= 500
    assert len(statements) == 1


@on_sqlite
@pytest.mark.parametrize("settings", [{"LANGUAGES": ["en", "de", "ar"]}])
@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_without_a_database_an_error_page_speaks_the_language_of_the_browser(client, ada, accept):
    """The language of the account is in the database."""
    ada.language = "ar"
    db.session.commit()
    client.log_in(ada)
    statements = []

    def refuse(*call):
        statements.append(call[2])
        raise OperationalError("SELECT", {}, Exception("the database is away"))

    headers = {"Accept": accept, "Accept-Language": "de"}
    page = client.get("/bug", headers=headers)
    assert page.status_code == 500
    event.listen(db.engine, "before_cursor_execute", refuse)
    try:
        pages = [page, client.get("/account", headers=headers)]
    finally:
        event.remove(db.engine, "before_cursor_execute", refuse)
    assert [page.status_code for page in pages] == [500, 503]
    assert len(statements) == 1
    for page in pages:
        assert (
            '<html lang="de" dir="ltr">' in page.text
            if accept == "text/html"
            else "Something" not in page.json["error"]
        )


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


@pytest.mark.parametrize(
    ("seconds", "words"), [(None, "Try again in 60 seconds."), (20, "Try again in 20 seconds."), (7200, "in 2 hours.")]
)
@pytest.mark.parametrize("error", [TooManyRequests, ServiceUnavailable])
def test_an_error_page_says_when_to_try_again_as_retry_after_does(own_app, app, client, error, seconds, words):
    def refuse():
        raise error(retry_after=seconds)

    app.add_url_rule("/busy", "busy", refuse)
    page = client.get("/busy")
    assert page.headers.get("Retry-After") == (str(seconds) if seconds else None)
    assert words in page.text


def test_a_visitor_is_led_from_a_missing_page_to_the_login(client):
    page = client.get("/nowhere")
    assert "<title>Page not found · Flasky</title>" in page.text
    assert '<a class="row-item" href="/auth/login">' in page.text


def test_an_error_page_names_the_support_address(app, client):
    app.config["SUPPORT_EMAIL"] = "help@example.com"
    link = '<a href="mailto:help@example.com"><bdi>help@example.com</bdi></a>'
    for path in ("/bug", "/nowhere", "/auth/reset/x.y.z"):
        assert f"Need help? Contact {link} and mention the error number" in client.get(path).text

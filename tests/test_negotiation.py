"""Content negotiation: pages, JSON, XMLHttpRequest and htmx."""

import pytest
from support.clients import PASSWORD, on_sqlite

from app.web.negotiation import wants_json

AXIOS, JQUERY = "application/json, text/plain, */*", "application/json, text/javascript, */*; q=0.01"
JSON = [AXIOS, JQUERY, "application/json", "application/problem+json", "application/hal+json, application/json;q=0.9",
        "application/vnd.api+json", "APPLICATION/JSON", "application/json;q=0.1", "text/html;q=0.5, application/json",
        "application/json, text/html;q=0.9, */*;q=0.8", "application/*", "application/json; charset=utf-8"]  # fmt: skip
PAGES = ["", "*/*", "text/html", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
         "text/html, application/json", "text/html, application/json;q=0.9", "application/json;q=0, */*", "text/plain",
         "text/*, application/json;q=0.5", "image/png"]  # fmt: skip
XHR = {"X-Requested-With": "XMLHttpRequest"}
LOGIN = {"login": "ada", "password": PASSWORD}
HX = {"HX-Request": "true", "HX-Current-URL": "http://localhost/account?x=y"}


@on_sqlite
@pytest.mark.parametrize("accept", [*JSON, *PAGES])
def test_accept_quality_values_decide_between_json_and_page(app, accept):
    with app.test_request_context(headers={"Accept": accept} if accept else {}):
        assert wants_json() is (accept in JSON)


@on_sqlite
@pytest.mark.parametrize("accept", [AXIOS, JQUERY, "application/problem+json"])
def test_json_clients_get_json_from_every_flow(client, ada, bob, accept):
    headers = {"Accept": accept}
    assert client.get("/account", headers=headers).status_code == 401
    assert client.get("/nowhere", headers=headers).json["error"] == "Page not found"
    wrong = client.post("/auth/login", data=LOGIN | {"password": "x"}, headers=headers)
    assert (wrong.status_code, list(wrong.json)) == (422, ["errors"])
    right = client.post("/auth/login?next=/account", data=LOGIN, headers=headers)
    assert (right.status_code, right.json) == (200, {"logged_in": True, "next": "/account"})
    assert client.get("/account").status_code == 200
    client.post("/auth/logout")
    client.log_in(bob)
    assert client.get("/account", headers=headers).status_code == 403


def test_json_login_reports_that_two_factor_is_needed(client, ada, phone):
    told = client.post("/auth/login", data=LOGIN, headers={"Accept": AXIOS})
    assert told.json["logged_in"] is False
    phone.clock.move(minutes=2)
    told = client.post(told.json["next"], data={"code": phone.code()}, headers={"Accept": AXIOS})
    assert told.json == {"logged_in": True, "next": "/"}


@on_sqlite
@pytest.mark.parametrize("accept", ["*/*", "text/html, */*; q=0.01"])
def test_xhr_requests_get_401_instead_of_the_login_page(client, accept):
    answer = client.get("/account", headers=XHR | {"Accept": accept})
    assert (answer.status_code, answer.is_json) == (401, accept == "*/*")


@on_sqlite
def test_htmx_loads_the_login_page_and_returns_to_its_page(client, bob):
    answer = client.get("/account", headers=HX)
    assert (answer.status_code, answer.data) == (401, b"")
    assert answer.headers["HX-Redirect"] == "/auth/login?next=/account?x%3Dy"
    elsewhere = client.get("/account", headers=HX | {"HX-Current-URL": "http://evil.example/account"})
    assert elsewhere.headers["HX-Redirect"] == "/auth/login"
    client.log_in(bob)
    assert client.get("/account", headers=HX).headers["HX-Redirect"] == "/auth/unconfirmed"


def test_htmx_loads_the_reauthentication_page(client, ada, clock):
    client.log_in(ada)
    clock.move(minutes=16)
    for ask in (client.get, client.post):
        assert ask("/auth/change-username", headers=HX).headers["HX-Redirect"] == "/auth/reauthenticate"

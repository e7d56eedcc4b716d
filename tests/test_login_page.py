"""The login page: its error, the last used method, and what is carried from it to the other ways to log in."""

import re

import pytest
from support.clients import value_of
from support.login_methods import by_link, by_password
from support.pages import beside
from support.passwords import NEW, choose


def badges(client, path="/auth/login"):
    """Return the words of the buttons with a badge."""
    buttons = re.findall(r"<button[^>]*>(.*?)</button>", client.get(path).text, re.DOTALL)
    return [re.sub(r"<[^>]+>", "", button).strip() for button in buttons if "badge" in button]


def test_a_wrong_password_is_reported_by_its_field_and_the_login_stays(client, ada):
    page = client.post("/auth/login", data={"login": "ada@example.com", "password": "wrong"})
    assert beside("password", page) == "Incorrect username or password."
    assert value_of(page, "login") == "ada@example.com"
    assert "<title>Error: Log in" in page.text
    assert 'role="alert">' not in page.text.replace('role="alert" data-passkey-words', ""), "no summary of one error"


def test_enter_presses_the_login_button(client):
    form = client.get("/auth/login").text.partition('action="/auth/login"')[2]
    submit = re.findall(r"<button(?![^>]*type=)[^>]*>(?:<svg.*?</svg>)?([^<]*)", form, re.DOTALL)
    assert submit[:3] == ["Log in", "Forgot password?", "Email me a login link"]


@pytest.mark.parametrize("path", ["/", "/auth/login"])
def test_the_login_method_last_used_in_a_browser_is_marked(client, another_client, ada, outbox, path):
    assert badges(client, path) == []
    by_link(client, outbox)
    client.post("/auth/logout")
    assert badges(client, path) == ["Email me a login link Last used"]
    assert badges(another_client, path) == []
    by_password(client, outbox)
    client.post("/auth/logout")
    assert badges(client, path) == [], "the password comes first anyway"


def test_the_method_cookie_names_the_method_alone_and_is_only_compared(client, ada, outbox):
    by_link(client, outbox)
    assert client.get_cookie("method").value == "magic_link"
    client.post("/auth/logout")
    client.set_cookie("method", "<b>sso:x</b>")
    assert badges(client) == []


@pytest.mark.parametrize(("typed", "carried"), [("Ada@example.com ", "Ada@example.com"), ("ada", ""), ("", "")])
def test_forgot_password_carries_the_address_and_sends_nothing_yet(client, ada, outbox, typed, carried):
    page = client.post("/auth/reset", data={"login": typed, "password": "x"})
    assert (page.status_code, value_of(page, "email"), beside("email", page)) == (200, carried, "")
    assert outbox() == []


def test_the_login_page_sends_the_link_at_once_if_an_address_is_typed(client, ada, outbox):
    page = client.post("/auth/magic-link", data={"login": "ada@example.com", "password": ""})
    assert page.location == "/auth/magic-link/sent"
    assert len(outbox()) == 1


@pytest.mark.parametrize("typed", ["ada", ""])
def test_the_login_page_asks_for_an_address_if_none_is_typed(client, ada, outbox, typed):
    page = client.post("/auth/magic-link", data={"login": typed, "password": "", "remember_me": "y"})
    assert (page.status_code, beside("email", page), outbox()) == (200, "", [])
    assert "checked" in page.text


def test_the_login_page_is_filled_in_after_a_reset(client, another_client, ada, outbox):
    client.post("/auth/reset", data={"email": "Ada@example.com"})
    assert value_of(client.get("/auth/login"), "login") == "Ada@example.com"
    choose(another_client, outbox.link())
    page = another_client.get("/auth/login")
    assert value_of(page, "login") == "ada@example.com"
    assert page.headers["Cache-Control"] == "no-store"
    assert by_password(another_client, outbox, password=NEW) == "/"
    another_client.post("/auth/logout")
    assert value_of(another_client.get("/auth/login"), "login") == ""

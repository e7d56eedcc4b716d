"""The test client, and how its pages are read."""

import contextvars
import html
import re
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask import has_app_context
from flask.testing import FlaskClient

from app.dev.access import cookie_name
from app.extensions import db, login_manager
from app.security.token_purposes import TokenPurpose

# For what no database has a part in.
on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

ROOT = Path(__file__).parents[2]
PASSWORD = "a lantern in the fog"
JSON = {"Accept": "application/json"}


class Browser(FlaskClient):
    """A test client that is another browser each: it shares neither user nor database session with the test.

    It has access to the development pages, where there are any (app/dev/access.py).
    """

    def __init__(self, *args, use_cookies=True, **kwargs):
        super().__init__(*args, use_cookies=use_cookies, **kwargs)
        if use_cookies and (token := self.application.extensions.get("dev_token")):
            self.set_cookie(cookie_name(self.application), token)

    def open(self, *args, **kwargs):
        if args and isinstance(args[0], str):  # not when following a redirect
            kwargs.setdefault("base_url", self.application.config["PUBLIC_URL"])
        try:
            return contextvars.Context().run(super().open, *args, **kwargs)
        finally:
            if has_app_context():
                db.session.rollback()  # the test sees what the request did

    def log_in(self, user, password=PASSWORD, **fields):
        """Log in by the password; where LOGIN_METHODS has none, by a link, which confirms the address, too."""
        methods = self.application.config["LOGIN_METHODS"]
        assert "none" not in methods, "LOGIN_METHODS is none: log in at a provider, as support.sso.travel() does."
        if "password" not in methods:
            return self.post(f"/auth/magic-link/{user.issue_token(TokenPurpose.FIRST_LOGIN)}", data=fields)
        login = user.email if self.application.config["USERNAMES"] == "off" else user.username
        return self.post("/auth/login", data={"login": login, "password": password, **fields})


@contextmanager
def request_loader(load):
    """Authenticate requests by this function (docs/token-authentication.md), and by an application's own afterwards."""
    earlier = login_manager.request_callback
    login_manager.request_loader(load)
    try:
        yield
    finally:
        login_manager.request_loader(earlier)


def without_tokens(page):
    """The text of a page without its CSRF tokens, which bear the second, and without its error number."""
    return re.sub(r'name="csrf_token" value="[^"]*"', "", page.text).replace(page.headers["X-Request-ID"], "")


def hidden_token(page):
    """The CSRF token of a page."""
    return page.text.partition('name="csrf_token" value="')[2].partition('"')[0]


def hidden_fields(page):
    """What a page holds in hidden inputs, by name: after an error, the form that its button sends again."""
    sheet = page.text.partition("<main")[2]
    found = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', sheet)
    return {html.unescape(name): html.unescape(value) for name, value in found}


def value_of(page, name):
    """What stands in an input of a page, in whatever order its attributes are."""
    tag = re.search(rf'<input[^>]* name="{name}"[^>]*>', page.text)[0]
    return html.unescape(re.search(r' value="([^"]*)"', tag)[1])

"""The pages of the settings: navigation, heading, title, the way back; what they say of the login methods."""

import html
import re
from datetime import timedelta

import pytest
from flask import render_template_string
from flask_login import login_required
from sqlalchemy import select
from support.clients import PASSWORD
from support.passwords import NEW
from support.routes import addresses, our_rules, with_all_routes

from app.auth import settings_pages
from app.auth.settings_pages import SETTINGS_PAGES, SettingsPage
from app.extensions import db
from app.models import Identity, User

OTHER_PAGES = {f"auth.{name}" for name in "change_username change_email change_password delete unlink".split()}


def words(pattern, text):
    """Return the texts of all elements that the pattern finds, without their markup."""
    return [html.unescape(re.sub(r"<[^>]+>", "", found)).strip() for found in re.findall(pattern, text, re.DOTALL)]


def row(page, title):
    """Return the badge and the detail of a row."""
    titled = rf'<div class="row-title">{title}\s+<span class="badge ?\w*">(.*?)</span></div>'
    [found] = re.findall(rf'{titled}<div class="row-detail">(.*?)</div>', page.text, re.DOTALL)
    return tuple(re.sub(r"<[^>]+>", "", part) for part in found)


@with_all_routes
def test_every_settings_page_has_its_heading_title_place_in_the_navigation_and_way_back(app, client, ada):
    db.session.add(Identity(id=1, user_id=ada.id, provider="x", issuer="x", subject="ada"))
    db.session.commit()
    client.log_in(ada)
    titles, found = {page.endpoint: page.title for page in SETTINGS_PAGES}, set()
    for endpoint, address in addresses(app, "GET"):
        with client.get(address) as page:
            if page.mimetype != "text/html" or 'class="settings"' not in page.text:
                continue
            found.add(endpoint)
            [heading] = words(r"<h1\b[^>]*>(.*?)</h1>", page.text)
            [title] = words(r"<title>(.*?)</title>", page.text.partition("<body")[0])
            assert title.startswith(f"{heading} · "), endpoint
            side = page.text.partition('<nav class="side"')[2].partition("</nav>")[0]
            [current] = words(r'<a [^>]*aria-current="[^"]+">(.*?)</a>', side)
            back = words(r'<p class="back">(.*?)</p>', page.text)
            if endpoint in titles:
                assert (heading, current, back) == (titles[endpoint], titles[endpoint], []), endpoint
                assert 'aria-current="page"' in side
            else:
                assert back == [current], endpoint
                assert 'aria-current="true"' in side
            if endpoint in OTHER_PAGES:
                assert words(r'<a class="btn btn-outline" [^>]*>(Cancel)</a>', page.text) == ["Cancel"], endpoint
    ours = {rule.endpoint for rule in our_rules(app)}
    assert found >= titles.keys() & ours | OTHER_PAGES


def test_an_application_adds_its_page_to_the_navigation(own_app, app, client, ada, monkeypatch):
    monkeypatch.setattr(settings_pages, "SETTINGS_PAGES", [*SETTINGS_PAGES, SettingsPage("plants", "app", "Plants")])
    template = '{% extends "settings.html" %}{% block heading %}Plants{% endblock %}'
    app.add_url_rule("/plants", "plants", login_required(lambda: render_template_string(template)))
    client.log_in(ada)
    page = client.get("/plants").text
    assert words(r'<a href="/plants" aria-current="page">(.*?)</a>', page) == ["Plants"]
    assert words(r"<title>(.*?)</title>", page) == ["Plants · Flasky"]
    assert words(r'<a href="/plants">(.*?)</a>', client.get("/account").text) == ["Plants"]


@pytest.mark.parametrize("path", ["/account", "/auth/login-methods"])
class TestLoginMethods:
    def test_a_password_is_dated(self, client, ada, clock, path):
        clock.move(days=3)
        client.log_in(ada)
        assert row(client.get(path), "Password") == ("Set", "Last changed 3 days ago")
        passwords = {"old_password": PASSWORD, "password": NEW, "confirm_password": NEW}
        assert client.post("/auth/change-password", data=passwords).status_code == 302
        clock.move(hours=1)
        assert row(client.get(path), "Password") == ("Set", "Last changed 1 hour ago")

    def test_an_old_password_is_older_than_the_history(self, client, ada, path):
        ada.created_at -= timedelta(days=366)
        db.session.commit()
        client.log_in(ada)
        assert row(client.get(path), "Password") == ("Set", "Not changed in the last year")

    def test_an_account_may_have_no_password(self, client, ada, path):
        client.log_in(ada)
        db.session.scalar(select(User)).password_hash = None
        db.session.commit()
        page = client.get(path)
        assert row(page, "Password") == ("Not set", "You log in without a password.")
        assert "Set a password</a>" in page.text
        assert "Two-factor authentication is off." not in page.text

    def test_passkeys_and_connected_accounts_are_counted(self, client, ada, path):
        client.log_in(ada)
        assert row(client.get(path), "Passkeys")[0] == "None"
        assert "Connected accounts" not in client.get(path).text, "there is no provider"
        for provider in ("google", "<acme>"):
            db.session.add(Identity(user_id=ada.id, provider=provider, issuer="x", subject=provider))
        db.session.commit()
        assert row(client.get(path), "Connected accounts") == ("2", "google and &lt;acme&gt;")

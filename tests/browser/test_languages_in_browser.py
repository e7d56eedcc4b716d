"""The main stories in German and Arabic, found by structure or by the message ids of the catalog."""

import pytest
from flask_babel import gettext
from support.clients import PASSWORD

from app import languages
from app.extensions import db
from app.models import OutboxEmail, User

pytestmark = pytest.mark.extended

NEW = "brighter lanterns than before"
LANGUAGES = [("de", "ltr"), ("ar", "rtl")]


@pytest.fixture
def settings():
    return {"LANGUAGES": ["en", "de", "ar"], "MAIL_DELIVERY": "off"}


def send(page, **fields):
    """Fill in fields, named as forms send them, and send the form of the last one."""
    for name, value in fields.items():
        field = page.locator(f"main [name={name}]").first
        field.fill(value)
    with page.expect_navigation():
        field.press("Enter")


@pytest.mark.parametrize("has_scripts", [True, False], ids=["scripts", "no scripts"])
@pytest.mark.parametrize(("language", "direction"), LANGUAGES)
def test_a_visitor_registers_confirms_and_changes_the_language(live, browser, language, direction, has_scripts):
    context = browser.new_context(
        base_url=live, locale=language, timezone_id="Europe/Berlin", java_script_enabled=has_scripts
    )
    page = context.new_page()

    def reads(message, in_language=language):
        with languages.speaking(in_language):
            return page.get_by_text(gettext(message)).first.is_visible()

    page.goto("/auth/register")
    html = page.locator("html")
    assert (html.get_attribute("lang"), html.get_attribute("dir")) == (language, direction)
    page.locator("[name=email]").fill("eve@example.com")
    again = {} if has_scripts else {"confirm_password": NEW}
    send(page, username="eve", password=NEW, **again)
    eve = User.find("eve")
    assert (eve.language, eve.time_zone) == (language, "Europe/Berlin" if has_scripts else None)
    assert [email.language for email in db.session.scalars(db.select(OutboxEmail))] == [language]

    page.goto(f"/auth/confirm/{eve.generate_confirmation_token()}")
    assert reads("Your email address is confirmed. Welcome.")
    page.goto("/auth/devices")
    assert reads("Active now")
    if has_scripts:
        page.goto("/auth/history")
        assert "UTC" not in page.locator("main time").first.inner_text(), "it is Berlin's time"

    page.goto("/language")
    page.locator("[name=language][value=en]").check()
    with page.expect_navigation():
        page.locator("main form button:not([type=button])").last.click()
    assert reads("Your choice is saved.", "en")
    assert (html.get_attribute("lang"), html.get_attribute("dir")) == ("en", "ltr")
    db.session.expire_all()
    assert eve.language == "en"
    context.close()


@pytest.mark.parametrize(("language", "direction"), LANGUAGES)
def test_a_login_fails_and_succeeds_in_the_language_of_the_browser(live, ada, browser, language, direction):
    context = browser.new_context(base_url=live, locale=language)
    page = context.new_page()
    page.goto("/auth/login")
    send(page, login="ada", password="a wrong one")
    with languages.speaking(language):
        assert page.get_by_text(gettext("Incorrect username or password.")).first.is_visible()
    assert page.locator("[name=login]").input_value() == "ada"
    send(page, password=PASSWORD)
    page.goto("/auth/two-factor")
    assert page.locator("html").get_attribute("dir") == direction
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    context.close()

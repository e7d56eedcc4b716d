"""ALTCHA's widget in a browser, under our Content Security Policy, and the way around it without JavaScript."""

import pytest
from support.clients import PASSWORD
from support.tour import email

pytestmark = pytest.mark.extended

CHECKED = "altcha-widget [data-state=verified]"


@pytest.fixture
def settings():
    return {"CAPTCHA": "altcha", "CAPTCHA_ALWAYS": True}


def fill_in(page, username="eve"):
    page.get_by_label("Email address").fill(f"{username}@example.com")
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password", exact=True).fill(PASSWORD)


def test_widget_solves_its_challenge_while_the_form_is_filled_in(app, page):
    page.goto("/auth/register")
    box = page.get_by_role("checkbox", name="I'm human")
    box.wait_for()
    assert not box.is_checked()
    fill_in(page)
    page.locator(CHECKED).wait_for()
    assert page.get_by_role("checkbox", name="Checked").is_checked()
    page.get_by_role("button", name="Create account", exact=True).click()
    page.get_by_role("heading", name="Check your email").wait_for()


def test_login_form_that_has_the_focus_is_checked_at_once(app, page):
    page.goto("/auth/login")
    page.locator("#login:focus").wait_for()
    page.locator(CHECKED).wait_for()


def test_widget_is_reached_and_started_by_keyboard(app, page):
    page.goto("/auth/login")
    page.get_by_label("Keep me logged in").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.labels[0].textContent").strip() in {
        "I'm human",
        "Checking…",
        "Checked",
    }
    page.locator(CHECKED).wait_for()
    page.keyboard.press("Space")
    box = page.get_by_role("checkbox", name="I'm human")
    box.wait_for()
    page.keyboard.press("Space")
    page.locator(CHECKED).wait_for()


def test_expired_or_failed_check_can_be_made_again(app, page, clock):
    """A page may stay open for longer than a challenge is valid, and the network may be down for a moment."""
    page.route("**/auth/captcha", lambda route: route.abort(), times=1)
    page.goto("/auth/register")
    page.get_by_label("Username").focus()
    page.get_by_text("That didn't work. Check the box to try again.").wait_for()
    page.get_by_text("I'm human").click()
    page.locator(CHECKED).wait_for()
    page.clock.install()
    page.get_by_text("Checked").click()
    page.get_by_text("I'm human").click()
    page.locator(CHECKED).wait_for()
    clock.move(minutes=20)
    page.clock.fast_forward(20 * 60 * 1000)
    page.get_by_role("checkbox", name="I'm human").wait_for()
    fill_in(page)
    page.locator(CHECKED).wait_for()


@pytest.mark.parametrize("context_options", [{"java_script_enabled": False}])
def test_without_javascript_an_emailed_link_leads_to_registration(app, page):
    page.goto("/auth/register")
    fill_in(page)
    page.get_by_label("Password again").fill(PASSWORD)
    page.get_by_role("button", name="Create account", exact=True).click()
    page.get_by_text("Check the box to show that you are human.").wait_for()
    assert page.get_by_label("Username").input_value() == "eve"
    page.get_by_role("link", name="get a link by email").click()
    page.get_by_label("Email address").fill("eve@example.com")
    page.get_by_role("button", name="Email me a login link").click()
    page.get_by_role("heading", name="Check your email").wait_for()
    email("Create an account", "eve@example.com")(page)
    page.goto(page.frame_locator("iframe").get_by_role("link", name="Create an account").get_attribute("href"))
    assert page.get_by_label("Email address").input_value() == "eve@example.com"
    fill_in(page)
    page.get_by_label("Password again").fill(PASSWORD)
    page.get_by_role("button", name="Create account", exact=True).click()
    page.get_by_role("heading", name="Check your email").wait_for()

"""Registration in a browser: how short it is, and what the meter below the password says."""

import pytest
from support.clients import PASSWORD
from support.ours import owners_fields
from support.tour import email

from app.accounts import password_strength

PASSWORDS = [
    *("", "a", "1234567", "lantern", "ünïcödé", "🔑🔑🔑🔑", "🔑🔑🔑🔑🔑🔑🔑", "       ", "x" * 7, "pass wd"),
    *("password", "12345678", "qwertyui", "🔑🔑🔑🔑🔑🔑🔑🔑", "lanterns", "password1", "iloveyou2", "abcdefgh"),
    *("correct horse", "a lantern", "Tr0ub4dor&3", "lantern fog", "zyxomma in fog", "x" * 11, "hunter2hunter"),
    *(
        PASSWORD,
        "correct horse battery staple",
        "brighter lanterns than before",
        "x" * 16,
        "ö" * 40,
        "1qaz2wsx3edc4rfv",
    ),
]


def test_landing_to_confirmed_takes_three_fields_and_three_clicks(app, page):
    page.goto("/")
    fields = {"Email address": "eve@example.com", "Username": "eve", "Password": PASSWORD}
    page.get_by_role("link", name="Create account").first.click()
    for label, value in fields.items():
        page.get_by_label(label, exact=True).fill(value)
    assert page.locator("main input:visible").count() == len(fields) + len(owners_fields())
    page.get_by_role("button", name="Create account", exact=True).click()
    page.get_by_role("heading", name="Check your email").wait_for()
    email("Confirm", "eve@example.com")(page)
    page.frame_locator("iframe").get_by_role("link", name="Confirm").first.click()
    page.get_by_text("Your email address is confirmed").first.wait_for()


def test_the_meter_says_too_short_exactly_where_the_server_does(app, page):
    assert len(PASSWORDS) >= 30
    page.goto("/auth/register")
    for password in PASSWORDS:
        page.locator("#password").fill(password)
        said = page.locator("meter + [role=status]").text_content()
        assert (said == "Too short.") == (bool(password) and refusal(password).startswith("Use at least")), password
        assert not {"strong", "safe", "secure"} & set(said.lower().strip(".").split()), "the server decides that"


def refusal(password):
    try:
        password_strength.check(password)
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("context_options", [{"java_script_enabled": False}])
def test_without_scripts_the_password_is_typed_twice(app, page):
    page.goto("/auth/register")
    assert page.get_by_label("Password again").is_visible()
    assert page.get_by_text("At least 8 characters. Avoid names and common words.").is_visible()
    assert page.locator("meter").count() == 0


def test_enter_submits_the_password_that_was_typed_once(app, page):
    page.goto("/auth/register")
    page.get_by_label("Email address").fill("eve@example.com")
    page.get_by_label("Username").fill("eve")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Check your email").wait_for()


@pytest.mark.parametrize("settings", [{"USERNAMES": "off", "CONFIRMATION": "off"}])
def test_without_usernames_and_confirmation_it_takes_two_fields_and_two_clicks(app, page):
    address = f"{'eve.' * 12}eve@engines.example.com"
    page.set_viewport_size({"width": 320, "height": 700})
    page.goto("/")
    page.get_by_role("link", name="Create account").first.click()
    page.get_by_label("Email address").fill(address)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    assert page.locator("main input:visible").count() == 2 + len(owners_fields())
    page.get_by_role("button", name="Create account", exact=True).click()
    page.locator("header summary").get_by_text(address).wait_for()
    for path in ("/", "/account", "/auth/logout", "/auth/change-password"):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, path
    page.locator("summary").first.click()
    page.get_by_role("button", name="Log out").click()
    page.goto("/auth/login")
    page.get_by_label("Email address").fill("eve")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Log in", exact=True).click()
    assert page.get_by_label("Email address").evaluate("input => input.validity.typeMismatch")
    page.get_by_label("Email address").fill(address)
    page.get_by_role("button", name="Log in", exact=True).click()
    page.locator("header summary").get_by_text(address).wait_for()


@pytest.mark.parametrize("settings", [{"CONFIRMATION": "later"}])
def test_the_banner_leads_to_the_confirmation_until_the_address_is_confirmed(app, page):
    page.set_viewport_size({"width": 320, "height": 700})
    page.goto("/auth/register")
    page.get_by_label("Email address").fill("eve@example.com")
    page.get_by_label("Username").fill("eve")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Create account", exact=True).click()
    page.get_by_role("heading", name="Hello, eve!").wait_for()
    page.goto("/account")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    page.get_by_role("link", name="Confirm your email address").click()
    page.get_by_role("heading", name="Check your email").wait_for()
    assert page.get_by_role("link", name="Confirm your email address").count() == 0
    email("Confirm", "eve@example.com")(page)
    page.frame_locator("iframe").get_by_role("link", name="Confirm").first.click()
    page.get_by_text("Your email address is confirmed").first.wait_for()
    assert page.get_by_role("link", name="Confirm your email address").count() == 0

"""Two-factor set-up in a browser: the link for phones, buttons that copy and print, and all of it without scripts."""

import pyotp
import pytest
from support.clients import PASSWORD
from support.tour import LOGIN, address, fill_in, go, set_up

pytestmark = pytest.mark.extended

PHONE = {"width": 390, "height": 844}
WITHOUT_SCRIPTS = {"java_script_enabled": False}


@pytest.fixture
def set_up_page(ada, page):
    go(page, "ada", address("/auth/two-factor/set-up"))
    return page


def copied(page, button):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name=button).click()
    page.get_by_role("status").get_by_text("Copied").wait_for(state="attached")
    return page.evaluate("navigator.clipboard.readText()")


def test_the_key_is_copied_without_its_spaces(set_up_page):
    key = set_up_page.locator(".key").inner_text()
    assert copied(set_up_page, "Copy key") == key.replace(" ", "")


def test_on_a_phone_a_link_opens_the_authenticator_app(set_up_page):
    link = set_up_page.get_by_role("link", name="Open in your authenticator app")
    assert not link.is_visible()
    set_up_page.set_viewport_size(PHONE)
    assert link.is_visible()
    key = set_up_page.locator(".key").inner_text().replace(" ", "")
    assert pyotp.parse_uri(link.get_attribute("href")).secret == key


def test_the_qr_code_has_its_white_quiet_zone_on_dark_pages(set_up_page):
    set_up_page.emulate_media(color_scheme="dark")
    ground, modules = set_up_page.locator(".qr path").all()
    assert ground.get_attribute("fill") == "#fff"
    assert modules.get_attribute("d").startswith("M4 4.5"), "they begin in the fifth row and column"


def test_recovery_codes_are_copied_printed_and_confirmed(ada, page):
    go(page, "ada", set_up)
    codes = page.locator(".codes").inner_text().split()
    assert copied(page, "Copy").split() == codes
    page.evaluate("window.print = () => { window.printed = true }")
    page.get_by_role("button", name="Print").click()
    assert page.evaluate("window.printed")
    page.emulate_media(media="print")
    assert page.locator(".codes").is_visible()
    assert not page.get_by_role("link", name="Download").is_visible()
    page.emulate_media(media="screen")
    page.get_by_role("link", name="I've saved my recovery codes").click()
    page.get_by_text("10 codes left").wait_for()


@pytest.mark.parametrize("context_options", [WITHOUT_SCRIPTS])
def test_without_scripts_two_factor_is_set_up_and_a_recovery_code_logs_in(ada, page):
    go(page, "ada", address("/auth/two-factor/set-up"))
    assert not page.get_by_role("button", name="Copy key").is_visible()
    app = pyotp.TOTP(page.locator(".key").inner_text().replace(" ", ""))
    fill_in(page, "Turn on two-factor authentication", {"Code from your authenticator app": app.now()})
    codes = page.locator(".codes").inner_text().split()
    assert page.get_by_role("link", name="Download").is_visible()
    assert not page.get_by_role("button", name="Print").is_visible()
    page.get_by_role("link", name="I've saved my recovery codes").click()
    page.context.clear_cookies()
    page.goto("/auth/login")
    fill_in(page, "Log in", LOGIN)
    page.get_by_text("Lost your phone? Use a recovery code").click()
    fill_in(page, "Log in with a recovery code", {"Recovery code": codes[0]})
    page.goto("/auth/two-factor")
    page.get_by_text("9 codes left").wait_for()


def test_reauthentication_sends_itself_at_the_last_digit_or_takes_a_recovery_code(ada, page):
    go(page, "ada", set_up)
    code = page.locator(".codes").inner_text().split()[0]
    page.goto("/auth/recovery-codes")
    page.locator("#password:focus").wait_for()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("Code from your authenticator app").fill("000000")
    page.locator("#factor_code[aria-invalid]:focus").wait_for()
    page.get_by_role("button", name="Use a recovery code instead").click()
    fill_in(page, "Continue", {"Password": PASSWORD, "Recovery code": code})
    page.get_by_role("button", name="Get new recovery codes").wait_for()

"""The card that offers a passkey after a login by password, and the passkey that a browser creates without asking."""

import pytest
from support.clients import PASSWORD
from support.devices import Device
from support.tour import fill_in

pytestmark = pytest.mark.extended

# What browsers do that know the password: they create the passkey without asking.
UNASKED = """
PublicKeyCredential.getClientCapabilities = async () => ({ conditionalCreate: true });
const create = navigator.credentials.create.bind(navigator.credentials);
navigator.credentials.create = ({ mediation, publicKey }) => {
  window.mediation = mediation;
  return create({ publicKey });
};
"""


def log_in_twice(page):
    for _ in range(2):
        page.goto("/auth/logout")
        if page.locator("main").get_by_role("button", name="Log out").count():
            page.locator("main").get_by_role("button", name="Log out").click()
        page.goto("/auth/login")
        fill_in(page, "Log in", {"Email or username": "ada", "Password": PASSWORD})
        page.locator("header summary").wait_for()


def card(page):
    return page.get_by_role("heading", name="Log in faster next time")


def test_the_card_creates_a_passkey(ada, page):
    device = Device(page)
    log_in_twice(page)
    card(page).wait_for()
    page.get_by_role("button", name="Create a passkey").click()
    page.get_by_text("was added. You can now log in with it.").wait_for()
    assert len(device.keys()) == 1


def test_not_now_closes_the_card_for_this_browser(ada, page):
    Device(page)
    log_in_twice(page)
    page.get_by_role("button", name="Not now").click()
    page.wait_for_load_state()
    log_in_twice(page)
    assert not card(page).is_visible()
    assert page.locator("[data-passkey-offer]").count() == 0


def test_a_browser_that_can_creates_the_passkey_without_asking(ada, page):
    device = Device(page)
    page.add_init_script(UNASKED)
    with page.expect_response(lambda answer: answer.request.method == "POST" and "/passkeys?" in answer.url):
        log_in_twice(page)
    assert page.evaluate("window.mediation") == "conditional"
    assert not card(page).is_visible()
    assert len(device.keys()) == 1
    page.reload()
    page.get_by_text("was added. You can now log in with it.").wait_for()


@pytest.mark.parametrize("context_options", [{"java_script_enabled": False}])
def test_without_scripts_there_is_no_card(ada, page):
    log_in_twice(page)
    assert not card(page).is_visible()

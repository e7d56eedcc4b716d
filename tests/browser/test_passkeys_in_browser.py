"""Passkeys in a real browser, with an authenticator that the browser pretends to have."""

import re

import pytest
from clients import PASSWORD
from devices import Device
from sqlalchemy import update
from tour import fill_in, letter

from app.extensions import db
from app.models import UserSession


@pytest.fixture
def device(page):
    return Device(page)


@pytest.fixture
def elsewhere(browser, live, page):
    """Another browser, with an authenticator of its own."""
    context = browser.new_context(base_url=live)
    context.set_default_timeout(10_000)
    yield Device(context.new_page())
    context.close()


def sign_in(page, name="ada"):
    page.goto("/auth/login")
    fill_in(page, "Log in", {"Email address or username": name, "Password": PASSWORD})


def sign_out(page):
    page.goto("/auth/logout")
    page.locator("main").get_by_role("button", name="Log out").click()
    page.get_by_text("You have been logged out.").wait_for()


def add(page, name="My laptop"):
    page.goto("/auth/passkeys")
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("button", name="Add a passkey").click()


def use(page):
    page.get_by_role("button", name="Use a passkey").click()


def sees(page, words):
    page.get_by_text(words).first.wait_for()


@pytest.fixture
def owner(ada, page, device):
    """Ada's browser, where she is signed in and has added a passkey."""
    sign_in(page)
    add(page)
    sees(page, "Your recovery codes")
    page.get_by_role("link", name="I have kept them").click()
    sees(page, "1 passkey")
    return page


def test_one_is_added_and_signs_in_without_a_name(owner, device):
    [key] = device.keys()
    assert (key["isResidentCredential"], key["rpId"]) == (True, "localhost")
    sign_out(owner)
    owner.goto("/auth/login?next=/auth/history")
    owner.get_by_label("Keep me logged in").check()
    use(owner)
    sees(owner, "What happened to your account")
    assert owner.context.cookies()[0]["expires"] > 0
    owner.goto("/auth/passkeys")
    sees(owner, "last used")


def test_an_account_is_made_and_kept_with_a_passkey_and_no_password(app, page, device):
    page.goto("/auth/register")
    page.get_by_label("Email address").fill("eve@example.com")
    page.get_by_label("Username").fill("eve")
    page.get_by_role("button", name="Register with a passkey").click()
    sees(page, "You have not confirmed your account yet")
    letter("Confirm my address")(page)
    page.frame_locator("iframe").get_by_role("link", name="Confirm my address").click()
    sees(page, "You have no password.")
    page.get_by_role("button", name="Add a passkey").click()
    sees(page, "Your recovery codes")
    sign_out(page)
    page.goto("/auth/login")
    use(page)
    sees(page, "Hello, eve!")


@pytest.mark.extended
def test_home_signs_in_too(owner):
    sign_out(owner)
    owner.goto("/")
    use(owner)
    sees(owner, "Hello, ada!")


@pytest.mark.extended
def test_the_browser_offers_it_where_the_name_is_typed(owner, device, elsewhere):
    [key] = device.keys()
    page = elsewhere.page.context.new_page()  # where nothing stands in for the browser's list
    Device(page, init="").take(key)
    page.goto("/?next=/auth/sessions")
    page.get_by_label("Keep me logged in").check()
    page.get_by_label("Email address or username").focus()
    sees(page, "Where you are logged in")
    assert page.context.cookies()[0]["expires"] > 0


@pytest.mark.extended
def test_home_asks_nothing_until_one_is_about_to_log_in(ada, page, live):
    asked = []
    page.on("request", lambda request: request.method == "POST" and asked.append(request.url))
    page.goto("/", wait_until="networkidle")
    assert asked == []
    if page.evaluate("PublicKeyCredential.isConditionalMediationAvailable()"):
        with page.expect_request("**/request-options/sign_in"):
            page.get_by_label("Email address or username").focus()


@pytest.mark.extended
def test_the_login_page_asks_nothing_before_somebody_is_there(page, live):
    asked = []
    page.on("request", lambda request: request.method == "POST" and asked.append(request.url))
    page.goto("/auth/login", wait_until="networkidle")
    assert asked == []
    if page.evaluate("PublicKeyCredential.isConditionalMediationAvailable()"):
        with page.expect_request("**/request-options/sign_in"):
            page.mouse.move(10, 10)
            page.mouse.move(20, 20)


@pytest.mark.extended
def test_it_proves_once_more_who_one_is_and_a_form_waits(owner):
    owner.goto("/auth/change-username")
    owner.get_by_label("Username").fill("countess")
    db.session.execute(update(UserSession).values(authenticated_at=None))
    db.session.commit()
    owner.get_by_role("button", name="Change username").click()
    sees(owner, "Is it you?")
    use(owner)
    sees(owner, "Look it over and send it again.")
    owner.get_by_role("button", name="Change username").click()
    sees(owner, "Your name is countess now.")


@pytest.mark.extended
def test_adding_long_after_signing_in_asks_first(owner):
    owner.goto("/auth/passkeys")
    db.session.execute(update(UserSession).values(authenticated_at=None))
    db.session.commit()
    owner.get_by_role("button", name="Add a passkey").click()
    sees(owner, "Is it you?")
    use(owner)
    sees(owner, "Add another one")


@pytest.mark.extended
def test_it_is_the_second_step_after_a_password(owner):
    sign_out(owner)
    sign_in(owner)
    sees(owner, "One more step")
    use(owner)
    sees(owner, "Hello, ada!")


@pytest.mark.extended
def test_the_same_device_is_not_added_twice(owner, device):
    add(owner)
    sees(owner, "This device or password manager has a passkey of your account already.")
    assert len(device.keys()) == 1


@pytest.mark.extended
def test_one_is_renamed_and_removed(owner, device):
    owner.goto("/auth/passkeys")
    owner.get_by_role("link", name="Rename or remove My laptop").click()
    fill_in(owner, "Rename it", {"Name": "Old laptop"})
    sees(owner, "It is called Old laptop now.")
    owner.get_by_role("link", name="Rename or remove Old laptop").click()
    owner.get_by_role("button", name="Remove this passkey").click()
    sees(owner, "Old laptop lets nobody in any more.")
    sign_out(owner)
    owner.goto("/auth/login")
    use(owner)
    sees(owner, "That passkey did not log you in.")


@pytest.mark.extended
def test_a_copy_of_it_gets_in_once_at_most_and_the_owner_is_told(owner, device, elsewhere):
    elsewhere.take(device.keys()[0])
    elsewhere.page.goto("/auth/login")
    use(elsewhere.page)
    sees(elsewhere.page, "Hello, ada!")
    sign_out(owner)
    owner.goto("/auth/login")
    use(owner)
    sees(owner, "That passkey did not log you in.")
    letter("Look at my passkeys")(owner)
    sees(owner, "may have been copied")


@pytest.mark.extended
def test_without_finger_face_or_pin_it_is_not_used(owner, device):
    sign_out(owner)
    device.tell("setUserVerified", isUserVerified=False)
    owner.goto("/auth/login")
    use(owner)
    sees(owner, "No passkey was used: it was cancelled, took too long, or there is none here.")
    device.tell("setUserVerified", isUserVerified=True)
    use(owner)
    sees(owner, "Hello, ada!")


@pytest.mark.extended
def test_cancelled_it_can_be_tried_again(owner):
    """As by whoever closes the browser's own window."""
    sign_out(owner)
    owner.goto("/auth/login")
    owner.evaluate(
        "() => { navigator.credentials.get = async () => { throw new DOMException('', 'NotAllowedError') } }"
    )
    use(owner)
    sees(owner, "it was cancelled")
    owner.evaluate("delete navigator.credentials.get")
    use(owner)
    sees(owner, "Hello, ada!")


@pytest.mark.extended
def test_at_the_second_step_that_of_another_account_does_not_count(owner, device, elsewhere, bob):
    bob.confirmed = True
    db.session.commit()
    sign_in(elsewhere.page, "bob")
    add(elsewhere.page)
    sees(elsewhere.page, "Your recovery codes")
    sign_out(elsewhere.page)
    sign_in(elsewhere.page, "ada")
    sees(elsewhere.page, "One more step")
    use(elsewhere.page)
    sees(elsewhere.page, "No passkey was used")


@pytest.mark.extended
def test_one_that_was_made_for_another_address_of_the_site_is_refused(app, owner):
    sign_out(owner)
    owner.goto("/auth/login")
    here = app.config["PUBLIC_URL"]
    try:  # the page is another origin's, as of a program on another port
        app.config["PUBLIC_URL"] = "http://localhost:1"
        app.before_request_funcs[None] = [
            check for check in app.before_request_funcs[None] if check.__name__ != "check_host_and_scheme"
        ]
        use(owner)
        sees(owner, "That passkey did not log you in.")
    finally:
        app.config["PUBLIC_URL"] = here


@pytest.mark.extended
def test_a_browser_that_knows_no_passkeys_says_so(ada, page):
    page.add_init_script("delete window.PublicKeyCredential")
    page.goto("/auth/login")
    use(page)
    sees(page, "This browser can't use passkeys.")


@pytest.mark.extended
def test_a_site_that_can_not_be_reached_is_said_so(ada, page, device):
    page.goto("/auth/login")
    page.context.set_offline(True)
    use(page)
    sees(page, "We could not be reached just now.")


@pytest.mark.extended
def test_a_page_that_was_open_too_long_says_so(owner):
    sign_out(owner)
    owner.goto("/auth/login")
    owner.context.clear_cookies()
    use(owner)
    sees(owner, "This page was open too long.")


@pytest.mark.extended
@pytest.mark.parametrize("context_options", [{"java_script_enabled": False}])
def test_without_scripts_the_pages_say_what_it_needs(ada, page):
    page.goto("/auth/login")
    assert page.locator("noscript > p").is_visible()
    assert not page.get_by_role("button", name=re.compile("passkey")).is_visible()
    sign_in(page)
    page.goto("/auth/passkeys")
    assert page.locator("noscript > p").is_visible()
    assert not page.get_by_role("button", name=re.compile("passkey")).is_visible()

"""The flows of an account, each by keyboard alone and without scripts."""

import re
from datetime import UTC, datetime
from zipfile import ZipFile

import pyotp
import pytest
from sqlalchemy import update
from support.browsing import NOT_THE_DEVELOPERS, open_development_pages
from support.clients import PASSWORD
from support.pwned import Range

from app.extensions import db
from app.models import UserSession

NEW = "brighter lanterns than before"


@pytest.fixture
def context_options():
    return {"java_script_enabled": False}


class Person:
    """Somebody at a browser who has a keyboard, and a mailbox in another window."""

    def __init__(self, page):
        self.page = page

    def reach(self, place):
        """Press Tab until the focus is on a field, link or button."""
        for _ in range(40):
            if place.evaluate("element => element === document.activeElement"):
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"the keyboard does not reach {place}")

    def write(self, **fields):
        """Fill in fields, named by their labels."""
        for label, text in fields.items():
            self.reach(self.page.get_by_label(label.replace("_", " "), exact=True))
            self.page.keyboard.press("Control+A")
            self.page.keyboard.type(text)

    def enter(self):
        with self.page.expect_navigation():
            self.page.keyboard.press("Enter")

    def press(self, button):
        self.reach(self.page.locator("main").get_by_role("button", name=button, exact=True))
        self.enter()

    def follow(self, link):
        self.reach(self.page.locator("main").get_by_role("link", name=link, exact=True))
        self.enter()

    def choose(self, item):
        """Take an item of the menu."""
        self.reach(self.page.locator("header summary"))
        self.page.keyboard.press("Enter")
        self.reach(self.page.locator("header").get_by_text(item, exact=True))
        self.enter()

    def sees(self, text):
        self.page.get_by_text(text).first.wait_for()

    def log_in(self, name, password=PASSWORD):
        self.page.goto("/auth/login")
        self.write(Email_or_username=name, Password=password)
        self.press("Log in")

    def email(self, subject, newer_than=0):
        """The text of the newest email with this subject, in one line."""
        window = self.page.context.new_page()
        for _ in range(100):
            window.goto("/dev/mailbox")
            found = window.get_by_role("link", name=subject)
            if found.count() > newer_than:
                found.first.click()
                text = " ".join(window.locator(".email-text").inner_text().split())
                window.close()
                return text
            window.wait_for_timeout(100)
        raise AssertionError(f"no email about {subject}")

    def open_link(self, subject, newer_than=0):
        """Open the first link of an email."""
        self.page.goto(re.search(r"http\S+", self.email(subject, newer_than))[0])


@pytest.fixture
def person(page):
    return Person(page)


@pytest.fixture
def another(browser, live, context_options, page):
    """The same person, or a thief, at another browser."""
    context = browser.new_context(base_url=live, **context_options)
    open_development_pages(context, live)
    context.set_default_timeout(60_000)
    yield Person(context.new_page())
    context.close()


def test_a_password_is_changed(ada, person, another):
    another.log_in("ada")
    person.log_in("ada")
    person.choose("Settings")
    person.follow("Change password")
    person.write(Current_password=PASSWORD, New_password=NEW, Password_again=NEW)
    person.press("Change password")
    person.sees("Your password was changed.")
    another.page.goto("/account")
    another.sees("your password was changed on another device")
    another.write(Email_or_username="ada", Password=NEW)
    another.press("Log in")
    another.sees("Member since")
    assert "This wasn't me:" in person.email("Your Flasky password was changed")


@pytest.mark.extended
def test_a_username_is_changed(ada, person):
    person.log_in("ada")
    person.choose("Settings")
    person.follow("Change username")
    person.write(Username="countess")
    person.press("Change username")
    person.sees("Your username was changed.")


def test_a_forgotten_password_is_reset(ada, person):
    person.page.goto("/auth/login")
    person.write(Email_or_username="ada@example.com")
    person.press("Forgot password?")
    person.press("Email me a reset link")
    person.sees("We sent an email to ada@example.com")
    person.open_link("Reset your Flasky password")
    person.write(New_password=NEW, Password_again=NEW)
    person.press("Set new password")
    person.sees("Your password was changed.")
    person.log_in("ada", NEW)
    person.sees("Hello, ada!")


@pytest.mark.extended
def test_a_password_from_a_data_breach_is_replaced(app, ada, person):
    service = Range(PASSWORD)
    app.config["PWNED_PASSWORDS_URL"] = service.url
    person.log_in("ada")
    person.sees("This password has appeared in a data breach elsewhere. Check your email")
    person.open_link("Choose a new Flasky password")
    person.write(New_password=PASSWORD, Password_again=PASSWORD)
    person.press("Set new password")
    person.sees("This password has appeared in a data breach elsewhere. Choose a different one.")
    person.write(New_password=NEW, Password_again=NEW)
    person.press("Set new password")
    person.sees("Your password was changed.")
    person.write(Password=NEW)
    person.press("Log in")
    person.sees("Hello, ada!")
    service.stop()


@pytest.mark.extended
def test_an_email_address_is_changed_and_a_thief_is_logged_out(ada, person, another):
    another.log_in("ada")
    another.choose("Settings")
    another.follow("Change email address")
    another.write(New_email_address="thief@example.com", Password=PASSWORD)
    another.press("Change email address")
    another.sees("We sent an email to thief@example.com")
    another.open_link("Confirm your new email address")
    another.sees("Your email address was changed.")
    person.open_link("Your Flasky email address was changed")
    person.sees("Take back your account")
    person.sees("Your email address will be ada@example.com.")
    person.write(New_password=NEW, Password_again=NEW)
    person.press("Take back my account")
    person.sees("You have your account back")
    another.page.goto("/account")
    another.sees("the account was secured with the link in a security email")
    person.log_in("ada@example.com", NEW)
    person.sees("Hello, ada!")


def test_a_mistyped_address_is_corrected_and_confirmed_by_its_code(app, person):
    person.page.goto("/auth/register")
    person.write(Email_address="eve@gmial.com", Username="eve", Password=PASSWORD, Password_again=PASSWORD)
    person.press("Create account")
    person.sees("Did you mean eve@gmail.com?")
    person.press("Yes, use that address")
    person.sees("We sent a link and a code to eve@gmail.com")
    person.reach(person.page.locator("main summary"))
    person.page.keyboard.press("Enter")
    person.write(Your_email_address="eve@example.com")
    person.press("Send the email to this address")
    person.sees("We sent a link and a code to eve@example.com")
    code = re.search(r"\d{4} \d{4}", person.email("Confirm your email address", newer_than=2))[0]
    person.write(Code_from_the_email=code)
    person.press("Confirm my email address")
    person.sees("Your email address is confirmed.")


def test_a_magic_link_logs_in_the_browser_that_asked_for_it(ada, person):
    person.page.goto("/account")
    person.write(Email_or_username="ada@example.com")
    person.press("Email me a login link")
    person.sees("We sent a login link and a code to ada@example.com")
    person.open_link("Log in to Flasky (code")
    person.sees("Member since")


@pytest.mark.extended
def test_a_magic_link_on_a_phone_logs_in_the_desktop_by_code(ada, person, another):
    person.page.goto("/auth/magic-link")
    person.write(Email_address="ada@example.com")
    person.press("Email me a login link")
    another.open_link("Log in to Flasky (code")
    another.sees("Log in as ada?")
    email = another.email("Log in to Flasky (code")
    person.write(Code_from_the_email=re.search(r"\d{4} \d{4}", email)[0])
    person.press("Log in")
    person.sees("Hello, ada!")
    another.press("Log in here")
    another.sees("This link has expired or was already used")
    another.follow("Email me a login link")
    another.write(Email_address="ada@example.com")
    another.press("Email me a login link")
    another.page.context.clear_cookies(name=NOT_THE_DEVELOPERS)
    another.open_link("Log in to Flasky (code", newer_than=1)
    another.press("Log in here")
    another.sees("Hello, ada!")


@pytest.mark.extended
def test_the_owner_of_a_mailbox_takes_over_what_another_registered_with_it(bob, person, another):
    another.log_in("bob")
    person.page.goto("/auth/magic-link")
    person.write(Email_address="bob@example.com")
    person.press("Email me a login link")
    person.open_link("Log in to Flasky (code")
    person.sees("What was set up before")
    person.press("Email me a link")
    another.page.goto("/")
    another.sees("the owner of the email address took over the account")
    person.open_link("Reset your Flasky password")
    person.write(New_password=NEW, Password_again=NEW)
    person.press("Set new password")
    person.log_in("bob", NEW)
    person.sees("Hello, bob!")


@pytest.mark.extended
@pytest.mark.parametrize("settings", [{"PREVENT_ENUMERATION": True}])
def test_with_enumeration_prevented_the_link_asks_for_the_password(app, ada, person):
    for address, name in [("eve@example.com", "eve"), ("ada@example.com", "eve2")]:
        person.page.goto("/auth/register")
        person.write(Email_address=address, Username=name, Password=PASSWORD, Password_again=PASSWORD)
        person.press("Create account")
        person.sees(f"We sent an email to {address}")
    assert "it already belongs to your account" in person.email("You already have a Flasky account")
    person.open_link("Confirm your email address")
    person.write(The_password_you_chose=PASSWORD)
    person.press("Confirm my email address")
    person.sees("Your email address is confirmed.")


def test_sso_creates_an_account(person):
    """The story of older tutorials: choose a provider, stay logged in, go where one was going, have a name."""
    person.page.goto("/auth/history")
    person.reach(person.page.get_by_label("Keep me logged in on this device"))
    person.page.keyboard.press("Space")
    person.reach(person.page.get_by_role("button", name="Continue with Mock provider"))
    person.enter()
    person.press("Vera, whose address was verified")
    person.sees("Your username is vera")
    assert person.page.url.endswith("/auth/history")
    person.sees("Account created")
    cookie = next(cookie for cookie in person.page.context.cookies() if cookie["name"].startswith("flasky-session"))
    assert cookie["expires"] > 0, "it stays when the browser is closed"
    person.choose("Log out")
    person.page.goto("/auth/login")
    person.reach(person.page.get_by_role("button", name="Continue with Mock provider"))
    person.enter()
    person.press("Vera again, with another address")
    person.sees("Hello, vera!")


@pytest.mark.extended
def test_an_sso_identity_is_linked_and_unlinked(ada, person):
    person.page.goto("/auth/sso/mock")
    person.press("Continue with Mock provider")
    person.write(**{"Another user, such as one with an account here": "ada@example.com"})
    person.press("Log in with this address")
    person.sees("You already have an account")
    person.follow("Log in with a password")
    person.write(Email_or_username="ada", Password=PASSWORD)
    person.press("Log in")
    person.press("Connect Mock provider")
    person.sees("Mock provider is now connected")
    assert "This wasn't me:" in person.email("Mock provider was connected to your Flasky account")
    person.choose("Settings")
    person.follow("Manage connected accounts")
    person.follow("Disconnect Mock provider ada@example.com")
    person.press("Disconnect")
    person.sees("Mock provider was disconnected.")


@pytest.mark.extended
def test_a_refusal_at_the_provider_is_reported(person):
    person.page.goto("/auth/sso/mock")
    person.press("Continue with Mock provider")
    person.press("Decline")
    person.sees("You didn't finish logging in with Mock provider.")


@pytest.mark.extended
def test_a_device_is_logged_out_from_another(ada, person, another):
    another.log_in("ada")
    person.log_in("ada")
    assert "This wasn't me:" in person.email("New login to your Flasky account")
    person.choose("Settings")
    person.follow("View devices")
    person.press("Log out all other devices")
    person.sees("1 other device was logged out.")
    another.page.goto("/account")
    another.sees("you logged out this device from another one")
    person.follow("Security history")
    person.sees("Logged out all other devices")


@pytest.mark.extended
def test_a_form_waits_for_reauthentication(ada, person):
    person.log_in("ada")
    person.choose("Settings")
    person.follow("Change username")
    db.session.execute(update(UserSession).values(authenticated_at=None))
    db.session.commit()
    person.write(Username="countess")
    person.press("Change username")
    person.sees("Confirm it's you")
    person.write(Password=PASSWORD)
    person.press("Continue")
    person.press("Send again")
    person.sees("Your username was changed.")


@pytest.mark.extended
def test_data_is_exported_and_account_deletion_cancelled(ada, person):
    person.log_in("ada")
    person.choose("Settings")
    person.follow("Download your data")
    person.reach(person.page.get_by_role("button", name="Download your data"))
    with person.page.expect_download() as download:
        person.page.keyboard.press("Enter")
    with ZipFile(download.value.path()) as archive:
        assert b"ada@example.com" in archive.read("users.json")
    person.choose("Settings")
    person.follow("Delete account")
    person.write(**{"Enter_your_email_address_to_confirm": "ada@example.com"})
    person.press("Delete account")
    person.sees("Your account will be deleted on")
    assert "Log in to keep my account:" in person.email("will be deleted")
    person.log_in("ada")
    person.sees("Keep your account?")
    person.press("Keep my account")
    person.sees("Your account won't be deleted.")


@pytest.mark.extended
def test_an_authenticator_app_is_set_up_used_and_removed(ada, person, another):
    person.log_in("ada")
    person.choose("Settings")
    person.follow("Set up two-factor authentication")
    person.follow("Set up an authenticator app")
    app = pyotp.TOTP(person.page.locator(".key").inner_text().replace(" ", ""))
    person.write(Code_from_your_authenticator_app=app.now())
    person.press("Turn on two-factor authentication")
    person.sees("Your authenticator app is set up. Two-factor authentication is on.")
    codes = person.page.locator(".codes").inner_text().split()
    person.reach(person.page.get_by_role("link", name="Download"))
    with person.page.expect_download() as download:
        person.page.keyboard.press("Enter")
    assert download.value.suggested_filename == "recovery-codes.txt"
    assert codes[9] in download.value.path().read_text()
    person.follow("I've saved my recovery codes")
    person.sees("10 codes left")
    assert "This wasn't me:" in person.email("Two-factor authentication was turned on")

    another.log_in("ada")
    another.sees("Enter your code")
    wrong = next(code for code in ("000000", "111111", "222222", "333333") if not app.verify(code, valid_window=2))
    another.write(Code_from_your_authenticator_app=wrong)
    another.press("Log in")
    another.sees("This code is incorrect or was already used.")
    another.reach(another.page.get_by_label("Trust this device for 30 days"))
    another.page.keyboard.press("Space")
    another.write(Code_from_your_authenticator_app=app.at(datetime.now(UTC), counter_offset=1))
    another.press("Log in")
    another.sees("Hello, ada!")
    another.choose("Log out")
    another.log_in("ada")
    another.sees("Hello, ada!")
    assert "entered a wrong two-factor code" in another.email("A login to your Flasky account was blocked")

    person.choose("Log out")
    person.log_in("ada")
    person.reach(person.page.locator("main summary"))
    person.page.keyboard.press("Enter")
    person.write(Recovery_code=codes[0].lower())
    person.press("Log in with a recovery code")
    person.choose("Settings")
    person.sees("9 codes left")
    person.follow("View devices")
    person.reach(person.page.get_by_role("button", name="Stop trusting"))
    person.enter()
    person.sees("The device is no longer trusted")
    person.choose("Settings")
    person.follow("Manage two-factor authentication")
    person.follow("Remove app")
    person.sees("Confirm it's you")
    person.press("Use a recovery code instead")
    person.write(Password=PASSWORD, Recovery_code=codes[1])
    person.press("Continue")
    person.sees("Remove the authenticator app?")
    person.press("Remove app")
    person.sees("The authenticator app was removed. Two-factor authentication is off.")
    person.choose("Log out")
    person.log_in("ada")
    person.sees("Hello, ada!")


MAGIC_LINK_ONLY, SSO_ONLY = {"LOGIN_METHODS": ("magic_link",)}, {"LOGIN_METHODS": ("none",)}


@pytest.mark.extended
@pytest.mark.parametrize("settings", [MAGIC_LINK_ONLY])
def test_an_account_is_created_and_used_with_emailed_links_alone(person, live):
    person.page.goto("/auth/register")
    person.write(Email_address="eve@example.com", Username="eve")
    person.press("Create account")
    person.open_link("Confirm your email address")
    person.sees("Your email address is confirmed.")
    person.choose("Log out")
    person.page.goto("/auth/login")
    person.write(Email_address="eve@example.com")
    person.enter()
    person.open_link("Log in to Flasky")
    person.sees("Hello, eve")
    person.page.goto("/auth/login-methods")
    person.sees("Emailed login links")


@pytest.mark.parametrize("settings", [SSO_ONLY])
def test_an_account_is_created_and_used_at_a_provider_alone(person, live):
    for _ in range(2):
        person.page.goto("/auth/login")
        person.page.get_by_role("button", name="Continue with Mock provider").click()
        person.page.get_by_role("button", name="Vera, whose").click()
        person.sees("Hello, vera")
        person.choose("Log out")

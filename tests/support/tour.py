"""Every page and every state of it that a person can see, and the way there: a new page gets its line here."""

import re
from datetime import UTC, datetime

import pyotp

from support.browsing import NOT_THE_DEVELOPERS
from support.clients import PASSWORD
from support.devices import Device
from support.waiting import until

KNOWN = {"Email address": "ada@example.com"}
STRANGER, ADA, BOB, LONG = None, "ada", "bob", "l" * 64


def submit_wrong_registration(page):
    page.goto("/auth/register")
    page.locator("form").last.evaluate("form => form.noValidate = true")
    page.get_by_label("Email address").fill("x")
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password", exact=True).fill("password")
    page.get_by_role("button", name="Create account", exact=True).click()
    page.locator("#password-help").wait_for()


def submit_wrong_login(page):
    page.goto("/auth/login")
    page.get_by_label("Email or username").fill("nobody")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Log in", exact=True).click()
    page.get_by_text("Incorrect username or password.").wait_for()


def as_an_old_browser(route):
    headers = {name: value for name, value in route.request.all_headers().items() if not name.startswith("sec-fetch")}
    route.fulfill(response=route.fetch(headers=headers))


def submit_a_stale_form(page):
    """As an old browser does, which does not say where a form comes from."""
    page.route("**/auth/register", as_an_old_browser, times=2)
    page.goto("/auth/register")
    page.locator("[name=csrf_token]").last.evaluate("input => input.value = 'old'")
    page.get_by_label("Email address").fill("eve@example.com")
    page.get_by_label("Username").fill("eve")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Create account", exact=True).click()
    page.get_by_text("This page was open for too long").wait_for()


def open_the_menu(page):
    page.goto("/")
    page.locator("header summary").click()


def open_the_email(page):
    page.goto("/dev/mailbox")
    page.locator("main li a").first.click()
    page.frame_locator("iframe").get_by_role("link").first.wait_for()


NOBODY = {"Email or username": "nobody", "Password": "wrong"}
LOGIN = {"Email or username": "ada", "Password": PASSWORD}


def submit(path, button, fields=None):
    """A way: fill in the form of a page and send it, right or wrong."""

    def way(page):
        page.goto(path)
        fill_in(page, button, fields or {})

    return way


def fill_in(page, button, fields):
    """Fill in a form, and press its button. Without one, the last digit of a code sends the form."""
    for label, value in fields.items():
        page.get_by_label(label, exact=True).fill(value)
    if not button:
        return
    button = page.locator("main").get_by_role("button", name=button, exact=True)
    button.evaluate("button => button.form.noValidate = true")
    button.click()
    page.wait_for_load_state()


class Address:
    """A way: to a path, after other ways."""

    def __init__(self, path, *before):
        self.path, self.before = path, before

    def __call__(self, page):
        for way in self.before:
            way(page)
        page.goto(self.path)


address = Address


def after(*ways):
    """A way: one after the other."""
    *before, last = ways
    if isinstance(last, Address):
        return Address(last.path, *before, *last.before)

    def way(page):
        for each in ways:
            each(page)

    return way


def follow(link, to=""):
    """A way: open the link in the newest email that has it, and went to this address."""

    def way(page):
        email(link, to)(page)
        page.frame_locator("iframe").get_by_role("link", name=link).click()
        page.wait_for_url(lambda url: "/dev/" not in url)

    return way


def email(link, to=""):
    """A way: look at the newest email that has this link, and went to this address."""

    def way(page):
        for _ in range(200):
            page.goto("/dev/mailbox")
            for address in [a.get_attribute("href") for a in page.locator("main li a").all()]:
                page.goto(address)
                is_to = to in page.locator("main").inner_text()
                if is_to and page.frame_locator("iframe").get_by_role("link", name=link).count():
                    return
            page.wait_for_timeout(100)
        raise AssertionError(f"no email with {link}")

    return way


def forget(page):
    page.context.clear_cookies(name=NOT_THE_DEVELOPERS)


def prevent_enumeration(page):
    page.goto("/hide")


def let_time_pass(page):
    page.request.get("/age")


def let_years_pass(page):
    page.request.get("/crowd")


def administer(page):
    page.request.get("/administer")


def administer_for_a_year(page):
    administer(page)
    assert page.request.get("/year").ok


def open_numbers(page):
    page.get_by_text("The numbers as a table").click()


def invite(page):
    administer(page)
    submit("/admin/invitations", "Send invitation", {"Email address": "eve@example.org"})(page)


def open_all_details(page):
    page.goto("/auth/history")
    page.evaluate("for (const details of document.querySelectorAll('main details')) details.open = true")


def confirm_addresses(page):
    page.request.get("/confirmed")


def bounce_addresses(page):
    page.request.get("/bounced")


def ask_for_people(page):
    page.goto("/captcha")


def register_with_altcha(page):
    page.goto("/altcha")
    page.goto("/auth/register")
    page.get_by_label("Username").focus()
    page.locator("altcha-widget [data-state=verified]").wait_for()


def fail_with_altcha(page):
    page.goto("/altcha")
    page.route("**/auth/captcha", lambda route: route.abort())
    submit_wrong_registration(page)
    page.get_by_label("Username").focus()
    page.get_by_text("That didn't work. Check the box").wait_for()


def correct_wrongly(page):
    page.goto("/auth/unconfirmed")
    page.get_by_text("Wrong address? Change it").click()
    fill_in(page, "Send the email to this address", {"Your email address": "ada@example.com"})


def type_the_address(page):
    fill_in(page, "Delete account", {"Enter your email address to confirm": "ada@example.com"})


def log_in_again(page):
    page.goto("/auth/login")
    fill_in(page, "Log in", LOGIN)
    page.get_by_role("heading", name="Keep your account?").wait_for()


WRONG_PASSWORDS = {"New password": "password"}


def choose_wrongly(page):
    fill_in(page, "Set new password", WRONG_PASSWORDS)


def take_back_wrongly(page):
    fill_in(page, "Take back my account", WRONG_PASSWORDS)
    page.get_by_role("heading", name="Choose a new password").wait_for()


def type_a_wrong_code(page):
    fill_in(page, "Log in", {"Code from the email": "1234 567"})


def log_in_elsewhere(who, then, email=""):
    """A way: by the mock provider, as one of its people or as somebody with an address, to a page that has a word."""

    def way(page):
        page.goto("/auth/login")
        page.get_by_role("button", name="Continue with Mock provider").click()
        if email:
            page.get_by_label("Another user").fill(email)
        page.get_by_role("button", name=who).click()
        page.get_by_text(then).first.wait_for()

    return way


def wait_for_the_issuer(page):
    page.get_by_role("heading", name="Mock provider").wait_for()


def log_in_where_asked(page):
    page.get_by_role("link", name="Log in with a password").click()
    fill_in(page, "Log in", LOGIN)
    page.get_by_role("button", name="Connect Mock provider").wait_for()


def link_elsewhere(page):
    page.goto("/auth/connections")
    page.get_by_role("button", name="Connect Mock provider").click()
    page.get_by_role("button", name="Vera, whose").click()
    page.get_by_text("vera@example.org").wait_for()


def follow_disconnect(page):
    page.get_by_role("link", name="Disconnect Mock provider").click()
    page.get_by_role("heading", name="Disconnect Mock provider?").wait_for()


as_somebody_known = log_in_elsewhere("Log in with this address", "is already registered", "ada@example.com")


def set_up(page):
    page.goto("/auth/two-factor/set-up")
    page.app = pyotp.TOTP(page.locator(".key").inner_text().replace(" ", ""))
    fill_in(page, None, {"Code from your authenticator app": page.app.now()})
    page.get_by_role("heading", name="Save your recovery codes").wait_for()


def reauthenticate_by_code(page):
    """Right after set_up(), on whose page the recovery codes are; it leads to the page where new ones are made."""
    code = page.locator(".codes").inner_text().split()[0]
    reauthenticate_without_the_phone(page)
    fill_in(page, "Continue", {"Password": PASSWORD, "Recovery code": code})
    page.get_by_role("button", name="Get new recovery codes").wait_for()


def renew_codes(page):
    press(page, "Get new recovery codes")
    page.get_by_text("Your old recovery codes no longer work.").wait_for()


def reauthenticate_without_the_phone(page):
    page.goto("/auth/recovery-codes")
    press(page, "Use a recovery code instead")
    page.get_by_label("Recovery code").wait_for()


def ask_for_a_reauthentication_code(page):
    page.goto("/auth/devices")
    press(page, "Email me a code")
    page.get_by_label("Code from the email").wait_for()


def reauthenticate_by_passkey(page):
    """To add another passkey."""
    page.goto("/auth/passkeys/add")
    press(page, "Use a passkey")
    page.get_by_role("button", name="Add a passkey").wait_for()


def add_a_passkey(page):
    page.device = Device(page)
    page.goto("/auth/passkeys")
    press(page, "Add a passkey")
    page.get_by_text("You can now log in with it.").wait_for()


def require_it(page):
    page.goto("/auth/two-factor")
    page.get_by_role("link", name="Require a passkey", exact=True).click()
    press(page, "Require a passkey")
    page.get_by_role("heading", name="Save your recovery codes").wait_for()


def use_it_and_set_up(page):
    page.goto("/auth/two-factor/set-up")
    press(page, "Use a passkey")
    key = page.locator(".key").inner_text().replace(" ", "")
    fill_in(page, None, {"Code from your authenticator app": pyotp.TOTP(key).now()})
    page.get_by_text("Your authenticator app is set up.").wait_for()


def decline_the_passkey(page):
    page.goto("/auth/devices")
    page.get_by_text("Use your password instead").click()


def add_another_passkey(page):
    """On another device."""
    reauthenticate_by_passkey(page)
    page.device.tell("removeVirtualAuthenticator")
    add_a_passkey(page)


def press(page, button):
    page.locator("main").get_by_role("button", name=button, exact=True).click()


def add_it_again(page):
    reauthenticate_by_passkey(page)
    press(page, "Add a passkey")
    page.get_by_text("already").wait_for()


def open_the_passkey(page):
    page.goto("/auth/passkeys")
    page.get_by_role("link", name="Rename or remove").click()


def rename_wrongly(page):
    fill_in(page, "Rename passkey", {"Name": ""})


def remove_the_password(page):
    page.goto("/auth/remove-password")
    press(page, "Use a passkey")
    press(page, "Remove password")
    page.get_by_text("Your password was removed.").wait_for()


def do_the_first_step(page):
    page.goto("/auth/login")
    fill_in(page, "Log in", LOGIN)
    page.get_by_role("heading", name=re.compile("^(Enter your code|Use your passkey)$")).wait_for()


def log_in_on_a_new_device(page):
    """On the first one before: it is not asked for a code."""
    page.goto("/verify-devices")
    go(page, ADA, forget)
    page.goto("/auth/login")
    fill_in(page, "Log in", LOGIN)
    page.get_by_role("heading", name="Check your email").wait_for()


def enter_a_wrong_device_code(page):
    fill_in(page, "Log in", {"Code from the email": "1234 567"})


def ask_for_too_many_device_codes(page):
    log_in_on_a_new_device(page)
    for heading in [*["Check your email"] * 4, "Too many emails"]:
        forget(page)
        page.goto("/auth/login")
        fill_in(page, "Log in", LOGIN)
        page.get_by_role("heading", name=heading).wait_for()


def type_a_wrong_recovery_code(page):
    page.get_by_text("Use a recovery code").click()
    fill_in(page, "Log in with a recovery code", {"Recovery code": "ABCD"})


def trust(page):
    forget(page)
    do_the_first_step(page)
    page.get_by_label("Trust this device").check()
    later = page.app.at(datetime.now(UTC), counter_offset=1)  # the code that set it up is used
    fill_in(page, None, {"Code from your authenticator app": later})
    page.locator("header summary").wait_for()


def use_none(page):
    Device(page)
    page.goto("/auth/login")
    press(page, "Log in with a passkey")
    page.get_by_text("No passkey was used").wait_for()


def about_to_remove_it(page):
    open_the_passkey(page)
    page.get_by_role("link", name="Remove passkey").click()
    press(page, "Use a passkey")
    page.get_by_role("heading", name=re.compile("^Remove ")).wait_for()


def remove_and_use(page):
    """On a device whose browser does not remove it, too."""
    [key] = page.device.keys()
    about_to_remove_it(page)
    press(page, "Remove passkey")
    page.get_by_text("was removed").wait_for()
    until(lambda: not page.device.keys())  # this one does, and is given it back
    forget(page)
    page.goto("/auth/login")
    page.device.take(key)
    press(page, "Log in with a passkey")
    page.get_by_text("wasn't accepted").wait_for()


def log_out(page):
    page.goto("/auth/logout")
    press(page, "Log out")
    page.get_by_text("You have been logged out.").wait_for()


def log_in_where_known(page):
    Device(page)
    page.goto("/auth/login")
    fill_in(page, "Log in", LOGIN)
    page.get_by_role("heading", name="Log in faster next time").wait_for()


def log_out_after_a_link(page):
    log_out(page)
    ask_for_link(page)
    follow("Log in")(page)
    page.wait_for_url(lambda url: "/auth/magic-link/" not in url)
    log_out(page)
    page.goto("/auth/login")
    page.get_by_text("Last used").wait_for()


def type_a_short_password(page):
    page.goto("/auth/register")
    page.get_by_label("Password", exact=True).press_sequentially("fog")
    page.get_by_text("Too short.").wait_for()


ask_for_reset = submit("/auth/reset", "Email me a reset link", {"Email address": "ada@example.com"})
ask_for_link = submit("/auth/magic-link", "Email me a login link", {"Email address": "ada@example.com"})
prove_email_ownership = after(
    submit("/auth/magic-link", "Email me a login link", {"Email address": "bob@example.com"}), follow("Log in")
)
change_the_address = submit(
    "/auth/change-email", "Change email address", {"New email address": "lovelace@example.com", "Password": PASSWORD}
)
REGISTRATION = {
    "Email address": "eve@gmial.com",
    "Username": "eve",
    "Password": PASSWORD,
}
register = submit("/auth/register", "Create account", REGISTRATION)
confirm = follow("Confirm email address", to=REGISTRATION["Email address"])  # another such email is in the mailbox


# What it is called, who sees it, and how they come there.
TOUR = [
    ("home", STRANGER, address("/")),
    ("appearance", STRANGER, address("/appearance?next=/auth/login")),
    ("language and time zone", ADA, address("/language?next=/account")),
    ("login", STRANGER, address("/auth/login")),
    ("login, wrong", STRANGER, submit_wrong_login),
    ("login, last used", ADA, log_out_after_a_link),
    ("login, to forgot password", STRANGER, submit("/auth/login", "Forgot password?", LOGIN)),
    ("home, a passkey offered", ADA, after(log_out, log_in_where_known)),
    ("registration, a short password", STRANGER, type_a_short_password),
    ("login, too often", STRANGER, after(*[submit_wrong_login] * 5, submit("/auth/login", "Log in", NOBODY))),
    ("login, asked for", STRANGER, address("/account")),
    ("registration", STRANGER, address("/auth/register")),
    ("registration, wrong", STRANGER, submit_wrong_registration),
    ("registration, stale", STRANGER, submit_a_stale_form),
    ("unusable link", STRANGER, address("/auth/confirm/abc")),
    ("unusable link, unconfirmed", BOB, address("/auth/confirm/abc")),
    ("gate", BOB, address("/auth/unconfirmed")),
    ("mailbox", BOB, address("/dev/mailbox")),
    ("previews of emails", STRANGER, address("/dev/emails")),
    ("preview of an email", STRANGER, address("/dev/emails/password_changed?width=phone&scheme=dark")),
    ("mailbox, filtered to nothing", STRANGER, address("/dev/mailbox?address=nobody")),
    ("email", BOB, open_the_email),
    ("home, logged in", ADA, address("/")),
    ("menu", ADA, open_the_menu),
    ("account", ADA, address("/account")),
    ("password and login", ADA, address("/auth/login-methods")),
    ("log out", ADA, address("/auth/logout")),
    ("gate, did you mean", STRANGER, register),
    (
        "gate, wrong code",
        BOB,
        submit("/auth/unconfirmed", "Confirm my email address", {"Code from the email": "12 34"}),
    ),
    ("gate, wrong correction", BOB, correct_wrongly),
    ("reset asked for", STRANGER, address("/auth/reset")),
    ("reset asked for, wrong", STRANGER, submit("/auth/reset", "Email me a reset link", {"Email address": "ada@"})),
    ("email sent", STRANGER, submit("/auth/reset", "Email me a reset link", {"Email address": "ada@gmial.com"})),
    ("reset", STRANGER, after(ask_for_reset, follow("Choose a new password"))),
    ("reset, wrong", STRANGER, after(ask_for_reset, follow("Choose a new password"), choose_wrongly)),
    ("change password", ADA, address("/auth/change-password")),
    ("change password, wrong", ADA, submit("/auth/change-password", "Change password", {"Current password": "x"})),
    ("no password", STRANGER, prove_email_ownership),
    ("change username", ADA, address("/auth/change-username")),
    ("change username, wrong", ADA, submit("/auth/change-username", "Change username", {"Username": "admin"})),
    ("change email", ADA, address("/auth/change-email")),
    (
        "change email, wrong",
        ADA,
        submit("/auth/change-email", "Change email address", {"New email address": "bob@example.com"}),
    ),
    ("change email by code", STRANGER, after(prove_email_ownership, address("/auth/change-email"))),
    (
        "change email by code, sent",
        STRANGER,
        after(prove_email_ownership, submit("/auth/change-email", "Email me a code")),
    ),
    ("address changed", ADA, after(change_the_address, follow("Confirm new email address"))),
    (
        "take it back, another address",
        ADA,
        after(change_the_address, follow("Confirm new email address"), follow("This wasn't me")),
    ),
    ("magic link", STRANGER, address("/auth/magic-link")),
    ("magic link, wrong", STRANGER, submit("/auth/magic-link", "Email me a login link")),
    ("magic link, sent", STRANGER, ask_for_link),
    ("magic link, wrong code", STRANGER, after(ask_for_link, type_a_wrong_code)),
    ("magic link, its email", STRANGER, after(ask_for_link, email("Log in"))),
    ("magic link elsewhere", STRANGER, after(ask_for_link, forget, follow("Log in"))),
    ("confirmation with hidden accounts", STRANGER, after(prevent_enumeration, register, confirm)),
    ("devices", ADA, address("/auth/devices")),
    ("history", ADA, address("/auth/history")),
    ("history, no warnings", ADA, address("/auth/history?show=warnings")),
    ("devices, many", ADA, after(let_years_pass, address("/auth/devices"))),
    ("history, long", ADA, after(let_years_pass, open_all_details)),
    ("history, further", ADA, after(let_years_pass, address("/auth/history?page=2"))),
    ("administration", ADA, after(administer_for_a_year, address("/admin/"))),
    ("administration, numbers", ADA, after(administer_for_a_year, address("/admin/?range=24h"), open_numbers)),
    ("administration, users", ADA, after(administer_for_a_year, address("/admin/users"))),
    ("administration, no users", ADA, after(administer, address("/admin/users?text=nobody&only=deactivated"))),
    ("administration, user", ADA, after(administer_for_a_year, address("/admin/users/5"))),
    ("administration, new user", ADA, after(administer, address("/admin/users/3"))),
    ("administration, own account", ADA, after(administer, address("/admin/users/1"))),
    ("administration, no user", ADA, after(administer, address("/admin/users/99"))),
    ("administration, delete a user", ADA, after(administer, address("/admin/users/2/delete-now"))),
    (
        "administration, rename wrongly",
        ADA,
        after(administer, submit("/admin/users/2/rename", "Change username", {"New username": "ada"})),
    ),
    ("administration, emails", ADA, after(administer_for_a_year, address("/admin/emails"))),
    ("administration, no emails", ADA, after(administer, address("/admin/emails?state=failed&to=bob"))),
    ("administration, an email", ADA, after(administer_for_a_year, address("/admin/emails/3/drop?state=failed"))),
    ("administration, delivery", ADA, after(administer_for_a_year, address("/admin/emails/domains"))),
    ("administration, events", ADA, after(administer_for_a_year, address("/admin/events"))),
    ("administration, wrong filter", ADA, after(administer, address("/admin/events?user=nobody&ip=x"))),
    ("administration, invitations", ADA, after(administer_for_a_year, address("/admin/invitations"))),
    (
        "administration, invitation, wrong",
        ADA,
        after(administer, submit("/admin/invitations", "Send invitation", KNOWN)),
    ),
    ("administration, blocks", ADA, after(administer_for_a_year, address("/admin/blocks"))),
    ("administration, block, wrong", ADA, after(administer, submit("/admin/blocks", "Block", {"Reason": "spam"}))),
    ("invitation", ADA, after(invite, forget, follow("See the invitation"))),
    ("invitation of somebody else", ADA, after(invite, follow("See the invitation"))),
    ("reauthentication", ADA, after(let_time_pass, address("/auth/devices"))),
    ("reauthentication, wrong", ADA, after(let_time_pass, submit("/auth/devices", "Continue", {"Password": "x"}))),
    ("reauthentication, a form waits", ADA, after(address("/auth/delete"), let_time_pass, type_the_address)),
    ("reauthentication by code", STRANGER, after(prove_email_ownership, let_time_pass, address("/auth/devices"))),
    (
        "reauthentication by code, sent",
        STRANGER,
        after(prove_email_ownership, let_time_pass, ask_for_a_reauthentication_code),
    ),
    ("two-factor authentication, off", ADA, address("/auth/two-factor")),
    ("set up an app", ADA, address("/auth/two-factor/set-up")),
    (
        "set up an app, wrong",
        ADA,
        submit(
            "/auth/two-factor/set-up", "Turn on two-factor authentication", {"Code from your authenticator app": "12"}
        ),
    ),
    ("recovery codes, new", ADA, set_up),
    ("authenticator app", ADA, after(set_up, address("/auth/two-factor"))),
    ("proof of both factors", ADA, after(set_up, address("/auth/recovery-codes"))),
    ("proof of both factors, without the phone", ADA, after(set_up, reauthenticate_without_the_phone)),
    ("recovery codes", ADA, after(set_up, reauthenticate_by_code)),
    ("remove an app", ADA, after(set_up, reauthenticate_by_code, address("/auth/two-factor/off"))),
    ("account with two-factor authentication", ADA, after(set_up, address("/account"))),
    ("two-factor authentication", ADA, after(set_up, forget, do_the_first_step)),
    (
        "two-factor authentication, wrong",
        ADA,
        after(
            set_up,
            forget,
            do_the_first_step,
            lambda page: fill_in(page, "Log in", {"Code from your authenticator app": "1"}),
        ),
    ),
    (
        "two-factor authentication, wrong recovery code",
        ADA,
        after(set_up, forget, do_the_first_step, type_a_wrong_recovery_code),
    ),
    ("reauthentication with two-factor authentication", ADA, after(set_up, let_time_pass, address("/auth/devices"))),
    ("devices, trusted", ADA, after(set_up, trust, address("/auth/devices"))),
    ("take it back, two-factor", ADA, after(set_up, forget, follow("This wasn't me"))),
    (
        "take it back, earlier changes",
        ADA,
        after(set_up, reauthenticate_by_code, renew_codes, follow("This wasn't me")),
    ),
    ("take it back, wrong", ADA, after(set_up, forget, follow("This wasn't me"), take_back_wrongly)),
    ("passkeys, none", ADA, address("/auth/passkeys")),
    ("passkeys, the first", ADA, add_a_passkey),
    ("passkeys", ADA, after(add_a_passkey, require_it, add_another_passkey)),
    ("passkeys, another one", ADA, after(add_a_passkey, require_it, reauthenticate_by_passkey)),
    ("passkeys, wrong", ADA, after(add_a_passkey, require_it, add_it_again)),
    ("passkeys, no password", ADA, after(add_a_passkey, require_it, remove_the_password)),
    ("passkey", ADA, after(add_a_passkey, open_the_passkey)),
    ("passkey, wrong", ADA, after(add_a_passkey, open_the_passkey, rename_wrongly)),
    ("remove a passkey", ADA, after(add_a_passkey, require_it, about_to_remove_it)),
    ("take it back, a passkey", ADA, after(add_a_passkey, forget, follow("This wasn't me"))),
    ("passkey as two-factor authentication", ADA, after(add_a_passkey, require_it, forget, do_the_first_step)),
    ("two-factor authentication by both", ADA, after(add_a_passkey, set_up, forget, do_the_first_step)),
    ("two-factor authentication, both on", ADA, after(add_a_passkey, require_it, use_it_and_set_up)),
    ("reauthentication, the password instead", ADA, after(add_a_passkey, let_time_pass, decline_the_passkey)),
    ("two-factor authentication, a passkey offered", ADA, after(add_a_passkey, address("/auth/two-factor"))),
    ("two-factor authentication by passkey", ADA, after(add_a_passkey, require_it)),
    ("require a passkey", ADA, after(add_a_passkey, address("/auth/two-factor/require-passkey"))),
    ("login by passkey, none there", STRANGER, use_none),
    ("login by passkey, refused", ADA, after(add_a_passkey, require_it, remove_and_use)),
    ("reauthentication by passkey", ADA, after(add_a_passkey, let_time_pass, address("/auth/devices"))),
    ("account, passkey", ADA, after(add_a_passkey, address("/account"))),
    ("new device", STRANGER, log_in_on_a_new_device),
    ("new device, wrong code", STRANGER, after(log_in_on_a_new_device, enter_a_wrong_device_code)),
    ("new device, too many emails", STRANGER, ask_for_too_many_device_codes),
    ("export", ADA, address("/auth/export")),
    ("delete", ADA, address("/auth/delete")),
    (
        "delete, wrong",
        ADA,
        submit("/auth/delete", "Delete account", {"Enter your email address to confirm": "x@example.com"}),
    ),
    ("keep", ADA, after(address("/auth/delete"), type_the_address, log_in_again)),
    ("login, captcha", STRANGER, after(ask_for_people, submit("/auth/login", "Log in", LOGIN))),
    ("registration, captcha", STRANGER, after(ask_for_people, register)),
    ("registration, ALTCHA", STRANGER, register_with_altcha),
    ("registration, ALTCHA fails", STRANGER, fail_with_altcha),
    ("log in elsewhere", STRANGER, address("/auth/sso/mock")),
    ("mock provider", STRANGER, after(submit("/auth/sso/mock", "Continue with Mock provider"), wait_for_the_issuer)),
    ("elsewhere, no address", STRANGER, log_in_elsewhere("Nora", "give us a verified email address")),
    ("elsewhere, an address that is taken", STRANGER, as_somebody_known),
    ("elsewhere, to be linked", STRANGER, after(as_somebody_known, log_in_where_asked)),
    ("connected accounts, none", ADA, address("/auth/connections")),
    ("connected accounts", ADA, link_elsewhere),
    (
        "connected accounts, the only credential",
        STRANGER,
        after(log_in_elsewhere("Vera, whose", "Hello, vera"), address("/auth/connections")),
    ),
    ("account, connected", ADA, after(link_elsewhere, address("/account"))),
    ("gate, a long name", LONG, address("/auth/unconfirmed")),
    ("gate, emails came back", BOB, after(bounce_addresses, address("/auth/unconfirmed"))),
    ("account, emails came back", ADA, after(bounce_addresses, address("/account"))),
    ("menu, a long name", LONG, open_the_menu),
    ("log out, a long name", LONG, address("/auth/logout")),
    ("account, a long name", LONG, after(confirm_addresses, address("/account"))),
    ("password and login, a long name", LONG, after(confirm_addresses, address("/auth/login-methods"))),
    ("change email, a long address", LONG, after(confirm_addresses, address("/auth/change-email"))),
    ("disconnect an account", ADA, after(link_elsewhere, follow_disconnect)),
    ("not found", ADA, address("/nowhere")),
    ("not found, visitor", STRANGER, address("/nowhere")),
    ("method not allowed", ADA, address("/auth/confirm")),
    ("broken", ADA, address("/bug")),
]


def journeys():
    """Return the stops of the tour, together where one person goes to path after path."""
    found = {}
    for name, who, way in TOUR:
        key = (who, way.before) if isinstance(way, Address) else name
        found.setdefault(key, []).append((name, who, way))
    return list(found.values())


def go(page, who, way):
    """Log in as `who`, if anybody, and take the way."""
    if who:
        fields, same_site = {"login": who, "password": PASSWORD}, {"Sec-Fetch-Site": "same-origin"}
        assert page.request.post("/auth/login", form=fields, headers=same_site, max_redirects=0).status == 302
    way(page)

"""Every page and every state of it that a person can see, and the way there: a new page gets its line here."""

from clients import PASSWORD

STRANGER, ADA, BOB, LONG = None, "ada", "bob", "l" * 64


def submit_wrong_registration(page):
    page.goto("/auth/register")
    page.locator("form").last.evaluate("form => form.noValidate = true")
    page.get_by_label("Email address").fill("x")
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password", exact=True).fill("password")
    page.get_by_role("button", name="Register").click()
    page.locator("#password-help").wait_for()


def submit_wrong_sign_in(page):
    page.goto("/auth/login")
    page.get_by_label("Email address or username").fill("nobody")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("alert").wait_for()


def submit_a_stale_form(page):
    page.goto("/auth/register")
    page.locator("[name=csrf_token]").last.evaluate("input => input.value = 'old'")
    page.get_by_label("Email address").fill("eve@example.com")
    page.get_by_label("Username").fill("eve")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password again").fill(PASSWORD)
    page.get_by_role("button", name="Register").click()
    page.get_by_text("This page was open too long").wait_for()


def open_the_menu(page):
    page.goto("/")
    page.locator("header summary").click()


def open_the_letter(page):
    page.goto("/dev/mailbox")
    page.locator("main li a").first.click()
    page.frame_locator("iframe").get_by_role("link").first.wait_for()


NOBODY = {"Email address or username": "nobody", "Password": "wrong"}
SIGN_IN = {"Email address or username": "ada", "Password": PASSWORD}


def submit(path, button, fields=None):
    """A way: fill in the form of a page and send it, right or wrong."""

    def way(page):
        page.goto(path)
        fill_in(page, button, fields or {})

    return way


def fill_in(page, button, fields):
    for label, value in fields.items():
        page.get_by_label(label, exact=True).fill(value)
    button = page.locator("main").get_by_role("button", name=button, exact=True)
    button.evaluate("button => button.form.noValidate = true")
    button.click()
    page.wait_for_load_state()


def after(*ways):
    """A way: one after the other."""

    def way(page):
        for each in ways:
            each(page)

    return way


def follow(link):
    """A way: open the link in the newest letter that has it."""

    def way(page):
        letter(link)(page)
        page.frame_locator("iframe").get_by_role("link", name=link).click()
        page.wait_for_url(lambda url: "/dev/" not in url)

    return way


def letter(link):
    """A way: look at the newest letter that has this link."""

    def way(page):
        for _ in range(100):
            page.goto("/dev/mailbox")
            for address in [a.get_attribute("href") for a in page.locator("main li a").all()]:
                page.goto(address)
                if page.frame_locator("iframe").get_by_role("link", name=link).count():
                    return
            page.wait_for_timeout(100)
        raise AssertionError(f"no letter with {link}")

    return way


def forget(page):
    page.context.clear_cookies()


def hide_accounts(page):
    page.goto("/hide")


def let_time_pass(page):
    page.request.get("/age")


def ask_for_people(page):
    page.goto("/captcha")


def address(path):
    return lambda page: page.goto(path)


def correct_wrongly(page):
    page.goto("/auth/unconfirmed")
    page.get_by_text("not right?").click()
    fill_in(page, "Write to this address", {"Your address": "ada@example.com"})


def type_the_address(page):
    fill_in(page, "Delete my account", {"Your address, to be sure": "ada@example.com"})


def sign_in_again(page):
    page.goto("/auth/login")
    fill_in(page, "Log in", SIGN_IN)
    page.get_by_role("heading", name="Keep your account?").wait_for()


def choose_wrongly(page):
    fill_in(page, "Set the new password", {"New password": "password", "Password again": "another"})


def type_a_wrong_code(page):
    fill_in(page, "Log in", {"Code from the letter": "1234 5678"})


ask_for_reset = submit("/auth/reset", "Send me a link", {"Email address": "ada@example.com"})
ask_for_link = submit("/auth/magic-link", "Send me a link", {"Email address": "ada@example.com"})
prove_the_mailbox = after(
    submit("/auth/magic-link", "Send me a link", {"Email address": "bob@example.com"}), follow("Log in")
)
change_the_address = submit(
    "/auth/change-email", "Change email", {"New email address": "lovelace@example.com", "Password": PASSWORD}
)
REGISTRATION = {
    "Email address": "eve@gmial.com",
    "Username": "eve",
    "Password": PASSWORD,
    "Password again": PASSWORD,
}
register = submit("/auth/register", "Register", REGISTRATION)


# What it is called, who sees it, and how they come there.
TOUR = [
    ("home", STRANGER, address("/")),
    ("sign-in", STRANGER, address("/auth/login")),
    ("sign-in, wrong", STRANGER, submit_wrong_sign_in),
    ("sign-in, too often", STRANGER, after(*[submit_wrong_sign_in] * 5, submit("/auth/login", "Log in", NOBODY))),
    ("sign-in, asked for", STRANGER, address("/account")),
    ("registration", STRANGER, address("/auth/register")),
    ("registration, wrong", STRANGER, submit_wrong_registration),
    ("registration, stale", STRANGER, submit_a_stale_form),
    ("unusable link", STRANGER, address("/auth/confirm/abc")),
    ("unusable link, unconfirmed", BOB, address("/auth/confirm/abc")),
    ("gate", BOB, address("/auth/unconfirmed")),
    ("mailbox", BOB, address("/dev/mailbox")),
    ("mailbox, filtered to nothing", STRANGER, address("/dev/mailbox?address=nobody")),
    ("letter", BOB, open_the_letter),
    ("home, signed in", ADA, address("/")),
    ("menu", ADA, open_the_menu),
    ("account", ADA, address("/account")),
    ("log out", ADA, address("/auth/logout")),
    ("gate, did you mean", STRANGER, register),
    ("gate, wrong code", BOB, submit("/auth/unconfirmed", "Confirm my address", {"Code from the letter": "12 34"})),
    ("gate, wrong correction", BOB, correct_wrongly),
    ("reset asked for", STRANGER, address("/auth/reset")),
    ("reset asked for, wrong", STRANGER, submit("/auth/reset", "Send me a link", {"Email address": "ada@"})),
    ("letter sent", STRANGER, submit("/auth/reset", "Send me a link", {"Email address": "ada@gmial.com"})),
    ("reset", STRANGER, after(ask_for_reset, follow("Choose a new password"))),
    ("reset, wrong", STRANGER, after(ask_for_reset, follow("Choose a new password"), choose_wrongly)),
    ("change password", ADA, address("/auth/change-password")),
    ("change password, wrong", ADA, submit("/auth/change-password", "Change password", {"Old password": "x"})),
    ("no password", STRANGER, prove_the_mailbox),
    ("change username", ADA, address("/auth/change-username")),
    ("change username, wrong", ADA, submit("/auth/change-username", "Change username", {"Username": "admin"})),
    ("change email", ADA, address("/auth/change-email")),
    (
        "change email, wrong",
        ADA,
        submit("/auth/change-email", "Change email", {"New email address": "bob@example.com"}),
    ),
    ("change email by code", STRANGER, after(prove_the_mailbox, address("/auth/change-email"))),
    ("change email by code, sent", STRANGER, after(prove_the_mailbox, submit("/auth/change-email", "Send me a code"))),
    ("address changed", ADA, after(change_the_address, follow("Use this address"))),
    ("undo of an address", ADA, after(change_the_address, follow("Use this address"), follow("This was not me"))),
    ("magic link", STRANGER, address("/auth/magic-link")),
    ("magic link, wrong", STRANGER, submit("/auth/magic-link", "Send me a link")),
    ("magic link, sent", STRANGER, ask_for_link),
    ("magic link, wrong code", STRANGER, after(ask_for_link, type_a_wrong_code)),
    ("magic link, its letter", STRANGER, after(ask_for_link, letter("Log in"))),
    ("magic link elsewhere", STRANGER, after(ask_for_link, forget, follow("Log in"))),
    ("confirmation with hidden accounts", STRANGER, after(hide_accounts, register, follow("Confirm my address"))),
    ("devices", ADA, address("/auth/sessions")),
    ("history", ADA, address("/auth/history")),
    ("recent login", ADA, after(let_time_pass, address("/auth/sessions"))),
    ("recent login, wrong", ADA, after(let_time_pass, submit("/auth/sessions", "Go on", {"Password": "x"}))),
    ("recent login, a form waits", ADA, after(address("/auth/delete"), let_time_pass, type_the_address)),
    ("recent login by code", STRANGER, after(prove_the_mailbox, let_time_pass, address("/auth/sessions"))),
    ("export", ADA, address("/auth/export")),
    ("delete", ADA, address("/auth/delete")),
    ("delete, wrong", ADA, submit("/auth/delete", "Delete my account", {"Your address, to be sure": "x@example.com"})),
    ("keep", ADA, after(address("/auth/delete"), type_the_address, sign_in_again)),
    ("sign-in, captcha", STRANGER, after(ask_for_people, submit("/auth/login", "Log in", SIGN_IN))),
    ("registration, captcha", STRANGER, after(ask_for_people, register)),
    ("gate, a long name", LONG, address("/auth/unconfirmed")),
    ("menu, a long name", LONG, open_the_menu),
    ("log out, a long name", LONG, address("/auth/logout")),
    ("not found", ADA, address("/nowhere")),
    ("broken", ADA, address("/bug")),
]


def go(page, who, way):
    """Sign in as `who`, if anybody, and take the way."""
    if who:
        page.goto("/auth/login")
        page.get_by_label("Email address or username").fill(who)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.locator("header summary").wait_for()
    way(page)

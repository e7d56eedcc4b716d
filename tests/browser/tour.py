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


def address(path):
    return lambda page: page.goto(path)


# What it is called, who sees it, and how they come there.
TOUR = [
    ("home", STRANGER, address("/")),
    ("sign-in", STRANGER, address("/auth/login")),
    ("sign-in, wrong", STRANGER, submit_wrong_sign_in),
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

"""How pages behave in a browser: without scripts, by keyboard, with the back button, with a double click."""

import subprocess
import sys

import pytest
from support.clients import PASSWORD, ROOT
from support.tour import administer_for_a_year, go, submit_wrong_registration

from app.extensions import db

WITHOUT_SCRIPTS = {"java_script_enabled": False}


@pytest.mark.parametrize("context_options", [WITHOUT_SCRIPTS])
def test_registration_and_login_work_without_scripts(app, page):
    page.goto("/")
    page.get_by_role("link", name="Create account").first.click()
    page.get_by_label("Email address").fill("eve@example.com")
    page.get_by_label("Username").fill("eve")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password again").fill(PASSWORD)
    page.get_by_role("button", name="Create account", exact=True).click()
    page.get_by_role("button", name="Send another email").click()
    page.get_by_role("link", name="Open the development mailbox").click()
    open_when_it_has_come(page, page.get_by_role("link", name="Confirm your email address"))
    page.locator(".email-text a").click()
    page.get_by_text("Your email address is confirmed").first.wait_for()
    page.locator("header summary").click()
    page.get_by_role("link", name="Settings", exact=True).click()
    page.get_by_text("eve@example.com").wait_for()
    page.locator("header summary").click()
    page.get_by_role("button", name="Log out").click()
    page.get_by_text("You have been logged out.").wait_for()


@pytest.mark.extended
@pytest.mark.parametrize("context_options", [WITHOUT_SCRIPTS])
def test_administrators_filter_and_drop_emails_by_keyboard_without_scripts(people, page):
    go(page, "ada", administer_for_a_year)
    page.goto("/admin/")
    for link in ("Emails waiting: 18", "Drop email 4"):
        page.get_by_role("link", name=link, exact=True).focus()
        page.keyboard.press("Enter")
    page.get_by_role("button", name="Drop email").focus()
    page.keyboard.press("Enter")
    page.get_by_text("1 email was dropped.").wait_for()
    assert page.get_by_label("State").input_value() == "waiting"
    page.get_by_role("row").nth(17).wait_for()
    page.wait_for_load_state()
    assert page.get_by_role("row").count() == 1 + 17


FILTERS = ("events", "emails", "users", "invitations")


@pytest.mark.parametrize("settings", [{"LANGUAGES": ["en", "de"]}])
@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_fields_of_a_filter_stand_in_line_whatever_their_labels(people, page, ada, width, language):
    go(page, "ada", administer_for_a_year)
    ada.language = language
    db.session.commit()
    page.set_viewport_size({"width": width, "height": 800})
    for name in FILTERS:
        page.goto(f"/admin/{name}")
        assert page.locator("html").get_attribute("lang") == language
        fields = page.locator(".filter-form").locator("input, select, .btn").all()
        boxes = [field.bounding_box() for field in fields]
        ends = [round(box["y"] + box["height"]) for box in boxes]
        apart = {(one, other) for one in ends for other in ends if 0 < abs(one - other) < 35}
        assert (apart, len(ends) > 1) == (set(), True), name


def open_when_it_has_come(page, email):
    """Reload the mailbox until the email is there: the thread delivers when it can."""
    for _ in range(200):
        if email.count():
            return email.click()
        page.wait_for_timeout(100)
        page.reload()
    raise AssertionError("no email came")


def test_login_and_logout_work_by_keyboard_alone(people, page):
    def tab():
        page.keyboard.press("Tab")
        return page.evaluate("document.activeElement.textContent").strip()

    press = page.keyboard.press
    page.goto("/auth/login")
    page.locator("#login:focus").wait_for()  # where typing goes without a click
    page.keyboard.type("ada")
    tab()
    page.keyboard.type(PASSWORD)
    assert tab() == "Show"
    tab()
    press("Space")
    press("Enter")
    page.get_by_role("heading", name="Hello, ada!").wait_for()
    assert [tab(), tab()] == ["Skip to content", "Flasky"]
    assert any(tab() == "Aada" for _ in range(9)), "after an application's own links: the avatar's letter, and the name"
    press("Enter")
    assert [tab(), tab()] == ["Settings", "Log out"]
    press("Enter")
    page.get_by_text("You have been logged out.").wait_for()


def test_back_button_after_logout_shows_no_account_page(people, page):
    go(page, "ada", lambda page: page.goto("/account"))
    page.get_by_text("ada@example.com").wait_for()
    page.locator("header summary").click()
    page.get_by_role("button", name="Log out").click()
    page.get_by_text("You have been logged out.").wait_for()
    page.wait_for_load_state()
    page.go_back()
    page.get_by_text("Log in to open this page.").wait_for()
    assert "ada@example.com" not in page.content()


def test_a_password_can_be_shown_and_pasted(people, page):
    page.goto("/auth/login")
    field = page.get_by_label("Password")
    page.evaluate("document.addEventListener('paste', event => event.defaultPrevented && (window.refused = true))")
    field.focus()
    page.keyboard.insert_text(PASSWORD)
    assert field.get_attribute("type") == "password"
    page.get_by_role("button", name="Show what is typed").click()
    assert field.get_attribute("type") == "text"
    page.get_by_label("Email or username").fill("ada")
    page.get_by_role("button", name="Log in", exact=True).click()
    page.get_by_role("heading", name="Hello, ada!").wait_for()


def test_the_first_invalid_field_is_focused_and_described_by_its_error(page):
    submit_wrong_registration(page)
    focused = page.locator(":focus")
    assert focused.get_attribute("name") == "email"
    assert page.locator(f"#{focused.get_attribute('aria-describedby')}").inner_text()


def test_a_double_click_sends_a_form_once(app, page):
    page.goto("/auth/register")
    page.get_by_label("Email address").fill("eve@example.com")
    page.get_by_label("Username").fill("eve")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    sent = []
    page.on("request", lambda request: request.method == "POST" and sent.append(request.url))
    page.get_by_role("button", name="Create account", exact=True).dblclick()
    page.get_by_text("We sent a link and a code to").wait_for()
    assert len(sent) == 1


def test_a_submitted_form_shows_that_it_is_busy_and_ignores_a_second_click(page):
    page.goto("/auth/login")
    page.get_by_label("Email or username").fill("ada")
    page.get_by_label("Password").fill("wrong")
    shown = page.get_by_role("button", name="Log in", exact=True).evaluate("""(button) => {
        const ignored = [];
        document.addEventListener("submit", (event) => ignored.push(event.defaultPrevented));
        for (const _ of [1, 2]) button.click();
        const { animationName } = getComputedStyle(button, "::before");
        return [ignored, button.ariaBusy, animationName, getComputedStyle(button).cursor];
    }""")
    assert shown == [[False, True], "true", "turn", "progress"]
    page.get_by_text("Incorrect username or password.").wait_for()
    assert page.locator("[aria-busy]").count() == 0


def test_the_login_page_moves_nothing_while_it_loads(page):
    page.add_init_script("""window.shifts = []; new PerformanceObserver((list) => shifts.push(...list.getEntries()))
        .observe({ type: "layout-shift", buffered: true })""")
    for path in ("/auth/login", "/auth/register"):
        page.goto(path)
        page.wait_for_timeout(300)
        assert page.evaluate("shifts.length") == 0, path


def test_the_menu_closes_when_it_loses_the_focus(people, page):
    go(page, "ada", lambda page: page.goto("/"))
    menu, account = page.locator("header summary"), page.get_by_role("link", name="Settings", exact=True)
    menu.click()
    assert account.is_visible()
    page.keyboard.press("Escape")
    assert not account.is_visible()
    menu.click()
    page.get_by_role("heading").click()
    assert not account.is_visible()


@pytest.mark.extended
def test_a_missing_browser_is_reported_in_one_sentence(tmp_path):
    nothing = {"PATH": str(tmp_path), "PLAYWRIGHT_BROWSERS_PATH": str(tmp_path)}
    nowhere = {"PLAYWRIGHT_DOWNLOAD_HOST": "http://127.0.0.1:9", "HOME": str(tmp_path)}
    command = [sys.executable, ROOT / "tests/browser/install.py"]
    done = subprocess.run(command, env=nothing | nowhere, capture_output=True, text=True)
    assert done.returncode == 1
    assert "The tests need a browser, and none could be installed." in done.stderr


@pytest.mark.extended
@pytest.mark.parametrize("context_options", [WITHOUT_SCRIPTS])
def test_an_administrator_finds_and_deactivates_a_user_by_keyboard_without_scripts(people, app, page):
    go(page, "ada", lambda page: page.goto("/administer"))
    page.goto("/admin/users")

    def press(role, name):
        page.get_by_role(role, name=name, exact=True).first.focus()
        page.keyboard.press("Enter")

    page.get_by_role("searchbox").focus()
    page.keyboard.type("bo")
    page.keyboard.press("Enter")
    press("link", "bob")
    press("link", "Deactivate account")
    page.get_by_text("No data is deleted.").wait_for()
    press("button", "Deactivate account")
    page.get_by_text("Deactivate account: done.").wait_for()
    page.get_by_text("bob is deactivated.").wait_for()

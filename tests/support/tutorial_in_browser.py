"""A browser goes through the finished site of the tutorial: tests/extended/test_tutorial.py copies this module there.

With `--screenshots=DIR`, it leaves a picture of each page in DIR.
"""

import pytest
from axe_playwright_python.sync_playwright import Axe
from dotenv import dotenv_values

from support.accessibility import faint_fields, small_targets
from support.clients import PASSWORD, ROOT
from support.tour import email

DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 320, "height": 640}
BRAND = {"APP_NAME", "ACCENT_COLOR", "SUPPORT_EMAIL"}
WINDOWS = [("dark", PHONE), ("light", DESKTOP)]


@pytest.fixture
def settings():
    """The brand of the site, which other tests ignore."""
    return {name: value for name, value in dotenv_values(ROOT / ".env").items() if name in BRAND}


@pytest.fixture
def look(request, page):
    """Return a function that checks what is shown, in both color schemes and widths."""

    def look(name):
        folder = request.config.getoption("--screenshots")
        for scheme, size in WINDOWS:
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            page.set_viewport_size(size)
            if folder:
                page.screenshot(path=f"{folder}/{name}-{scheme}.png", full_page=True)
            found = Axe().run(page)
            assert found.violations_count == 0, found.generate_report()
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), f"{name} is too wide"
            assert page.locator("header").first.bounding_box()["height"] < 130, "no word of the bar is broken"
            assert faint_fields(page) == []
            assert size == DESKTOP or small_targets(page) == [], name

    return look


def press(page, button):
    page.locator("main").get_by_role("button", name=button, exact=True).click()


def log_in(page, name):
    page.goto("/auth/login")
    page.get_by_label("Email or username").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    press(page, "Log in")
    page.get_by_role("heading", name=f"Hello, {name}!").wait_for()


def log_out(page):
    page.locator("header summary").click()
    page.get_by_role("button", name="Log out").click()
    page.get_by_text("You have been logged out.").wait_for()


def open_email(page, link, address):
    email(link, address)(page)
    page.frame_locator("iframe").get_by_role("link", name=link).first.click()
    page.wait_for_url(lambda url: "/dev/" not in url)


def test_recipes_and_the_shopping_list(page, look, ada):
    page.goto("/")
    look("home-visitor")
    page.locator("header").get_by_role("link", name="Recipes").click()
    page.get_by_text("There are no recipes yet.").wait_for()
    look("recipes-none")

    log_in(page, "ada")
    look("home")
    page.goto("/recipes/")
    page.get_by_role("link", name="Add a recipe").click()
    page.locator("main form").evaluate("form => form.noValidate = true")
    press(page, "Save recipe")
    page.get_by_text("Name the recipe.").wait_for()
    look("add")
    for label, text in {"Title": "Pea sup", "Ingredients": "500 g peas\n1 onion", "Steps": "Fry it.\nBoil it."}.items():
        page.get_by_label(label).fill(text)
    press(page, "Save recipe")
    page.get_by_text("Your recipe is published.").wait_for()
    look("recipe-own")
    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Title").fill("Pea soup")
    press(page, "Save recipe")
    page.get_by_role("heading", name="Pea soup").wait_for()
    log_out(page)

    page.goto("/recipes/")
    look("recipes")
    page.get_by_role("link", name="Pea soup").click()
    look("recipe")
    press(page, "Add to shopping list")
    page.get_by_text("1 onion").wait_for()
    look("list-visitor")

    page.goto("/auth/register")
    look("register")
    page.get_by_label("Email address").fill("eve@example.com")
    page.get_by_label("Username").fill("eve")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Name on your recipes").fill("Eve of Lima")
    press(page, "Create account")
    page.get_by_role("heading", name="Check your email").wait_for()
    open_email(page, "Confirm", "eve@example.com")
    page.get_by_text("Your email address is confirmed").first.wait_for()
    page.goto("/shopping-list/")
    page.get_by_text("1 onion").wait_for()
    look("list")
    press(page, "Remove Pea soup")
    page.get_by_text("Your shopping list is empty.").wait_for()
    look("list-empty")
    log_out(page)

    open_email(page, "Open the recipe", "ada@example.com")
    page.get_by_role("heading", name="Pea soup").wait_for()
    log_in(page, "ada")
    page.locator("header").get_by_role("link", name="Recipes").click()
    page.get_by_role("link", name="Pea soup").click()
    page.get_by_role("link", name="Delete").click()
    look("delete")
    press(page, "Delete recipe")
    page.get_by_text("Your recipe is deleted.").wait_for()

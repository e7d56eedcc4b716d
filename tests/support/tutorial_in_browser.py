"""A browser goes through the finished site of the tutorial: tests/extended/test_tutorial.py copies this module there.

With `--screenshots=DIR`, it leaves a picture of each page in DIR.
"""

import io

import pytest
from axe_playwright_python.sync_playwright import Axe
from dotenv import dotenv_values
from PIL import Image

from app.extensions import db
from app.models import Role
from support.accessibility import faint_fields, small_targets
from support.clients import PASSWORD, ROOT
from support.recipes import add_recipe, confirm
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
        page.wait_for_load_state()  # a click waits only for the first byte of the next page
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


def register_eve(page):
    """Fill in the page to register, and confirm the address."""
    page.get_by_label("Email address").fill("eve@example.com")
    page.get_by_label("Username").fill("eve")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Name on your recipes").fill("Eve of Lima")
    press(page, "Create account")
    page.get_by_role("heading", name="Check your email").wait_for()
    open_email(page, "Confirm", "eve@example.com")


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
    register_eve(page)
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


def test_a_moderator_hides_a_recipe(page, look, ada, bob):
    add_recipe(ada)
    add_recipe(ada, title="A watch for sale, with a title that is as long as the titles of recipes can possibly be")
    confirm(bob).role = db.session.get(Role, "moderator")
    db.session.commit()
    log_in(page, "bob")
    page.locator("header summary").click()
    look("menu-moderator")
    page.get_by_role("link", name="Moderation").click()
    page.get_by_role("button", name="Hide A watch").click()
    page.get_by_text("is hidden.").wait_for()
    look("moderation")
    page.get_by_role("link", name="A watch").click()
    page.get_by_text("A moderator has hidden this recipe.").wait_for()
    look("recipe-hidden")


def test_a_team_invites_someone_who_registers(page, look, ada):
    add_recipe(ada)
    log_in(page, "ada")
    page.goto("/account")
    page.get_by_role("link", name="Teams").click()
    look("teams-none")
    page.get_by_label("Name").fill("The cooks of Harbour Street")
    press(page, "Create team")
    page.get_by_role("heading", name="The cooks of Harbour Street").wait_for()
    page.get_by_label("Email address").fill("ada@example.com")
    press(page, "Send invitation")
    page.get_by_text("This person is already a member.").wait_for()
    look("team-error")
    for address in ("a.very.long.address.of.somebody@subdomain.of.example.com", "eve@example.com"):
        page.get_by_label("Email address").fill(address)
        press(page, "Send invitation")
        page.get_by_text(f"We sent an invitation to {address}.").wait_for()
    look("team-invited")
    page.goto("/teams/")
    look("teams")
    log_out(page)

    open_email(page, "Join the team", "eve@example.com")
    page.locator("header").get_by_role("link", name="Create account").click()
    register_eve(page)
    page.get_by_role("heading", name="Join The cooks of Harbour Street").wait_for()
    look("join")
    press(page, "Join team")
    page.get_by_text("Welcome to The cooks of Harbour Street.").wait_for()
    look("team-member")
    log_out(page)

    log_in(page, "ada")
    open_email(page, "Join the team", "a.very.long.address.of.somebody@subdomain.of.example.com")
    page.get_by_role("heading", name="This invitation is for another address").wait_for()
    look("not-yours")
    page.goto("/teams/1")
    look("team-owner")
    press(page, "Leave")
    page.get_by_text("Make another member an owner before you leave.").wait_for()
    press(page, "Make Eve of Lima an owner")
    press(page, "Remove Eve of Lima")
    page.get_by_role("button", name="Leave").wait_for()
    assert page.get_by_text("Eve of Lima").count() == 0


def test_a_profile_picture(page, look, ada):
    recipe, photo = add_recipe(ada), io.BytesIO()
    Image.radial_gradient("L").resize((1200, 800)).save(photo, "JPEG")
    log_in(page, "ada")
    page.goto("/account/picture")
    look("picture-none")
    for name, content in (("me.jpg", b"no picture"), ("me.jpg", photo.getvalue())):
        page.get_by_label("Picture", exact=True).set_input_files(
            {"name": name, "mimeType": "image/jpeg", "buffer": content}
        )
        press(page, "Save picture")
        page.get_by_text("Choose a JPEG" if content == b"no picture" else "Your picture was changed.").wait_for()
        look(f"picture-{len(content) > 20}")
    page.goto(f"/recipes/{recipe.id}")
    assert page.locator("main img").evaluate("image => image.naturalWidth") == 256
    look("recipe-with-picture")

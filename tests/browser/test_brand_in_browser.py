"""The brand's colors as a browser shows them, and the choice between light and dark pages."""

import pytest
from axe_playwright_python.sync_playwright import Axe

pytestmark = pytest.mark.extended

WITHOUT_SCRIPTS = {"java_script_enabled": False, "color_scheme": "light"}
ACCENTS = {"pale yellow": "#fde68a", "navy": "#1e1b4b", "red": "#dc2626"}


@pytest.mark.parametrize("settings", [{"ACCENT_COLOR": color} for color in ACCENTS.values()], ids=ACCENTS)
def test_pages_are_readable_with_any_accent(page, settings):
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        for path in ("/auth/login", "/appearance", "/nowhere"):
            page.goto(path)
            found = Axe().run(page)
            assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("context_options", [WITHOUT_SCRIPTS])
def test_chosen_appearance_wins_over_the_system_without_scripts(app, page):
    page.goto("/auth/login")
    ground = page.locator("body").evaluate("body => getComputedStyle(body).backgroundColor")
    page.get_by_role("link", name="Appearance").click()
    page.get_by_label("Dark").check()
    page.get_by_role("button", name="Save").click()
    page.wait_for_url("**/auth/login")
    dark = page.locator("body").evaluate("body => getComputedStyle(body).backgroundColor")
    assert (ground, dark) == (rgb(app.config["BRAND"].light.page), rgb(app.config["BRAND"].dark.page))
    page.get_by_role("link", name="Appearance").click()
    assert page.get_by_label("Dark").is_checked()
    page.get_by_label("Same as this device").check()
    page.get_by_role("button", name="Save").click()
    page.wait_for_url("**/auth/login")
    assert page.locator("body").evaluate("body => getComputedStyle(body).backgroundColor") == ground


def rgb(color):
    """Return a hexadecimal color as browsers write computed ones."""
    return f"rgb({', '.join(str(int(color[at : at + 2], 16)) for at in (1, 3, 5))})"

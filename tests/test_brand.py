"""The owner's brand: colors, logo, links and the files that carry them."""

import re
from itertools import product

import pytest

from settings.brand import DEFAULT, DEFAULT_ACCENT, derive

PALE_YELLOW, NAVY, RED = "#fde68a", "#1e1b4b", "#dc2626"
EVERY_KIND = [f"#{''.join(digits)}" for digits in product("07f", repeat=3)]  # black, white, gray and 24 hues


def contrast(one, other):
    """The contrast ratio of WCAG 2.2, from 1 to 21."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(color):
    channels = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in channels]
    return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("accent", [DEFAULT_ACCENT, PALE_YELLOW, NAVY, RED, *EVERY_KIND])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_brand_colors_are_readable_on_every_ground(accent, scheme):
    colors = getattr(derive(accent), scheme)
    grounds = (colors.page, colors.surface, colors.sunken, colors.accent_soft, colors.on_accent)
    for ground, color in product(grounds, (colors.accent, colors.accent_strong)):
        assert contrast(color, ground) >= 4.5, (color, ground)


def test_written_default_colors_are_those_that_are_derived():
    assert derive(DEFAULT_ACCENT) == DEFAULT


@pytest.mark.parametrize("settings", [{"ACCENT_COLOR": RED}], ids=["red"])
def test_stylesheet_has_the_colors_of_the_brand_in_both_schemes(app, client):
    with app.test_request_context():
        css = client.get(app.jinja_env.globals["asset_url"]("site.css")).text
    light, dark = derive(RED)
    assert f":root{{--accent:{light.accent};--accent-strong:{light.accent_strong};" in css
    assert f":root{{--accent:light-dark({light.accent},{dark.accent});" in css
    assert len(re.findall("--accent:", css)) == 2, "another rule would win in some browsers"


@pytest.mark.parametrize("settings", [{"SUPPORT_EMAIL": "a&b@example.com"}, {}], ids=["with an address", "without"])
def test_pages_name_the_support_address_or_the_administrators(app, settings):
    with app.test_request_context():
        contact = app.jinja_env.from_string(
            '{% from "components.html" import support_contact %}Ask {{ support_contact() }}.'
        ).render()
    link = '<a href="mailto:a&amp;b@example.com">a&amp;b@example.com</a>'
    assert contact == f"Ask {link if settings else 'the administrators of this site'}."


OWNERS_LINKS = {
    "HELP_URL": "https://a.example/?a=1&b=2",
    "TERMS_URL": "https://b.example",
    "PRIVACY_URL": "https://c.example",
}


@pytest.mark.parametrize("settings", [OWNERS_LINKS | {"SUPPORT_EMAIL": "help@example.com"}, {}], ids=["all", "none"])
def test_footer_has_the_links_that_are_set(client, settings):
    footer = client.get("/").text.partition("<footer")[2]
    shown = {word: word in footer for word in (">Help<", ">Terms<", ">Privacy<", "mailto:help@example.com")}
    assert set(shown.values()) == {bool(settings)}
    assert ("https://a.example/?a=1&amp;b=2" in footer) == bool(settings)

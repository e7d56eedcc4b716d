"""The owner's brand: colors, logo, links and the files that carry them."""

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
    rules = css[-900:]  # the last ones win
    assert f":root{{--accent:{light.accent};--accent-strong:{light.accent_strong};" in rules
    assert f":root[data-theme=dark]{{--accent:{dark.accent};" in rules
    assert f":root:not([data-theme=light]){{--accent:{dark.accent};" in rules

"""What axe does not see: focus rings, borders and touch targets. test_tour.py checks the same on every page."""

from support.accessibility import faint_fields, small_targets, unseen_focus

SCHEMES = {"light": {"color_scheme": "light"}, "dark": {"color_scheme": "dark"}, "forced": {"forced_colors": "active"}}
PHONE = {"width": 390, "height": 800}


def test_every_control_shows_its_focus_and_border(page):
    page.goto("/auth/login")
    for name, scheme in SCHEMES.items():
        page.emulate_media(**scheme, reduced_motion="reduce")  # no transition of colors
        assert unseen_focus(page) == [], name
        assert faint_fields(page) == [], name


def test_controls_are_large_enough_to_touch_on_a_phone(page):
    page.set_viewport_size(PHONE)
    page.goto("/auth/login")
    assert small_targets(page) == []


def test_a_faint_focus_ring_is_reported(page):
    page.goto("/auth/login")
    page.locator("#login").evaluate("input => input.style.outlineColor = 'transparent'")
    assert unseen_focus(page)


def test_a_faint_border_and_a_small_button_are_reported(page):
    page.emulate_media(reduced_motion="reduce")
    page.goto("/auth/login")
    page.locator("#login").evaluate(
        "input => Object.assign(input.style, {borderColor: '#eee', minHeight: 0, height: '30px'})"
    )
    assert [name for name in faint_fields(page) if "login" in name]
    assert [name for name in small_targets(page) if 'id="login"' in name]

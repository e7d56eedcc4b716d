"""The owner's brand: colors, logo, links and the files that carry them."""

import hashlib
import re
import struct
from datetime import datetime, timedelta
from itertools import product
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

import pytest
from support.clients import ROOT, on_sqlite
from support.contrast import contrast

from settings.brand import DEFAULT, DEFAULT_ACCENT, derive

PALE_YELLOW, NAVY, RED = "#fde68a", "#1e1b4b", "#dc2626"
EVERY_KIND = [f"#{''.join(digits)}" for digits in product("07f", repeat=3)]  # black, white, gray and 24 hues


@pytest.mark.parametrize("accent", [DEFAULT_ACCENT, PALE_YELLOW, NAVY, RED, *EVERY_KIND])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_brand_colors_are_readable_on_every_ground(accent, scheme):
    colors = getattr(derive(accent), scheme)
    grounds = (colors.page, colors.surface, colors.sunken, colors.accent_soft, colors.on_accent)
    for ground, color in product(grounds, (colors.accent, colors.accent_strong)):
        assert contrast(color, ground) >= 4.5, (color, ground)


TEXT_ON_ALL_GROUNDS = ("ink", "ink-2", "ink-3", "good", "warn", "bad")
TEXT_ON_ITS_OWN = {"good": "good-soft", "warn": "warn-soft", "bad": "bad-soft"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_neutral_and_status_colors_are_readable(scheme):
    css = (ROOT / "app/static/app.css").read_text("utf-8")
    pairs = re.findall(r"--([\w-]+): light-dark\((#\w+), (#\w+)\)", css)
    color = {name: whole(light if scheme == "light" else dark) for name, light, dark in pairs}
    palette = getattr(DEFAULT, scheme)
    grounds = (palette.page, palette.surface, palette.sunken)
    found = {(name, ground): contrast(color[name], ground) for name in TEXT_ON_ALL_GROUNDS for ground in grounds}
    found |= {(name, own): contrast(color[name], color[own]) for name, own in TEXT_ON_ITS_OWN.items()}
    found |= {("ink", soft): contrast(color["ink"], color[soft]) for soft in TEXT_ON_ITS_OWN.values()}
    assert {pair: ratio for pair, ratio in found.items() if ratio < 4.5} == {}
    assert min(contrast(color["control"], ground) for ground in grounds) >= 3, "WCAG 2.2, 1.4.11"


def whole(color):
    """Return #fff as #ffffff."""
    return color if len(color) == 7 else "#" + "".join(2 * digit for digit in color[1:])


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


@pytest.mark.parametrize("settings", [{"SUPPORT_EMAIL": "a&b@example.com"}])
def test_pages_link_the_support_address(client):
    link = '<a href="mailto:a&amp;b@example.com"><bdi>a&amp;b@example.com</bdi></a>'
    assert link in client.get("/").text.partition("<footer")[2]


@pytest.mark.parametrize("settings", [{"SUPPORT_EMAIL": "help@example.com"}, {}], ids=["with an address", "without"])
def test_page_about_a_fault_says_where_to_write_to(own_app, app, client, settings):
    app.testing = False
    app.add_url_rule("/bug", "bug", lambda: 1 / 0)
    told = client.get("/bug").text.partition("Need help? Contact ")[2].partition(" and mention")[0]
    assert re.sub("<.*?>", "", told) == (settings.get("SUPPORT_EMAIL") or "the administrators of this site")


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


# Logo and icons

PNG_SIZES = {"icon-192.png": 192, "icon-512.png": 512, "maskable-512.png": 512, "apple-touch-icon.png": 180}


def test_icons_are_drawn_from_the_logo():
    made_from = (ROOT / "app/static/icons/made_from.txt").read_text().strip()
    assert made_from == hashlib.sha256((ROOT / "app/static/logo.svg").read_bytes()).hexdigest(), "run make icons"


@pytest.mark.parametrize(("name", "size"), PNG_SIZES.items())
def test_icon_has_the_size_in_its_name(name, size):
    header = (ROOT / "app/static/icons" / name).read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", header[16:]) == (size, size)


def test_favicon_holds_three_sizes(client):
    answer = client.get("/favicon.ico", buffered=True)
    count = struct.unpack("<HHH", answer.data[:6])[2]
    entries = [struct.unpack("<BBBBHHII", answer.data[6 + 16 * at : 22 + 16 * at]) for at in range(count)]
    assert [width for width, *_ in entries] == [16, 32, 48]
    assert all(answer.data[offset:].startswith(b"\x89PNG") for *_, offset in entries)


@pytest.mark.parametrize("settings", [{"ACCENT_COLOR": RED}], ids=["red"])
def test_logo_and_icon_take_the_accent(app, client):
    light, dark = derive(RED)
    with app.test_request_context():
        icon, css = (client.get(app.jinja_env.globals["asset_url"](name)) for name in ("favicon.svg", "site.css"))
    assert icon.mimetype == "image/svg+xml"
    assert f'fill="{light.accent}"' in icon.text
    assert "currentColor" not in icon.text
    logos = re.findall(r'--logo:url\("data:image/svg\+xml,([^"]*)"', css.text)
    assert [f'fill="{scheme.accent}"' in unquote(logo) for scheme, logo in zip((light, dark, dark), logos, strict=True)]
    assert ElementTree.fromstring(unquote(logos[0])).tag == "{http://www.w3.org/2000/svg}svg"


# What browsers, phones and search engines look for

FILES = ["/favicon.ico", "/manifest.webmanifest", "/robots.txt", "/.well-known/security.txt"]
AT_A_PATH = {"PUBLIC_URL": "http://localhost/accounts", "SESSION_COOKIE_PATH": "/accounts"}


@pytest.mark.parametrize("settings", [{"SUPPORT_EMAIL": "help@example.com"}], ids=["with an address"])
@pytest.mark.parametrize("path", FILES)
def test_files_at_fixed_addresses_can_be_kept_and_know_no_session(client, ada, path):
    client.log_in(ada)
    answer = client.get(path, buffered=True)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "public, max-age=86400"
    assert "Cookie" not in answer.headers.get("Vary", "")
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("settings", [{"APP_NAME": 'The "Garden" & Co'}, AT_A_PATH], ids=["at the root", "at a path"])
def test_manifest_has_the_name_the_colors_and_icons_that_exist(app, client, settings):
    answer = client.get("/manifest.webmanifest")
    manifest, colors = answer.json, app.config["BRAND"].light
    assert answer.mimetype == "application/manifest+json"
    assert manifest["name"] == app.config["APP_NAME"]
    assert manifest["start_url"] == manifest["scope"] == urlsplit(app.config["PUBLIC_URL"]).path + "/"
    assert (manifest["theme_color"], manifest["background_color"]) == (colors.surface, colors.page)
    for icon in manifest["icons"]:
        image = client.get(icon["src"]).data
        assert "{}x{}".format(*struct.unpack(">II", image[16:24])) == icon["sizes"]


def test_robots_may_read_public_pages_and_no_emailed_link(app, client):
    lines = client.get("/robots.txt").text
    assert lines.startswith("User-agent: *\n")
    allowed = re.findall(r"Allow: (\S+)\$\n", lines)
    assert allowed == ["/auth/login", "/auth/register", "/auth/reset"]
    assert "Disallow: /auth/\n" in lines
    for path in ["/", *allowed]:
        assert 'name="robots"' not in client.get(path).text


@pytest.mark.parametrize("settings", [{"SUPPORT_EMAIL": "help@example.com"}], ids=["with an address"])
def test_security_txt_names_the_contact_and_expires_within_a_year(client, clock):
    answer = client.get("/.well-known/security.txt")
    assert answer.content_type == "text/plain; charset=utf-8"
    fields = dict(line.split(": ", 1) for line in answer.text.splitlines())
    assert fields["Contact"] == "mailto:help@example.com"
    assert fields["Canonical"] == "http://localhost/.well-known/security.txt"
    assert timedelta(days=1) < datetime.fromisoformat(fields["Expires"]) - clock.time < timedelta(days=365)


def test_security_txt_without_a_contact_does_not_exist(client):
    assert client.get("/.well-known/security.txt").status_code == 404


@on_sqlite
@pytest.mark.parametrize("settings", [{}, AT_A_PATH], ids=["at the root", "at a path"])
@pytest.mark.parametrize("path", ["/", "/auth/login", "/auth/register", "/auth/reset"])
def test_public_pages_describe_themselves(app, client, path, settings):
    page = client.get(path, query_string={"next": "/account"}).text
    described = dict(re.findall(r'<meta (?:name|property)="([\w:]+)" content="([^"]*)">', page))
    url = app.config["PUBLIC_URL"] + path
    assert described["og:url"] == url
    assert f'<link rel="canonical" href="{url}">' in page
    assert described["description"] == described["og:description"]
    assert app.config["APP_NAME"] in described["description"]
    assert described["og:title"] == page.partition("<title>")[2].partition("</title>")[0]
    assert client.get(described["og:image"]).mimetype == "image/png"


def test_personal_pages_describe_nothing(client, ada):
    client.log_in(ada)
    page = client.get("/account").text
    assert "og:" not in page
    assert "canonical" not in page
    assert '<meta name="robots" content="noindex">' in page


# Appearance


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_chosen_appearance_is_on_every_page(own_app, app, client, scheme):
    app.add_url_rule("/bug", "bug", lambda: 1 / 0)
    app.testing = False
    answer = client.post("/appearance", data={"scheme": scheme, "next": "/auth/login"})
    assert answer.location == "/auth/login"
    assert "Max-Age=31536000" in answer.headers["Set-Cookie"]
    assert "SameSite=Lax" in answer.headers["Set-Cookie"]
    surface = getattr(app.config["BRAND"], scheme).surface
    for path in ("/", "/auth/login", "/nowhere", "/bug"):
        page = client.get(path).text
        assert f'<html lang="en" dir="ltr" data-theme="{scheme}">' in page
        assert f'<meta name="color-scheme" content="{scheme}">' in page
        assert re.findall('name="theme-color" content="([^"]*)"', page) == [surface]


def test_looking_at_the_page_by_head_chooses_nothing(client):
    client.post("/appearance", data={"scheme": "dark"})
    answer = client.head("/appearance?scheme=light")
    assert answer.status_code == 200
    assert client.get_cookie("appearance").value == "dark"


def test_system_decides_on_the_appearance_again(client):
    client.post("/appearance", data={"scheme": "dark"})
    answer = client.post("/appearance", data={"scheme": ""})
    assert answer.location == "/appearance"
    page = client.get("/appearance").text
    assert '<html lang="en" dir="ltr">' in page
    assert '<meta name="color-scheme" content="light dark">' in page
    assert page.count('name="theme-color"') == 2
    assert re.search('id="scheme-system"[^>]* checked', page)


@pytest.mark.parametrize("scheme", ['"><script>', "blue"])
def test_unknown_appearance_is_ignored(client, scheme):
    assert "Set-Cookie" in client.post("/appearance", data={"scheme": scheme}).headers
    client.set_cookie("appearance", scheme)
    assert '<html lang="en" dir="ltr">' in client.get("/").text


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "/\\evil.example"])
def test_appearance_leads_back_to_our_own_pages_only(client, target):
    assert client.post("/appearance", data={"scheme": "dark", "next": target}).location == "/appearance"
    assert "evil" not in client.get("/appearance", query_string={"next": target}).text


def test_footer_leads_to_the_appearance_and_back_but_passes_on_no_token(client):
    assert 'href="/appearance?next=/auth/login"' in client.get("/auth/login?next=/account").text
    for path in ("/auth/confirm/abc", "/appearance", "/nowhere"):
        assert 'href="/appearance"' in client.get(path).text

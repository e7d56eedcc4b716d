"""The owner's brand: the colors that follow from ACCENT_COLOR, the support address and the links in the footer."""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from settings.domains import parse_sender

if TYPE_CHECKING:
    from coloraide import Color

COLOR = re.compile(r"#([0-9a-f]{3}){1,2}", re.ASCII | re.IGNORECASE)
URL = re.compile(r"https?://[^\s/?#@]+([/?#][^\s<>\"]*)?")
DEFAULT_ACCENT = "#0f766e"
LINKS = ("HELP_URL", "TERMS_URL", "PRIVACY_URL")

MIN_CONTRAST = 4.5  # of text: WCAG 2.2, success criterion 1.4.3. Focus rings need only 3 (1.4.11).
LIGHTNESS_STEP = 0.005  # lightness and chroma are those of OKLCH


@dataclass(frozen=True)
class Palette:
    """The colors of one scheme. Both accents are readable on every ground, and `on_accent` on both accents."""

    accent: str  # buttons and focus rings
    accent_strong: str  # links, and buttons under the pointer
    accent_soft: str  # the ground of what is selected
    on_accent: str
    page: str  # the neutral grounds
    surface: str
    sunken: str


class Brand(NamedTuple):
    """The colors of both schemes."""

    light: Palette
    dark: Palette


LIGHT_GROUNDS = ("#f6f7f7", "#ffffff", "#f1f3f3")  # page, surface, sunken
DARK_GROUNDS = ("#0f1514", "#171f1e", "#1e2827")
DEFAULT = Brand(
    Palette("#0f766e", "#005f58", "#def5f2", "#ffffff", *LIGHT_GROUNDS),
    Palette("#2ed3c6", "#51eadc", "#183f3c", "#052f2c", *DARK_GROUNDS),
)


def brand(accent: str) -> Brand:
    """Return the colors of both schemes. Those of the default are written down, because deriving them takes 200 ms."""
    return DEFAULT if accent.lower() == DEFAULT_ACCENT else derive(accent)


@lru_cache
def derive(accent: str) -> Brand:
    """Derive the colors from a hexadecimal one: the hue stays, and the lightness changes until text is readable."""
    from coloraide import Color

    given = Color(accent).convert("oklch")
    return Brand(_light(given), _dark(given))


def problems(settings: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence with a remedy for each of these settings that prevents a start."""
    if not COLOR.fullmatch(settings["ACCENT_COLOR"]):
        yield f"ACCENT_COLOR is {settings['ACCENT_COLOR']!r}: write a color in hexadecimal, such as {DEFAULT_ACCENT}."
    if settings["SUPPORT_EMAIL"] and not _is_email(settings["SUPPORT_EMAIL"], settings["EMAIL_SPECIAL_DOMAINS"]):
        yield f"SUPPORT_EMAIL is {settings['SUPPORT_EMAIL']!r}: write one address, such as support@example.com."
    for name in LINKS:
        if settings[name] and not _is_url(settings[name]):
            page = name.removesuffix("_URL").lower()
            yield f"{name} is {settings[name]!r}: write the whole address, such as https://example.com/{page}."


def _light(given: "Color") -> Palette:
    chroma = given["chroma"]
    soft = _hex(_shade(given, 0.953, min(chroma, 0.025)))
    accent = _readable(given, (*LIGHT_GROUNDS, soft), -LIGHTNESS_STEP)
    # A button that is almost black gets lighter under the pointer, because it can't get darker.
    change = -0.075 if accent["lightness"] > 0.3 else 0.2
    strong = _shade(accent, accent["lightness"] + change, chroma)
    return Palette(_hex(accent), _hex(strong), soft, "#ffffff", *LIGHT_GROUNDS)


def _dark(given: "Color") -> Palette:
    chroma = given["chroma"]
    soft = _hex(_shade(given, 0.34, min(chroma, 0.045)))
    bright = _shade(given, min(max(given["lightness"], 0.785), 0.9), min(1.5 * chroma, 0.14))
    accent = _readable(bright, (*DARK_GROUNDS, soft), LIGHTNESS_STEP)
    strong = _shade(accent, accent["lightness"] + 0.07, accent["chroma"])
    return Palette(_hex(accent), _hex(strong), soft, _hex(_shade(given, 0.277, min(chroma, 0.045))), *DARK_GROUNDS)


def _shade(color: "Color", lightness: float, chroma: float) -> "Color":
    return color.clone().set({"lightness": lightness, "chroma": chroma})


def _readable(color: "Color", grounds: tuple[str, ...], step: float) -> "Color":
    while min(color.new(_hex(color)).contrast(ground) for ground in grounds) < MIN_CONTRAST:
        color = _shade(color, color["lightness"] + step, color["chroma"])
    return color


def _hex(color: "Color") -> str:
    return color.convert("srgb").fit().to_string(hex=True)


def _is_email(text: str, special: tuple[str, ...]) -> bool:
    with suppress(ValueError):
        return "<" not in text and bool(parse_sender(text, special))
    return False


def _is_url(text: str) -> bool:
    with suppress(ValueError):
        return bool(URL.fullmatch(text)) and urlsplit(text).port != 0
    return False

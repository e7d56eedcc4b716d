"""Time zones, by their IANA names such as Europe/Berlin."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from functools import cache, lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from babel import Locale
from babel.core import get_global
from babel.dates import get_timezone_gmt, get_timezone_location
from flask_babel import gettext

UTC_NAME = "UTC"
REGIONS = set("Africa America Antarctica Arctic Asia Atlantic Australia Europe Indian Pacific".split())

Region = tuple[str, list[tuple[str, str]]]  # its name, and the name and label of each time zone


def find(name: str | None) -> ZoneInfo | None:
    """Return a time zone, or None if this computer doesn't know it."""
    with suppress(ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a folder, or too long for a file
        return ZoneInfo(name) if name else None
    return None


def normal(name: str) -> str | None:
    """Return the current name of a time zone, such as Asia/Kolkata for Asia/Calcutta; None for an unknown one."""
    name = _current_name(name)
    if name == "Etc/UTC":
        return UTC_NAME
    return name if name in _places() else None  # ZoneInfo would import a package for each folder in the name


def city(name: str | None, locale: Locale) -> str:
    """Return the name of the city that stands for a time zone; UTC if it is unknown."""
    known = normal(name or "") or UTC_NAME
    return UTC_NAME if known == UTC_NAME else _city(known, locale)


def by_region(locale: Locale, now: datetime) -> Iterator[Region]:
    """Yield the time zones of each region, by the name of a city, with the present difference from UTC."""
    labels = _labels(locale, now.replace(minute=now.minute // 15 * 15, second=0, microsecond=0))
    for region, words in sorted(_region_names().items(), key=lambda each: each[1].casefold()):
        yield words, [(name, label) for name, label in labels if name.partition("/")[0] == region]


@lru_cache(
    16
)  # 16 times 100 KB. Clocks change at a quarter of an hour, and ZoneInfo reads a file for each of 400 zones
def _labels(locale: Locale, at: datetime) -> list[tuple[str, str]]:
    """Return the name and label of each time zone, sorted by city."""
    return [(name, _label(name, locale, at)) for _, name in sorted((_city(n, locale).casefold(), n) for n in _places())]


def _label(name: str, locale: Locale, now: datetime) -> str:
    offset = get_timezone_gmt(now.astimezone(ZoneInfo(name)), "long", locale)
    return f"{_city(name, locale)} ({offset})"


@cache
def _places() -> frozenset[str]:
    """Return the current names of all time zones that stand for a place."""
    known = available_timezones()
    return frozenset(name for name in map(_current_name, known) if name.partition("/")[0] in REGIONS and name in known)


@lru_cache(4096)
def _city(name: str, locale: Locale) -> str:
    return get_timezone_location(name, locale=locale, return_city=True)


def _current_name(name: str) -> str:
    return str(get_global("zone_aliases").get(name, name))


def _region_names() -> dict[str, str]:
    return {
        "Africa": gettext("Africa"),
        "America": gettext("America"),
        "Antarctica": gettext("Antarctica"),
        "Arctic": gettext("Arctic"),
        "Asia": gettext("Asia"),
        "Atlantic": gettext("Atlantic Ocean"),
        "Australia": gettext("Australia"),
        "Europe": gettext("Europe"),
        "Indian": gettext("Indian Ocean"),
        "Pacific": gettext("Pacific Ocean"),
    }

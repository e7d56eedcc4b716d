"""Dates, times, spans of time, numbers and lists in the language and the time zone of the reader.

The patterns are those of Unicode CLDR, by Babel; English is written as in the United Kingdom. On the command line,
times are in English and UTC. The functions are also filters of templates: {{ user.created_at | day }}.
"""

import math
import re
from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal, localcontext
from functools import lru_cache

from babel import Locale
from babel.dates import (
    format_date,
    format_skeleton,
    format_time,
    format_timedelta,
    get_datetime_format,
    get_timezone_gmt,
    get_timezone_name,
)
from babel.lists import format_list
from babel.numbers import format_decimal, format_percent
from flask_babel import get_locale, gettext

from app import clock, languages, time_zones

BRITISH = Locale("en", "GB")
MINUTE, HOUR, DAY = 60, 3600, 24 * 3600  # seconds
MAX_ABBREVIATION = 5  # letters


def moment(at: datetime) -> str:
    """Return a time as 4 May 2031, 14:05 UTC."""
    return joined(day(at), time_of_day(at))


def day(at: date) -> str:
    """Return a date, or that of a time, as 4 May 2031."""
    return format_date(_local(at) if isinstance(at, datetime) else at, "long", _locale())


def which_day(at: datetime) -> str:
    """Return the day of a time in the past as "Today", "Yesterday" or "Sunday, 4 May 2031"."""
    days = (_local(clock.now()).date() - _local(at).date()).days
    if days in {0, 1}:
        return gettext("Yesterday") if days else gettext("Today")
    return format_date(_local(at), "full", _locale())


def time_of_day(at: datetime) -> str:
    """Return the time of a day as 14:05 UTC."""
    at, locale = _local(at), _locale()
    return format_time(at, _time_pattern(locale, _zone_name(at, locale)), at.tzinfo, locale)


def ago(at: datetime) -> str:
    """Return a time in the past as "just now", "3 hours ago" or, after a week, "on 4 May 2031"."""
    seconds = (clock.now() - at).total_seconds()
    if seconds < MINUTE:
        return gettext("just now")
    if seconds >= 7 * DAY:
        return gettext("on %(day)s", day=day(at))
    size, unit = (MINUTE, "minute") if seconds < HOUR else (HOUR, "hour") if seconds < DAY else (DAY, "day")
    return _span(-(seconds // size) * size, unit, has_direction=True)


def duration(seconds: float) -> str:
    """Return a span of time as "90 seconds", "4 minutes" or "2 hours", rounded up so that nobody comes too early."""
    return _span(*_rounded_up(seconds))


def later(seconds: float) -> str:
    """Return when a span of time ends as "in 90 seconds" or "in 2 hours", where languages inflect the unit."""
    return _span(*_rounded_up(seconds), has_direction=True)


def number(value: float | Decimal) -> str:
    """Return a number as 12,345.5."""
    return _number(value, _locale())


@lru_cache(1000)
def _number(value: float | Decimal, locale: Locale) -> str:
    with localcontext(prec=60):  # digits, more than the number of IPv6 addresses has
        return format_decimal(value, locale=locale)


def percent(share: float) -> str:
    """Return a share such as 0.995 as 99.5%."""
    return format_percent(round(share, 3), locale=_locale(), decimal_quantization=False)


def conjunction(texts: Iterable[str]) -> str:
    """Return a list as "Firefox, Chrome and Safari"."""
    return format_list([str(text) for text in texts], "standard", _locale())


def city(time_zone: str | None) -> str:
    """Return the name of a city for a time zone such as America/New_York."""
    return time_zones.city(time_zone, _locale())


def in_utc(at: datetime, skeleton: str) -> str:
    """Return a time in UTC by the fields of a CLDR skeleton: "MMMd" makes 4 May, "yMMM" May 2031, "Hm" 14:05."""
    return format_skeleton(skeleton, at, UTC, locale=_locale())


def joined(date: str, time: str) -> str:
    """Return a date and a time as one text."""
    return moment_pattern().replace("{1}", date).replace("{0}", time)


def moment_pattern() -> str:
    """Return the pattern that joins a date {1} and a time {0}, such as "{1}, {0}"."""
    return str(get_datetime_format("long", _locale())).replace("'", "")


def _locale() -> Locale:
    locale = get_locale() or BRITISH  # None: no application, in a script
    return BRITISH if locale == languages.ENGLISH else locale


def _local(at: datetime) -> datetime:
    return at.astimezone(languages.reader_zone())


def _zone_name(at: datetime, locale: Locale) -> str:
    """Return the short name of a time zone: UTC, the abbreviation that the language has, or the offset."""
    name = "UTC" if at.tzname() == "UTC" else get_timezone_name(at, "short", locale=locale)
    return name if name.isalpha() and len(name) <= MAX_ABBREVIATION else get_timezone_gmt(at, "long", locale)


@lru_cache(4096)
def _time_pattern(locale: Locale, zone_name: str) -> str:
    """Return the pattern of a time with its zone, such as "HH:mm 'CEST'"."""
    has_24_hours = re.search("[HkK]", locale.time_formats["short"].pattern)
    pattern = locale.datetime_skeletons["Hmv" if has_24_hours else "hmv"].pattern
    return pattern.replace("v", f"'{zone_name}'")


def _rounded_up(seconds: float) -> tuple[float, str]:
    """Return a span of time in whole seconds, minutes, hours or days, and the unit."""
    size, unit = (1, "second") if seconds <= 90 else (MINUTE, "minute") if seconds <= 90 * MINUTE else (HOUR, "hour")
    if seconds > 2 * DAY:
        size, unit = DAY, "day"
    return math.ceil(seconds / size) * size, unit


def _span(seconds: float, unit: str, *, has_direction: bool = False) -> str:
    """Return a span of time in a unit of which it is a multiple."""
    return format_timedelta(seconds, unit, threshold=math.inf, add_direction=has_direction, locale=_locale())

"""The current time, and times in words. All code uses this module, so that tests can move the clock."""

import math
from datetime import UTC, datetime, timedelta

SKEW = timedelta(seconds=60)  # the clock of another server may be ahead by this much
MINUTE, HOUR, DAY = 60, 3600, 24 * 3600  # seconds


def now() -> datetime:
    return datetime.now(UTC)


def day(at: datetime) -> str:
    """Return a date as 4 May 2031, on every platform: `%-d` of strftime() fails on Windows."""
    return f"{at.day} {at:%B %Y}"


def which_day(at: datetime) -> str:
    """Return the day of a time in the past as "Today", "Yesterday" or "Sunday, 4 May 2031"."""
    days = (now().date() - at.date()).days
    return {0: "Today", 1: "Yesterday"}.get(days) or f"{at:%A}, {day(at)}"


def moment(at: datetime) -> str:
    """Return a time as 4 May 2031, 14:05 UTC."""
    return f"{day(at)}, {at:%H:%M} UTC"


def ago(at: datetime) -> str:
    """Return a time in the past as "just now", "3 hours ago" or, after a week, "on 4 May 2031"."""
    seconds = (now() - at).total_seconds()
    if seconds < MINUTE:
        return "just now"
    if seconds < HOUR:
        return f"{_count(seconds // MINUTE, 'minute')} ago"
    if seconds < DAY:
        return f"{_count(seconds // HOUR, 'hour')} ago"
    return f"{_count(seconds // DAY, 'day')} ago" if seconds < 7 * DAY else f"on {day(at)}"


def duration(seconds: float) -> str:
    """Return a span of time as "90 seconds", "4 minutes" or "2 hours", rounded up so that nobody comes too early."""
    if seconds <= 90:
        return _count(math.ceil(seconds), "second")
    if seconds <= 90 * MINUTE:
        return _count(math.ceil(seconds / MINUTE), "minute")
    return _count(math.ceil(seconds / HOUR), "hour") if seconds <= 2 * DAY else _count(math.ceil(seconds / DAY), "day")


def is_within(at: datetime, lifetime: timedelta) -> bool:
    """Return whether `at` is less than `lifetime` ago. A moment in the future is not, except for skew."""
    return -SKEW <= now() - at < lifetime


def _count(number: float, unit: str) -> str:
    return f"{number:.0f} {unit}{'' if number == 1 else 's'}"

"""The current time. All code uses this module, so that tests can move the clock."""

from datetime import UTC, datetime, timedelta

SKEW = timedelta(seconds=60)  # the clock of another server may be ahead by this much


def now() -> datetime:
    return datetime.now(UTC)


def day(moment: datetime) -> str:
    """Return a date as 4 May 2031, on every platform: `%-d` of strftime() fails on Windows."""
    return f"{moment.day} {moment:%B %Y}"


def is_within(moment: datetime, lifetime: timedelta) -> bool:
    """Return whether `moment` is less than `lifetime` ago. A moment in the future is not, except for skew."""
    return -SKEW <= now() - moment < lifetime

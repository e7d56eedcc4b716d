"""The current time. All code asks this module, so that tests can move the clock."""

from datetime import UTC, datetime, timedelta

SKEW = timedelta(seconds=60)  # by which the clock of another server may be ahead


def now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


def day(moment: datetime) -> str:
    """Return a date as 4 May 2031, on every platform: `%-d` of strftime() fails on Windows."""
    return f"{moment.day} {moment:%B %Y}"


def is_within(moment: datetime, lifetime: timedelta) -> bool:
    """Return whether `moment` is less than `lifetime` ago. A moment in the future is not, except for skew."""
    return -SKEW <= now() - moment < lifetime

"""What time it is. Everything that asks, asks here, so that tests can move it."""

from datetime import UTC, datetime, timedelta

SKEW = timedelta(seconds=60)  # that the clock of another server may be ahead


def now() -> datetime:
    """Return the present moment, in UTC."""
    return datetime.now(UTC)


def day(moment: datetime) -> str:
    """Return a date in words, 4 May 2031, on every platform: `%-d` of strftime() fails on Windows."""
    return f"{moment.day} {moment:%B %Y}"


def is_within(moment: datetime, lifetime: timedelta) -> bool:
    """Say whether `moment` is less than `lifetime` ago, and not to come: nothing lasts by a clock that was put back."""
    return -SKEW <= now() - moment < lifetime

"""The current time. All code uses this module, so that tests can move the clock. app/formats.py has the words."""

from datetime import UTC, datetime, timedelta

SKEW = timedelta(seconds=60)  # the clock of another server may be ahead by this much


def now() -> datetime:
    return datetime.now(UTC)


def is_within(at: datetime, lifetime: timedelta) -> bool:
    """Return whether `at` is less than `lifetime` ago. A moment in the future is not, except for skew."""
    return -SKEW <= now() - at < lifetime

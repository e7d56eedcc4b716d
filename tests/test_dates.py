"""Dates, times and spans of time in words. tests/browser/test_dates_in_browser.py has what scripts make of them."""

from datetime import UTC, datetime, timedelta

import pytest

from app import clock as clocks

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
MOMENT = timedelta(microseconds=1)


def test_a_time_names_its_zone():
    assert clocks.moment(datetime(2031, 5, 4, 8, 5, tzinfo=UTC)) == "4 May 2031, 08:05 UTC"


@pytest.mark.parametrize(
    ("age", "words"),
    [
        (-MINUTE, "just now"),
        (MINUTE - MOMENT, "just now"),
        (MINUTE, "1 minute ago"),
        (HOUR - MOMENT, "59 minutes ago"),
        (HOUR, "1 hour ago"),
        (DAY - MOMENT, "23 hours ago"),
        (DAY, "1 day ago"),
        (7 * DAY - MOMENT, "6 days ago"),
        (7 * DAY, "on 27 April 2031"),
    ],
)
def test_a_recent_time_is_relative(clock, age, words):
    clock.time = datetime(2031, 5, 4, 8, 5, tzinfo=UTC)
    assert clocks.ago(clock.time - age) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1, "1 second"),
        (59.2, "60 seconds"),
        (90, "90 seconds"),
        (91, "2 minutes"),
        (300, "5 minutes"),
        (301, "6 minutes"),
        (5400, "90 minutes"),
        (5401, "2 hours"),
        (24 * 3600, "24 hours"),
        (50 * 3600, "3 days"),
    ],
)
def test_a_span_of_time_in_words(seconds, words):
    assert clocks.duration(seconds) == words

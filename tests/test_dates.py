"""Dates, times, numbers and lists in words. tests/browser/test_dates_in_browser.py has what scripts make of them."""

from datetime import UTC, datetime, timedelta

import pytest

from app import formats, languages
from app.extensions import db

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
INSTANT = timedelta(microseconds=1)
AT = datetime(2031, 5, 4, 22, 5, tzinfo=UTC)


def test_a_time_names_its_zone():
    assert formats.moment(datetime(2031, 5, 4, 8, 5, tzinfo=UTC)) == "4 May 2031, 08:05 UTC"


@pytest.mark.parametrize(
    ("language", "time_zone", "moment", "which_day"),
    [
        ("en", None, "4 May 2031, 22:05 UTC", "Sunday, 4 May 2031"),
        ("en", "Mars/Utopia", "4 May 2031, 22:05 UTC", "Sunday, 4 May 2031"),
        ("en", "Europe/London", "4 May 2031, 23:05 BST", "Sunday, 4 May 2031"),
        ("en", "America/New_York", "4 May 2031, 18:05 GMT-04:00", "Sunday, 4 May 2031"),
        ("en", "Asia/Kolkata", "5 May 2031, 03:35 GMT+05:30", "Monday, 5 May 2031"),
        ("de", "Europe/Berlin", "5. Mai 2031, 00:05 MESZ", "Montag, 5. Mai 2031"),
        ("de", "Asia/Tokyo", "5. Mai 2031, 07:05 GMT+09:00", "Montag, 5. Mai 2031"),
        ("ar", None, "4 مايو 2031، 10:05 م UTC", "الأحد، 4 مايو 2031"),
        ("ar", "Asia/Riyadh", "5 مايو 2031، 1:05 ص غرينتش+03:00", "الاثنين، 5 مايو 2031"),
        ("ja", "Asia/Tokyo", "2031年5月5日 7:05 JST", "2031年5月5日月曜日"),
    ],
)
def test_times_are_in_the_language_and_zone_of_the_reader(app, language, time_zone, moment, which_day):
    with languages.speaking(language, time_zone):
        assert (formats.moment(AT), formats.which_day(AT)) == (moment, which_day)


def test_today_and_yesterday_are_those_of_the_zone(app, clock):
    clock.time = datetime(2031, 5, 5, 0, 30, tzinfo=UTC)
    assert formats.which_day(AT) == "Yesterday"
    with languages.speaking("en", "Europe/Berlin"):
        assert formats.which_day(AT) == "Today"


@pytest.mark.parametrize(
    ("age", "words", "german", "arabic"),
    [
        (-MINUTE, "just now", None, None),
        (MINUTE - INSTANT, "just now", None, None),
        (MINUTE, "1 minute ago", "vor 1 Minute", "قبل دقيقة واحدة"),
        (HOUR - INSTANT, "59 minutes ago", "vor 59 Minuten", "قبل 59 دقيقة"),
        (HOUR, "1 hour ago", "vor 1 Stunde", "قبل ساعة واحدة"),
        (DAY - INSTANT, "23 hours ago", "vor 23 Stunden", "قبل 23 ساعة"),
        (DAY, "1 day ago", "vor 1 Tag", "قبل يوم واحد"),
        (2 * DAY, "2 days ago", "vor 2 Tagen", "قبل يومين"),
        (7 * DAY - INSTANT, "6 days ago", "vor 6 Tagen", "قبل 6 أيام"),
        (7 * DAY, "on 27 April 2031", "27. April 2031", "27 أبريل 2031"),
    ],
)
def test_a_recent_time_is_relative(app, clock, age, words, german, arabic):
    clock.time = datetime(2031, 5, 4, 8, 5, tzinfo=UTC)
    assert formats.ago(clock.time - age) == words
    for language, expected in (("de", german), ("ar", arabic)):
        with languages.speaking(language):
            assert (expected or "") in formats.ago(clock.time - age)


@pytest.mark.parametrize(
    ("seconds", "words", "german"),
    [
        (1, "1 second", "1 Sekunde"),
        (59.2, "60 seconds", "60 Sekunden"),
        (90, "90 seconds", "90 Sekunden"),
        (91, "2 minutes", "2 Minuten"),
        (300, "5 minutes", "5 Minuten"),
        (301, "6 minutes", "6 Minuten"),
        (5400, "90 minutes", "90 Minuten"),
        (5401, "2 hours", "2 Stunden"),
        (24 * 3600, "24 hours", "24 Stunden"),
        (50 * 3600, "3 days", "3 Tage"),
    ],
)
def test_a_span_of_time_is_rounded_up(app, seconds, words, german):
    assert formats.duration(seconds) == words
    with languages.speaking("de"):
        assert formats.duration(seconds) == german


@pytest.mark.parametrize(
    ("language", "number", "names", "month"),
    [
        ("en", "12,345.5", "Ada, Bob and Cy", "4 May"),
        ("de", "12.345,5", "Ada, Bob und Cy", "4. Mai"),
        ("ar", "12,345.5", "Ada وBob وCy", "4 مايو"),
    ],
)
def test_numbers_and_lists_are_in_the_language(app, language, number, names, month):
    with languages.speaking(language, "Pacific/Auckland"):
        assert formats.number(12345.5) == number
        assert formats.conjunction(["Ada", "Bob", "Cy"]) == names
        assert formats.in_utc(AT, "MMMd") == month


def test_pages_use_the_time_zone_of_the_account(client, ada, clock):
    clock.time = AT
    ada.time_zone = "Europe/Berlin"
    db.session.commit()
    client.log_in(ada)
    page = client.get("/auth/history").text
    assert ">00:05 CEST</time>" in page
    assert ">5 May 2031, 00:05 CEST</time>" in page

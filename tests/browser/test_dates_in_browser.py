"""Times in the time zone of the browser, in the style of the pages without scripts; and the days of that zone."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from support.clients import PASSWORD
from support.tour import go

from app import clock, formats
from app.extensions import db
from app.models import AuditAction, AuditEvent

pytestmark = pytest.mark.extended

WINTER, SUMMER = datetime(2026, 1, 9, 23, 5, tzinfo=UTC), datetime(2026, 6, 9, 23, 5, tzinfo=UTC)
ZONES = [
    ("Europe/Berlin", WINTER, "Saturday, 10 January 2026", "00:05 CET"),
    ("Europe/Berlin", SUMMER, "Wednesday, 10 June 2026", "01:05 CEST"),
    ("America/New_York", WINTER, "Friday, 9 January 2026", "18:05 GMT-5"),
    ("Asia/Kolkata", WINTER, "Saturday, 10 January 2026", "04:35 GMT+5:30"),
    ("UTC", WINTER, "Friday, 9 January 2026", "23:05 UTC"),
]


def read(page):
    """Return the events of the history page by day: their titles."""
    return {
        day.locator("h2").inner_text(): day.locator(".row-title").all_inner_texts()
        for day in page.locator(".day").all()
    }


@pytest.mark.parametrize(("zone", "at", "day", "time"), ZONES)
def test_times_are_shown_in_the_zone_of_the_browser(ada, live, browser, zone, at, day, time):
    db.session.add(AuditEvent(user_id=ada.id, action=AuditAction.LOGGED_OUT, at=at))
    db.session.commit()
    context = browser.new_context(base_url=live, timezone_id=zone, locale="en-US")
    page = context.new_page()
    page.goto("/auth/login?next=/auth/history")
    page.get_by_label("Email or username").fill("ada")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Log in", exact=True).click()
    page.wait_for_url("**/auth/history")
    assert ada.time_zone == zone, "the login form has told the server"
    assert read(page)[day] == ["Logged out"]
    ada.time_zone = None  # as with accounts of an earlier release
    db.session.commit()
    page.reload()
    assert read(page)[day] == ["Logged out"]
    last = page.locator("summary").last
    assert last.locator("time").inner_text() == time
    last.click()
    assert page.locator("dd time").last.inner_text() == f"{day.partition(', ')[2]}, {time}"
    assert page.locator("dd time").last.get_attribute("title") == formats.moment(at)
    page.goto("/auth/devices")
    ago = page.locator(".row-detail time").first
    zone_name = page.evaluate("() => new Date().toLocaleString('en-GB', {timeZoneName: 'short'}).split(' ').pop()")
    assert (ago.inner_text(), ago.get_attribute("title").endswith(zone_name)) == ("just now", True)
    context.close()


@pytest.mark.parametrize("has_scripts", [True, False])
def test_history_is_grouped_by_the_days_of_the_browser_or_else_of_utc(ada, live, browser, has_scripts):
    midnight = clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
    for days, minutes in ((1, 10), (1, -10), (2, -10)):
        at = midnight - timedelta(days=days, minutes=minutes)
        db.session.add(AuditEvent(user_id=ada.id, action=AuditAction.LOGGED_OUT, at=at))
    db.session.commit()
    context = browser.new_context(base_url=live, timezone_id="Etc/GMT-1", java_script_enabled=has_scripts)
    page = context.new_page()
    go(page, "ada", lambda page: page.goto("/auth/history"))
    counts = [len(titles) for day, titles in read(page).items() if day != "Today"]
    assert counts == ([2, 1] if has_scripts else [1, 2])
    context.close()


def test_a_button_counts_down_and_no_sentence_beside_it_says_otherwise(bob, live, browser):
    words = {}
    for has_scripts in (False, True):
        page = browser.new_context(base_url=live, java_script_enabled=has_scripts).new_page()
        go(page, "bob", lambda page: page.goto("/auth/unconfirmed"))
        if not has_scripts:
            page.get_by_role("button", name="Send another email").click()
        page.get_by_role("button", name=re.compile("Send another email")).wait_for()
        words[has_scripts] = page.locator("main").inner_text()
        page.context.close()
    assert re.search(r"You can do that in \d\d seconds\.", words[False])
    assert "You can do that" not in words[True]
    assert re.search(r"Send another email \(\d\d secs?\)", words[True])


def test_the_zone_of_the_browser_is_proposed_even_by_an_older_name(ada, live, browser):
    context = browser.new_context(base_url=live, timezone_id="Asia/Calcutta", locale="en-US")
    page = context.new_page()
    go(page, "ada", lambda page: page.goto("/language"))
    zones, button = page.get_by_label("Time zone"), page.get_by_role("button", name="Use my browser's time zone")
    assert (zones.input_value(), button.is_visible()) == ("Asia/Kolkata", False), "the login has stored it"
    zones.select_option("Europe/Berlin")
    button.click()
    assert (zones.input_value(), button.is_visible()) == ("Asia/Kolkata", False)
    ada.time_zone = None
    db.session.commit()
    page.reload()
    assert zones.input_value() == "Asia/Kolkata"
    context.close()

"""The administration page of audit events, and their export."""

import csv
import json
from datetime import timedelta

import pytest
from support.clients import on_sqlite

from app import clock as clocks
from app.admin import events as page
from app.extensions import db
from app.models import AuditAction, AuditEvent
from app.security import audit


@pytest.fixture
def events(app, bob, clock):
    """Sixty events of an hour each, of several networks."""
    for number in range(60):
        ip = ["192.0.2.7", "192.0.21.7", "2001:db8::7", "2001:db8::8"][number % 4]
        network = ["192.0.2.7", "192.0.21.7", "2001:db8::/64", "2001:db8::/64"][number % 4]
        event = AuditEvent(
            action=AuditAction.LOGIN_FAILED if number % 2 else AuditAction.EXPORTED, count=1 + number % 3
        )
        event.user_id, event.ip, event.network = bob.id if number < 5 else None, ip, network
        event.at, event.user_agent = clock.time - timedelta(hours=1 + number), "=cmd()"
        db.session.add(event)
    db.session.commit()


def found(**conditions):
    return len(db.session.scalars(audit.search(**conditions)).all())


def test_events_are_found_by_action_user_place_and_time(events, bob, clock):
    assert found() == 60
    assert found(action="exported") == 30
    assert found(action="exported", user_id=bob.id) == 3
    assert found(place="192.0.2.7") == found(place="192.0.2.0/24") == 15
    assert found(place=" 2001:db8::9 ") == found(place="2001:db8::/64") == found(place="2001:db8::/56") == 30
    assert found(since=clock.time - timedelta(hours=10)) == 10
    assert found(until=clock.time - timedelta(hours=10)) == 51
    for place in ("x", "192.0.2.0/23", "2001:db8::/55", "0.0.0.0/0"):
        with pytest.raises(ValueError, match="Enter an IP address"):
            audit.search(place=place)


@on_sqlite
def test_the_page_filters_events_and_leads_to_older_ones_and_back(administrator, events, bob, clock):
    first = administrator.get("/admin/events?action=login_failed")
    assert first.text.count("<tr>") == 1 + 30
    assert "3 times" in first.text
    for who in ("bob", "bob@example.com", str(bob.id)):
        assert administrator.get(f"/admin/events?user={who}").text.count("<tr>") == 1 + 5
    day = (clock.time - timedelta(days=1)).date()
    assert administrator.get(f"/admin/events?since={day}&until={day}&ip=2001:db8::/64").text.count("<tr>") == 1 + 12
    wrong = administrator.get("/admin/events?user=nobody&ip=x&until=x&action=x")
    assert wrong.status_code == 200
    assert "There is no such account." in wrong.text
    assert "Enter an IP address, or a network" in wrong.text
    assert "No events match this filter." in administrator.get("/admin/events?action=deactivated").text


@on_sqlite
def test_the_export_has_all_events_of_the_filter_and_no_formula(administrator, events, monkeypatch):
    monkeypatch.setattr("app.keyset.CHUNK", 7)
    answer = administrator.post("/admin/events/export?format=csv&action=login_failed&older=x", buffered=True)
    assert answer.headers["Content-Disposition"] == "attachment; filename=events.csv"
    rows = list(csv.DictReader(answer.text.splitlines()))
    assert (len(rows), rows[0]["user_agent"]) == (30, "'=cmd()")
    lines = administrator.post("/admin/events/export?format=jsonl&action=login_failed", buffered=True).text.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [int(row["id"]) for row in rows]
    assert json.loads(lines[0]).keys() == {*page.EXPORTED}
    assert clocks.datetime.fromisoformat(json.loads(lines[0])["at"]).utcoffset() == timedelta(0)
    downloads = db.session.scalars(audit.search(action="exported").order_by(AuditEvent.id.desc()).limit(2))
    assert [event.detail["new"] for event in downloads] == ["Events", "Events"], "each download leaves an event"
    for query in ("", "?format=xml", "?format=csv&action=x"):
        assert administrator.post(f"/admin/events/export{query}").status_code == 404


@on_sqlite
@pytest.mark.parametrize(
    ("path", "form", "undo"),
    [
        ("blocks", {"subject": "evil.example.org", "reason": "They send spam"}, "remove"),
        ("invitations", {"email": "x@example.org", "role": "moderator"}, "withdraw"),
    ],
)
def test_blocks_and_invitations_are_named_with_the_reason_or_role(administrator, path, form, undo):
    subject, why = form.values()
    assert administrator.post(f"/admin/{path}", data=form).status_code == 302
    page = administrator.get("/admin/events")
    assert (
        page.status_code,
        page.text.count(f"About: <bdi>{subject}"),
        f": <bdi>{why}" in page.text.replace("Moder", "moder"),
    ) == (200, 1, True)
    administrator.post(f"/admin/{path}/1/{undo}")
    assert administrator.get("/admin/events").text.count(f"About: <bdi>{subject}") == 2

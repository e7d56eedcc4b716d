"""Numbers of the site: on the overview of administrators and by `flask users stats`."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import delete, insert, select, text
from support.clients import on_sqlite

from app.accounts import jobs, statistics, totals
from app.accounts.statistics import Measure, Range
from app.email import bounces
from app.email.templates import Email
from app.extensions import db
from app.models import AuditAction, AuditEvent, DailyCount, OutboxEmail, User
from app.models.outbox_email import Status

NOON = datetime(2031, 3, 20, 12, 30, tzinfo=UTC)


@pytest.fixture
def history(app, clock):
    """What happened before 20 March 2031, 12:30."""
    clock.time = NOON
    for hours, action, count, detail in [
        (0, AuditAction.LOGGED_IN, 1, {"method": "passkey"}),
        (1, AuditAction.LOGGED_IN, 1, {"method": "sso:acme"}),
        (23, AuditAction.LOGIN_FAILED, 7, {"method": "password"}),
        (24, AuditAction.LOGGED_IN, 1, {}),
        (24 * 29, AuditAction.REGISTERED, 1, {}),
        (24 * 30, AuditAction.REGISTERED, 1, {}),
        (24 * 340, AuditAction.LOGGED_IN, 1, {"method": "passkey"}),
        (24 * 500, AuditAction.REGISTERED, 1, {}),
    ]:
        at = NOON - timedelta(hours=hours)
        db.session.add(AuditEvent(action=action, count=count, detail=detail, at=at))
    for number, status in enumerate(Status):
        email = OutboxEmail(name=Email.PASSWORD_GUESSING, recipient="ada@example.com", message_id=str(number))
        email.status, email.done_at = status, None if status == Status.WAITING else NOON - timedelta(hours=2)
        db.session.add(email)
    db.session.commit()


def numbers(span):
    return {measure.value: sum(values) for measure, values in statistics.report(span).counts.items() if sum(values)}


EMAILS = {"sent": 3, "undelivered": 2, "locked": 4}


def test_a_report_counts_events_and_emails_by_hour_day_and_month(history):
    report = statistics.report(Range.DAY)
    assert (report.starts[0], report.starts[-1]) == (NOON.replace(day=19, hour=13, minute=0), NOON.replace(minute=0))
    assert report.counts[Measure.LOGINS] == [0] * 22 + [1, 1]
    assert report.counts[Measure.FAILED_LOGINS] == [7] + [0] * 23
    assert report.methods == {"passkey": 1, "sso:acme": 1}
    assert numbers(Range.DAY) == EMAILS | {"logged_in": 2, "login_failed": 7}
    assert numbers(Range.MONTH) == EMAILS | {"logged_in": 3, "login_failed": 7, "registered": 1}
    report = statistics.report(Range.YEAR)
    assert [f"{start:%Y-%m}" for start in report.starts] == [
        *(f"2030-{month:02}" for month in range(4, 13)),
        *("2031-01", "2031-02", "2031-03"),
    ]
    assert report.counts[Measure.SIGN_UPS] == [0] * 10 + [2, 0]
    assert numbers(Range.YEAR) == EMAILS | {"logged_in": 4, "login_failed": 7, "registered": 2}


def test_the_job_keeps_the_numbers_of_days_whose_events_and_emails_are_deleted(history, clock):
    before = {span: numbers(span) for span in Range}
    assert jobs.run("daily_counts").error == ""
    assert {span: numbers(span) for span in Range} == before
    assert db.session.scalar(select(DailyCount.count).filter_by(name="login_failed")) == 7
    clock.move(days=1)
    assert jobs.run("daily_counts").count == 5, "the two methods, and three numbers of emails"
    for model in (AuditEvent, OutboxEmail):
        db.session.execute(delete(model))
    db.session.commit()
    assert numbers(Range.YEAR) == before[Range.YEAR]
    assert statistics.report(Range.YEAR).methods == {"passkey": 2, "sso:acme": 1}
    clock.move(days=1)
    assert jobs.run("daily_counts").count == 0
    assert numbers(Range.YEAR) == before[Range.YEAR], "each day is counted once"


@pytest.mark.parametrize("status", [Status.BOUNCED, Status.FAILED, Status.COMPLAINED])
def test_an_email_that_comes_back_after_the_count_of_its_day_is_counted_there(app, clock, status):
    clock.time = NOON.replace(hour=23)
    db.session.add(AuditEvent(action=AuditAction.REGISTERED, at=clock.time))
    for name in ("ada", "bob", "eve"):
        email = OutboxEmail(name=Email.CONFIRM, recipient=f"{name}@example.com", message_id=f"<{name}@localhost>")
        email.done(Status.SENT)
        db.session.add(email)
    db.session.commit()
    assert bounces.record("<ada@localhost>", "ada@example.com", status, "before the count")
    db.session.commit()
    clock.move(hours=2)
    assert jobs.run("daily_counts").error == ""
    assert numbers(Range.MONTH) == numbers(Range.DAY)
    for _ in range(2):
        for name in ("bob", "eve"):
            assert bounces.record(f"<{name}@localhost>", f"{name}@example.com", status, "after it")
        db.session.commit()
        assert numbers(Range.YEAR) == numbers(Range.MONTH) == numbers(Range.DAY)
    assert len(set(db.session.scalars(select(DailyCount.day)))) == 1


@on_sqlite
@pytest.mark.parametrize("span", [*Range])
def test_the_overview_draws_each_number_and_repeats_it_in_a_table(history, administrator, span):
    page = administrator.get(f"/admin/?range={span}")
    assert page.text.count("<figure") == len(Measure)
    assert f'aria-current="page">{span.label}' in page.text
    assert page.text.count("<tr><th") == span.periods
    assert re.search(r"Passkey: [12]\b", page.text)
    assert "style=" not in page.text


@on_sqlite
def test_the_overview_says_what_needs_attention(administrator, monkeypatch):
    with monkeypatch.context() as nothing:
        nothing.setattr("app.doctor.findings", lambda quick: [])
        assert "No problems" in administrator.get("/admin/").text
    assert administrator.get("/admin/?range=x").status_code == 404

    def fail():
        raise RuntimeError("the disk is full")

    monkeypatch.setitem(jobs.registered, "devices", fail)
    jobs.run("devices")
    page = administrator.get("/admin/").text
    assert "RuntimeError: the disk is full" in page
    assert "1 failed" in page


@on_sqlite
def test_a_command_prints_the_same_numbers(flask, history):
    printed = flask("users", "stats", "--range", "24h").stdout.splitlines()
    assert printed[0].split() == " ".join(str(measure.label) for measure in Measure).split()
    assert printed[-1].split() == ["2031-03-20", "12:00", "UTC", "0", "0", "1", *"0" * 5]
    rows = [json.loads(line) for line in flask("users", "stats", "--range", "12m", "--json").stdout.splitlines()]
    assert len(rows) == 12
    assert rows[-1]["login_failed"] == 7


def test_many_accounts_are_estimated_by_postgresql(ada, bob, monkeypatch):
    monkeypatch.setattr(totals, "MANY", 2)
    sign = "≈" if db.engine.dialect.name == "postgresql" else ""
    keys = [f"u{number}@example.com" for number in range(1_998)]
    rows = [{"email": key, "email_key": key, "username": key, "username_key": key, "confirmed": False} for key in keys]
    db.session.execute(insert(User), rows)
    db.session.add_all(OutboxEmail(name="confirm", recipient=key, message_id=key) for key in keys[:4])
    db.session.execute(text("ANALYZE users"))
    found = totals.at_present()
    assert found["accounts"] == (2_000, sign)
    assert found["unconfirmed"] == (2_000 if sign else 1_999, sign)
    assert found["two_factor"] == (0, "")
    assert found["waiting"] == ((2, "≥") if sign else (4, ""))

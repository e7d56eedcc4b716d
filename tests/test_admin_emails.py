"""The administration page of the outbox, and the commands that share its services."""

import pytest
from sqlalchemy import select
from support.clients import on_sqlite

from app import clock as clocks
from app.email import outbox, reports
from app.extensions import db
from app.models import AuditAction, AuditEvent, OutboxEmail
from app.models.outbox_email import Status

REFUSED = "550 5.1.1 User unknown"


@pytest.fixture
def emails(app, ada, bob):
    """Five emails of each state."""
    rows = {}
    for number in range(20):
        status = list(Status)[number % 4]
        email = OutboxEmail(name="reset" if number < 10 else "confirm", recipient=f"P{number}@d{number % 2}.example")
        email.user_id, email.status, email.message_id = bob.id, status, str(number)
        email.details = {"code": "zyxomma", "ip": "192.0.2.7"}
        email.error = REFUSED if status == Status.FAILED else ""
        email.done_at = None if status == Status.WAITING else clocks.now()
        db.session.add(email)
        rows.setdefault(status, []).append(email)
    db.session.commit()
    return rows


def recipients(page):
    return {name for name in (f"p{number}@" for number in range(20)) if name in page.text.lower()}


@on_sqlite
def test_emails_are_filtered_by_state_template_and_recipient(administrator, emails):
    page = administrator.get("/admin/emails")
    assert len(recipients(page)) == 20
    assert "zyxomma" not in page.text, "values of an email, which may be secret, are not shown"
    failed = administrator.get("/admin/emails?state=failed&template=reset")
    assert recipients(failed) == {"p3@", "p7@"}
    assert "The recipient&#39;s address doesn&#39;t exist." in failed.text
    assert recipients(administrator.get("/admin/emails?to=p4@D0.example")) == {"p4@"}
    assert len(recipients(administrator.get("/admin/emails?to=@d1.example"))) == 10
    assert "No emails match this filter." in administrator.get("/admin/emails?to=@%25&state=sent").text
    emails[Status.SENT][0].recipient = "p1@xn--mnchen-3ya.example"
    db.session.commit()
    for domain in ("München.example", "xn--mnchen-3ya.example", "mu\u0308nchen.example"):
        assert recipients(administrator.get("/admin/emails", query_string={"to": f"@{domain}"})) == {"p1@"}
    for wrong in ("@", "@a@b.example", f"@{'ü' * 250}"):
        page = administrator.get("/admin/emails", query_string={"to": wrong})
        assert "Enter an email address, or @ and a domain." in page.text
    assert "Not a valid choice" in administrator.get("/admin/emails?state=x").text
    assert "Enter an email address, or @ and a domain." in administrator.get("/admin/emails?to=p4").text


@on_sqlite
def test_an_unsent_email_is_retried_or_dropped_after_a_question(administrator, emails, ada):
    waiting, failed = (emails[status][0] for status in (Status.WAITING, Status.FAILED))
    failed.attempts = 8
    db.session.commit()
    asked = administrator.get(f"/admin/emails/{failed.id}/retry?state=failed")
    assert f"The email to {failed.recipient} is retried now." in asked.text
    assert failed.status == Status.FAILED
    done = administrator.post(f"/admin/emails/{failed.id}/retry?state=failed")
    assert done.location == "/admin/emails?state=failed"
    assert (failed.status, failed.attempts) == (Status.WAITING, 0)
    assert "1 email will be retried." in administrator.get("/admin/emails").text
    administrator.post(f"/admin/emails/{waiting.id}/drop")
    assert waiting.status == Status.OBSOLETE
    event = db.session.scalar(select(AuditEvent).filter_by(action=AuditAction.EMAIL_DROPPED))
    assert (event.user_id, event.detail["email"]) == (waiting.user_id, waiting.name)
    assert event.detail["acting_user"] == ada.id
    assert "Email dropped, by an administrator" in administrator.get("/admin/events").text
    for action in ("retry", "drop"):
        assert administrator.get(f"/admin/emails/{waiting.id}/{action}").status_code == 404
        administrator.post(f"/admin/emails/{waiting.id}/{action}")
    assert waiting.status == Status.OBSOLETE
    assert "The email was sent or dropped in the meantime." in administrator.get("/admin/emails").text


@pytest.mark.parametrize("number", [2**31, 2**63 - 1])
def test_an_email_with_a_large_number_can_be_retried(administrator, emails, number):
    [failed, *_] = emails[Status.FAILED]
    failed.id = number
    db.session.commit()
    assert f"/admin/emails/{number}/retry" in administrator.get("/admin/emails").text
    assert administrator.get(f"/admin/emails/{number}/retry").status_code == 200
    assert administrator.get(f"/admin/emails/{number + 2**63}/retry").status_code == 404
    assert administrator.post(f"/admin/emails/{number}/retry").status_code == 302
    assert db.session.get(OutboxEmail, number, populate_existing=True).status == Status.WAITING


@on_sqlite
def test_all_unsent_emails_are_retried_at_once_and_those_being_sent_are_left_alone(administrator, emails):
    emails[Status.WAITING][0].claimed_until = clocks.now() + clocks.SKEW
    unsent = db.session.query(OutboxEmail).filter(OutboxEmail.status.in_(outbox.UNSENT)).count()
    db.session.commit()
    assert "Retry all" in administrator.get("/admin/emails/retry").text
    administrator.post("/admin/emails/retry")
    assert db.session.scalar(select(AuditEvent).filter_by(action="emails_retried")).detail["by"] == "administrator"
    assert f"{unsent - 1} emails will be retried." in administrator.get("/admin/emails").text
    assert db.session.query(OutboxEmail).filter_by(status=Status.SENT).count() == 5


def test_a_command_drops_an_email(flask, emails):
    email = emails[Status.FAILED][0]
    assert flask("mail", "drop", str(email.id)).exit_code == 0
    assert db.session.get(OutboxEmail, email.id, populate_existing=True).status == Status.OBSOLETE
    again = flask("mail", "drop", str(email.id))
    assert (again.exit_code, f"Email {email.id} is not waiting and has not failed." in again.stderr) == (1, True)
    assert flask("mail", "drop").exit_code == 2
    assert flask("mail", "drop", "--all").stdout.splitlines() == ["9 emails were dropped."]
    emails[Status.FAILED][0].status = Status.WAITING
    db.session.commit()
    assert flask("mail", "drop", "--all").stdout == "1 email was dropped.\n"


def test_the_delivery_rate_counts_sent_and_failed_emails_of_a_week_by_domain(administrator, emails):
    emails[Status.FAILED][0].done_at -= reports.WEEK
    db.session.commit()
    assert [tuple(row) for row in reports.by_domain()] == [("d1.example", 5, 4)]
    assert "55.6%" in administrator.get("/admin/emails/domains").text


@on_sqlite
def test_emails_that_came_back_are_listed_and_count_as_not_delivered(administrator, emails):
    states = {Status.BOUNCED: "Came back", Status.COMPLAINED: "Reported as spam", Status.STOPPED: "Stopped"}
    for email, status in zip(emails[Status.SENT], states, strict=False):
        email.status = status
    db.session.commit()
    for status, words in states.items():
        page = administrator.get(f"/admin/emails?state={status}")
        assert (len(recipients(page)), page.text.count(words)) == (1, 2)  # the choice, and the row
    assert [tuple(row) for row in reports.by_domain()] == [("d1.example", 3, 6)]

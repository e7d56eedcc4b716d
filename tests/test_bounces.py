"""Emails that come back: reports and complaints, the address that they mark, and what users and administrators see."""

import hmac
import io
import re
import time
import zipfile
from base64 import b64encode
from datetime import timedelta
from textwrap import dedent
from types import SimpleNamespace

import pytest
from sqlalchemy import select
from support.clients import PASSWORD, ROOT, on_sqlite

from app.email import bounces, delivery
from app.email.outbox import enqueue
from app.email.templates import Email, EmailTemplate
from app.extensions import db
from app.models import AuditAction, OutboxEmail, User
from app.models.outbox_email import Status
from app.security import audit


class GardenEmail(EmailTemplate):
    PASSWORD_CHANGED = "password_changed"  # a template that exists


def sent(user, to=None, template=Email.PASSWORD_CHANGED, event=None):
    """Send an email, and return its row."""
    enqueue(template, user, to=to, event=event)
    db.session.commit()
    delivery.deliver()
    return db.session.scalar(select(OutboxEmail).order_by(OutboxEmail.id.desc()).limit(1))


def fields(text):
    return "\n".join(f"{name}: {value}" for name, value in text.items()) + "\n"


def report(email, status="5.1.1", action="failed", said="smtp; 550 5.1.1 user unknown", headers=None, **recipients):
    """A delivery report as Postfix and Exim write it."""
    recipients = recipients or {"Final-Recipient": f"rfc822; {email.recipient}"}
    about = recipients | {"Action": action, "Status": status, "Diagnostic-Code": said}
    original = headers or {"Message-ID": email.message_id, "To": email.recipient, "Subject": "Hello"}
    return dedent("""\
        From: MAILER-DAEMON@mail.example.com
        To: no-reply@example.com
        Subject: Undelivered Mail Returned to Sender
        MIME-Version: 1.0
        Content-Type: multipart/report; report-type=delivery-status; boundary="b"

        --b
        Content-Type: text/plain

        I'm sorry to have to inform you that your message could not be delivered.

        --b
        Content-Type: message/delivery-status

        Reporting-MTA: dns; mail.example.com

        {}
        --b
        Content-Type: {}

        {}
        --b--
        """).format(
        fields(about),
        "message/rfc822" if headers is None else "text/rfc822-headers",
        fields(original) + ("\nText\n" if headers is None else ""),
    )  # fmt: skip


def complaint(email, recipient):
    """A complaint as feedback loops write it."""
    message = report(email).replace("report-type=delivery-status", "report-type=feedback-report")
    about = {"Feedback-Type": "abuse", "Version": "1", "User-Agent": "Loop/1"}
    about |= {"Original-Rcpt-To": recipient} if recipient else {}
    feedback = f"Content-Type: message/feedback-report\n\n{fields(about)}"
    return re.sub(r"Content-Type: message/delivery-status\n.*?(?=\n--b\n)", feedback, message, flags=re.DOTALL)


def marked(user):
    db.session.expire_all()
    return user.email_bounced_at is not None


# flask mail bounces


@pytest.mark.parametrize("headers_only", [False, True])
def test_a_bounce_marks_the_address_and_stops_emails_for_a_week(flask, ada, clock, outbox, headers_only):
    email = sent(ada)
    headers = {"Message-ID": email.message_id} if headers_only else None
    result = flask("mail", "bounces", typed=report(email, headers=headers))
    assert result.stdout == "ada@example.com: bounced (550 5.1.1 user unknown)\n"
    assert marked(ada)
    assert (email.status, email.error) == (Status.BOUNCED, "550 5.1.1 user unknown")

    stopped = sent(ada)
    assert (stopped.status, stopped.error) == ("stopped", bounces.STOPPED)
    clock.move(days=7, seconds=1)
    assert sent(ada).status == "sent"
    assert len(outbox) == 2


@on_sqlite
@pytest.mark.parametrize(
    ("about", "status"),
    [
        ({"status": "4.4.1", "action": "delayed"}, "sent"),
        ({"status": "2.0.0", "action": "delivered"}, "sent"),
        ({"status": "4.4.7"}, "failed"),
        ({"status": "5.7.26", "said": "smtp; 550 5.7.26 unauthenticated email"}, "failed"),
        *(({"status": status}, "failed") for status in ("5.3.4", "5.1.8", "5.2.3", "5.2.252", "5.4.5", "5.4.6")),
    ],
)
def test_what_is_not_the_fault_of_the_address_does_not_mark_it(flask, ada, about, status):
    email = sent(ada)
    assert flask("mail", "bounces", typed=report(email, **about)).exit_code == 0
    assert (marked(ada), email.status) == (False, status)


@on_sqlite
@pytest.mark.parametrize("status", ["5.0.0", "5.1.0", "5.1.10", "5.2.1", "5.2.2", "5.4.1", "5.4.4"])
def test_what_is_the_fault_of_the_address_marks_it(flask, ada, status):
    flask("mail", "bounces", typed=report(sent(ada), status=status))
    assert marked(ada)


@on_sqlite
def test_a_report_of_a_server_that_forwards_counts_for_the_address_that_we_wrote_to(flask, ada):
    elsewhere = {"Final-Recipient": "rfc822; ada@forwarded.example", "Original-Recipient": "rfc822;Ada@Example.com"}
    flask("mail", "bounces", typed=report(sent(ada), **elsewhere))
    assert marked(ada)


@on_sqlite
def test_a_forged_report_is_ignored(flask, ada, bob):
    email, another = sent(ada), sent(bob)
    for forged in (
        report(email, headers={"Message-ID": "<forged@example.com>", "To": ada.email}),
        report(email, headers={"To": ada.email}),
        report(email, headers={"Message-ID": another.message_id, "To": ada.email}),
        report(email, headers={"Message-ID": email.message_id}, **{"Final-Recipient": "rfc822; bob@example.com"}),
        report(email).replace("multipart/report", "multipart/mixed"),
        f"To: {ada.email}\nMessage-ID: {email.message_id}\n\nAction: failed\nStatus: 5.1.1\n",
        "",
    ):
        said = flask("mail", "bounces", typed=forged).stdout
        assert said.startswith("The message was ignored: it reports nothing about an email")
    assert (marked(ada), marked(bob)) == (False, False)


@on_sqlite
def test_no_session_learns_what_a_report_must_name(client, ada, outbox, flask):
    email = sent(ada)
    client.log_in(ada)
    archive = zipfile.ZipFile(io.BytesIO(client.post("/auth/export", buffered=True).data))
    assert email.message_id.strip("<>") not in archive.read("outbox.json").decode()


@on_sqlite
def test_a_report_about_an_email_of_more_than_a_week_ago_is_ignored(flask, ada, clock):
    email = sent(ada)
    clock.move(days=7, seconds=1)
    assert flask("mail", "bounces", typed=report(email)).stdout.startswith("The message was ignored")
    assert (marked(ada), email.status) == (False, "sent")


@on_sqlite
def test_an_email_with_the_link_this_wasnt_me_is_always_sent(flask, ada):
    flask("mail", "bounces", typed=report(sent(ada)))
    assert sent(ada).status == "stopped"
    assert sent(ada, event=audit.record(ada, AuditAction.PASSWORD_CHANGED)).status == "sent"
    flask("mail", "bounces", typed=report(sent(ada, to="gone@example.com")))
    event = audit.record(ada, AuditAction.EMAIL_CHANGED)
    assert sent(ada, to="gone@example.com", event=event).status == "sent"


@on_sqlite
def test_hostile_reports_are_ignored(ada, flask):
    email = sent(ada)
    good = report(email).encode()
    hostile = [
        b"Content-Type: multipart/report; boundary=b0\n\n"
        + b"".join(b"--b%d\nContent-Type: multipart/mixed; boundary=b%d\n\n" % (n, n + 1) for n in range(3000)),
        b"Content-Type: multipart/report; boundary=b\n\n" + b"--b\nContent-Type: message/rfc822\n\n" * 5000,
        good.replace(b"message/rfc822", b"message/rfc822; charset=\xff\xfe\x00"),
        good.replace(
            b"message/rfc822\n", b"text/rfc822-headers; charset=nonsense\nContent-Transfer-Encoding: base64\n"
        ),
        good.replace(b"rfc822; ada@", b"rfc822; " + b"\xff" * 1000 + b"@"),
        good.replace(b"ada@example.com", "=?utf-8?q?a=0Ada?=@exa\u0000mple.com".encode()),
        b"Content-Type: multipart/report\n\n" + b"\n" * 2_000_000 + good,
        *(
            good.replace(part, strange)
            for part in set(good.split())
            for strange in (b"", b"\xff", b"=?x?q?=ff?=", b"a;" * 99)
        ),
    ]
    for message in hostile:
        for found in bounces.read(message):
            for recipient in found.recipients:
                assert (
                    not bounces.record(found.message_id, recipient, found.status, "")
                    or found.status != "bounced"
                    or (found.message_id == email.message_id[1:-1] and recipient.lower() == "ada@example.com")
                )
    db.session.rollback()
    printed = flask("mail", "bounces", typed=report(email, said="smtp; 550 \x1b[31mred")).stdout
    assert "\x1b" not in printed


HOSTILE = b'Content-Type: multipart/report; x="'


HEADER_FIELDS = {
    "one line": lambda length: HOSTILE + b";" * length + b"\n\n",
    "continued": lambda length: HOSTILE + b"\r\n ;;;;" * (length // 6) + b"\n\n",
    "in a part, with other ends of lines": lambda length: (
        HOSTILE[:30] + b"; boundary=b\r\r--b\r" + HOSTILE + b"\r ;;;;" * (length // 6) + b"\r\r"
    ),
    "encoded": lambda length: (
        report(SimpleNamespace(message_id="", recipient=""), headers={"X": ""})
        .replace("text/rfc822-headers\n\nX: ", "text/rfc822-headers\nContent-Transfer-Encoding: base64\n\n{}")
        .format(b64encode(HOSTILE + b";" * length).decode())
        .encode()
    ),
}


@pytest.mark.parametrize("kind", HEADER_FIELDS)
def test_the_time_to_read_a_header_field_grows_no_faster_than_its_length(kind):
    short, long = (HEADER_FIELDS[kind](length) for length in (4_000, 40_000))
    assert bounces.read(long) == []
    usual = dear = float("inf")
    for _ in range(6):  # the best of both, on a busy machine, too
        usual, dear = min(usual, seconds_to_read(short)), min(dear, seconds_to_read(long))
        if dear < 20 * usual + 0.01:
            break
    assert dear < 20 * usual + 0.01


def seconds_to_read(message):
    began = time.process_time()
    bounces.read(message)
    return time.process_time() - began


def test_a_report_with_a_nul_is_ignored(flask, ada):
    email = sent(ada)
    for forged in (
        report(email, headers={"Message-ID": "<a\0b>", "To": ada.email}),
        report(email, **{"Final-Recipient": "rfc822; a\0da@example.com"}).replace(
            f"To: {ada.email}", "To: a\0@b.example"
        ),
    ):
        result = flask("mail", "bounces", typed=forged)
        assert (result.exit_code, result.stdout[:23]) == (0, "The message was ignored"), result.output


@on_sqlite
def test_one_message_holds_a_few_reports(ada):
    block = "Reporting-MTA: dns; mail.example.com\n\n"
    repeated = report(sent(ada)).replace(block, block + "Action: failed\nFinal-Recipient: rfc822; x@y.zz\n\n" * 800)
    assert len(bounces.read(repeated.encode())) == bounces.MAX_REPORTS


@on_sqlite
def test_a_maildir_is_read_once_and_no_message_is_lost(flask, ada, bob, tmp_path):
    first, second = sent(ada), sent(bob)
    for folder in ("new", "cur", "tmp"):
        (tmp_path / folder).mkdir()
    (tmp_path / "new" / "1.host").write_text(report(first))
    (tmp_path / "new" / "2.host").write_text("Subject: Hello\n\nIs anybody there?\n")
    (tmp_path / "cur" / "3.host:2,F").write_text(report(second))
    (tmp_path / "cur" / "4.host:2,S").write_text(report(second))
    assert flask("mail", "bounces", "--maildir", str(tmp_path)).stdout.splitlines() == [
        "bob@example.com: bounced (550 5.1.1 user unknown)",
        "ada@example.com: bounced (550 5.1.1 user unknown)",
        "2.host was ignored: it reports nothing about an email that this application sent.",
    ]
    names = sorted(path.name for path in (tmp_path / "cur").iterdir())
    assert names == ["1.host:2,S", "2.host:2,S", "3.host:2,FS", "4.host:2,S"]
    assert list((tmp_path / "new").iterdir()) == []
    assert flask("mail", "bounces", "--maildir", str(tmp_path)).stdout == ""


@on_sqlite
@pytest.mark.parametrize("recipient", ["<ada@example.com>", None])
def test_a_complaint_is_recorded_and_stops_only_emails_that_no_account_depends_on(flask, ada, recipient):
    email = sent(ada)
    assert flask("mail", "bounces", typed=complaint(email, recipient)).stdout == (
        "ada@example.com: complained (complaint: abuse)\n"
    )
    assert not marked(ada)
    assert email.status == "complained"
    assert sent(ada).status == "sent"
    assert sent(ada, template=GardenEmail.PASSWORD_CHANGED).status == "stopped"
    assert [event.action for event in ada_events(ada)] == ["email_complained"]


def ada_events(ada):
    from app.models import AuditEvent

    return db.session.scalars(select(AuditEvent).where(AuditEvent.user_id == ada.id)).all()


@on_sqlite
def test_an_address_without_an_account_is_stopped_too(flask, ada, clock):
    email = sent(ada, to="gone@example.com")
    flask("mail", "bounces", typed=report(email))
    assert not marked(ada)
    assert sent(ada, to="Gone@example.com").status == "stopped"
    assert sent(ada).status == "sent"
    clock.move(days=7, seconds=1)
    assert sent(ada, to="gone@example.com").status == "sent"


@on_sqlite
def test_a_report_that_comes_twice_counts_once(flask, ada, clock):
    message = report(sent(ada))
    flask("mail", "bounces", typed=message)
    at = ada.email_bounced_at
    clock.move(days=1)
    assert "ada@example.com: bounced" in flask("mail", "bounces", typed=message).stdout
    db.session.expire_all()
    assert ada.email_bounced_at == at
    assert [event.action for event in ada_events(ada)] == ["email_bounced"]


def webhook(app):
    """Add the view of docs/email.md to an application, and return a function that calls it as Mailgun does."""
    [example] = re.findall(
        r"```python\n# app/garden/mailgun.py\n(.*?)```", (ROOT / "docs/email.md").read_text(), re.DOTALL
    )
    exec(example, module := {"__name__": "mailgun"})
    app.register_blueprint(module["bp"])
    app.config["MAILGUN_SIGNING_KEY"] = "a signing key"

    def call(event, key="a signing key"):
        text = {"timestamp": "1795996800", "token": "a token"}
        signature = hmac.digest(key.encode(), "".join(text.values()).encode(), "sha256").hex()
        return app.test_client().post(
            "/mailgun", json={"signature": text | {"signature": signature}, "event-data": event}
        )

    return call


@on_sqlite
def test_the_webhook_of_the_documentation_records_what_mailgun_reports(own_app, app, ada):
    call, email = webhook(app), sent(ada)
    event = {"recipient": ada.email, "message": {"headers": {"message-id": email.message_id[1:-1]}}}
    failed = event | {"event": "failed", "severity": "permanent", "delivery-status": {"message": "no such user"}}
    assert call(failed | {"reason": "bounce"}, key="another key").status_code == 403
    for strange in ({}, {"signature": {"signature": "é"}}, {"event-data": failed}):
        assert app.test_client().post("/mailgun", json=strange).status_code == 403
    assert call(failed | {"reason": "bounce", "severity": "temporary"}).status_code == 200
    assert (marked(ada), email.status) == (False, "sent")
    assert call(failed | {"reason": "bounce"}).status_code == 200
    assert marked(ada)
    assert (email.status, email.error) == ("bounced", "no such user")
    app.config["MAILGUN_SIGNING_KEY"] = ""
    assert call(failed, key="").status_code == 403


# What users and administrators see


@on_sqlite
def test_the_user_is_told_on_every_page_until_the_address_changes(client, flask, ada, outbox):
    email = sent(ada)
    client.log_in(ada)
    assert "don't arrive" not in client.get("/account").text
    flask("mail", "bounces", typed=report(email))
    for path in ("/", "/account"):
        page = client.get(path).text
        assert "Emails to <bdi>ada@example.com</bdi> don't arrive." in page
        assert '<a href="/auth/change-email">Change your email address</a>' in page
    assert "don't arrive" not in client.get("/auth/change-email").text
    assert "Email to your address came back" in client.get("/auth/history").text

    client.post("/auth/change-email", data={"email": "ada@example.org", "password": PASSWORD})
    recipients = [email.recipients for email in outbox()]
    client.get(outbox.link(recipients.index(["ada@example.org"])))
    db.session.expire_all()
    assert (ada.email, marked(ada)) == ("ada@example.org", False)
    assert "don't arrive" not in client.get("/account").text


@on_sqlite
def test_an_unconfirmed_user_is_asked_for_another_address(client, flask, bob):
    client.log_in(bob)
    client.post("/auth/confirm")
    delivery.deliver()
    flask("mail", "bounces", typed=report(db.session.scalar(select(OutboxEmail))))
    page = client.get("/auth/unconfirmed").text
    assert "Emails to <strong><bdi>bob@example.com</bdi></strong> don't arrive: its mail server sent one back." in page
    assert "<details open>" in page
    client.post("/auth/unconfirmed", data={"email": "robert@example.com"})
    assert not marked(bob)
    page = client.get("/auth/unconfirmed").text
    assert "We sent a link and a code to <strong><bdi>robert@example.com</bdi></strong>" in page


@on_sqlite
def test_a_request_for_a_link_does_not_reveal_that_an_address_is_unreachable(client, flask, ada):
    before = client.post("/auth/reset", data={"email": ada.email}, follow_redirects=True).text
    flask("mail", "bounces", typed=report(sent(ada)))
    assert client.post("/auth/reset", data={"email": ada.email}, follow_redirects=True).text == before


@on_sqlite
def test_why_names_an_unreachable_address_and_confirm_lifts_the_mark(flask, ada, clock):
    flask("mail", "bounces", typed=report(sent(ada)))
    until = f"{clock.time + timedelta(days=7):%Y-%m-%d}"
    said = flask("users", "why", "ada").stdout
    assert f"An email to ada@example.com came back, so none are sent until {until}." in said
    assert "flask users confirm ada" in said
    flask("users", "confirm", "ada")
    assert not marked(ada)
    assert sent(ada).status == "sent"


@on_sqlite
def test_a_link_that_arrives_lifts_the_mark(flask, ada):
    token = ada.generate_reset_token()
    flask("mail", "bounces", typed=report(sent(ada)))
    assert marked(ada)
    assert User.reset_password(token, "a new lantern")
    assert not marked(ada)


@on_sqlite
def test_doctor_shows_the_share_of_emails_that_came_back(flask, ada, clock):
    email = sent(ada)
    flask("mail", "bounces", typed=report(email))
    assert bounces.counts(timedelta(days=7)) == (1, 1, 0, 0)
    said = "1 of 1 emails of the last week came back, and 0 were reported as spam."
    assert said in flask("doctor").stdout
    clock.move(days=8)
    assert bounces.counts(timedelta(days=7)) == (0, 0, 0, 0)

"""Emails: the outbox, rendering, retries, and what mail servers and clients receive."""

import re
import smtplib
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.utils import unquote
from html import unescape

import pytest
from flask import current_app
from jinja2 import ChoiceLoader, DictLoader, StrictUndefined
from sqlalchemy import select
from support.clients import ROOT, on_sqlite
from support.emails import TEMPLATES, code_in, send_whole
from support.ours import is_ours, module_of
from support.registration import FORM

from app.email import delivery
from app.email.message import Message, unflowed
from app.email.outbox import enqueue
from app.email.templates import Email
from app.extensions import db
from app.models import OutboxEmail
from app.models.outbox_email import RETRY_DELAYS
from app.security import signing


def email():
    return db.session.scalar(select(OutboxEmail))


@pytest.fixture
def queued(bob):
    """Enqueue one email."""
    enqueue(Email.CONFIRM, bob)
    db.session.commit()
    return email()


@pytest.fixture
def server(monkeypatch):
    """Replace SMTP by a list of sent emails; `answers` holds an exception for each attempt that fails."""
    answers = []

    def send(self, message):
        if answers and (answer := answers.pop(0)):
            raise answer
        sent.append(message)

    sent = []
    monkeypatch.setattr(delivery.Connection, "send", send)
    send.answers, send.sent = answers, sent
    return send


def test_an_email_is_queued_in_the_callers_transaction(bob, outbox):
    enqueue(Email.CONFIRM, bob)
    db.session.rollback()
    assert outbox() == []


def test_an_email_has_text_and_html_and_one_recipient(queued, outbox):
    message = message_from_bytes(outbox()[0].as_bytes(), policy=policy.default)
    assert message["Subject"] == "Confirm your email address for Flasky"
    assert message["From"] == "Flasky <no-reply@localhost>"
    assert message["To"] == "bob@example.com"
    assert message["Auto-Submitted"] == "auto-generated"
    text, html = (message.get_body([kind]).get_content() for kind in ("plain", "html"))
    link = re.search(r"http://localhost/auth/confirm/\S+", text)[0]
    assert text.startswith("Hello,")
    assert html.count(link) == 3
    assert set(message.keys()) == {
        "Content-Type", "MIME-Version", "Subject", "From", "To", "Date", "Message-ID", "Auto-Submitted",
    }  # fmt: skip


@pytest.mark.parametrize("settings", [{"PUBLIC_URL": "https://accounts.example:8443/app", "APP_NAME": "Äpfel & Co"}])
def test_links_in_emails_start_with_public_url(client, outbox):
    assert client.post("/auth/register", data=FORM, headers={"Host": "evil.example"}).status_code == 400
    client.post("/auth/register", data=FORM)
    assert "\nhttps://accounts.example:8443/app/auth/confirm/" in outbox()[0].body
    assert "evil" not in outbox[0].as_string()
    assert outbox[0].subject == f"Confirm your email address for Äpfel & Co (code {code_in(outbox[0])})"
    assert outbox[0].msgId.endswith("@accounts.example>")


@pytest.mark.parametrize("settings", [{"SUPPORT_EMAIL": "help@bücher.example"}])
def test_replies_go_to_the_support_address(queued, outbox):
    message = message_from_bytes(outbox()[0].as_bytes(), policy=policy.default)
    assert message["Reply-To"] == "help@xn--bcher-kva.example"
    assert "Need help? Reply to this email, or write to help@bücher.example." in outbox[0].body
    assert '<a href="mailto:help@bücher.example"' in outbox[0].html


def test_the_database_holds_no_token_and_no_code(bob, outbox):
    send_whole(Email.MAGIC_LINK, bob)
    token = outbox.link().rpartition("/")[2]
    code = re.search(r"\d{4} \d{4}", outbox[0].body)[0]
    kept = str([db.session.execute(select(table)).all() for table in db.metadata.sorted_tables])
    assert not [part for part in [*token.split("."), code, code.replace(" ", "")] if part in kept]


@pytest.mark.parametrize("change", [{"email": "robert@example.com"}, {"confirmed": True}])
def test_an_obsolete_email_is_dropped_without_a_token(bob, queued, outbox, server, clock, monkeypatch, change):
    server.answers.append(OSError("refused"))
    assert delivery.deliver() == 1
    for name, value in change.items():
        setattr(bob, name, value)
    db.session.commit()
    clock.move(minutes=1)
    issued = []
    monkeypatch.setattr(signing, "sign", lambda *_: issued.append(1))
    assert delivery.deliver() == 1
    assert (server.sent, issued) == ([], [])
    assert email().status == "obsolete"


def test_retries_wait_longer_each_time_and_end(queued, server, clock):
    server.answers.extend([smtplib.SMTPDataError(451, b"later")] * 20)
    waits = []
    while email().status == "waiting":
        assert delivery.deliver() == 1
        waits.append((email().due_at - clock.time).total_seconds())
        assert delivery.deliver() == 0
        clock.move(seconds=waits[-1])
    assert waits[:4] == [30, 120, 600, 3600]
    assert waits[: len(RETRY_DELAYS)] == [wait.total_seconds() for wait in RETRY_DELAYS]
    assert (email().status, email().attempts) == ("failed", len(RETRY_DELAYS) + 1)
    assert "later" in email().error


def test_a_failing_email_does_not_delay_the_others(ada, queued, server):
    enqueue(Email.CONFIRM, ada)
    db.session.commit()
    server.answers.append(ZeroDivisionError("a bug"))
    assert delivery.deliver() == 2
    assert [message.recipients for message in server.sent] == [["ada@example.com"]]
    assert email().status == "waiting"


def by_hand(statement):
    """Run SQL as in the database's own shell, where SQLite checks no foreign keys."""
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        keys, off, on = "PRAGMA foreign_keys", "OFF", "ON"
        if connection.dialect.name == "postgresql":
            keys, off, on = "SET session_replication_role", "replica", "DEFAULT"
        for line in (f"{keys} = {off}", statement, f"{keys} = {on}"):
            connection.exec_driver_sql(line)


BROKEN = {  # a change of bob's row, and the error that is recorded
    "DELETE FROM users WHERE username = 'bob'": "the account was deleted",
    "UPDATE outbox SET name = 'no such', purpose = NULL WHERE id = 1": "TemplateNotFound",
    "UPDATE outbox SET purpose = 'no such' WHERE id = 1": "ValueError",
    "UPDATE outbox SET name = 'reset', purpose = NULL WHERE id = 1": "BuildError",
    "UPDATE outbox SET user_id = NULL WHERE id = 1": "BuildError",
    "UPDATE outbox SET details = '[]' WHERE id = 1": "AttributeError",
    "UPDATE outbox SET recipient = 'bob' WHERE id = 1": "This isn't a valid email address",
    "UPDATE outbox SET recipient = 'é@é.example' WHERE id = 1": "the recipient is not an ASCII address",
}


@on_sqlite
@pytest.mark.parametrize(("statement", "reason"), BROKEN.items())
def test_an_email_that_cannot_be_rendered_is_given_up(ada, queued, server, caplog, statement, reason):
    enqueue(Email.CONFIRM, ada)
    db.session.commit()
    by_hand(statement)
    assert delivery.deliver() == 2
    broken, other = db.session.scalars(
        select(OutboxEmail).order_by(OutboxEmail.id).execution_options(populate_existing=True)
    )
    assert (broken.status, broken.attempts, broken.claimed_until) == ("failed", 1, None)
    assert reason in broken.error
    assert [message.recipients for message in server.sent] == [["ada@example.com"]]
    assert other.status == "sent"
    assert "email failed" in caplog.text
    assert delivery.deliver() == 0


def test_emails_of_a_broken_template_can_be_retried(app, ada, queued, server, monkeypatch):
    templates = {"email/confirm.txt": "Subject: {{ 1 / 0 }}\n\nHello"}
    loader, app.jinja_env.auto_reload = app.jinja_env.loader, True
    monkeypatch.setattr(app.jinja_env, "loader", ChoiceLoader([DictLoader(templates), loader]))
    enqueue(Email.PASSWORD_CHANGED, ada)
    db.session.commit()
    assert delivery.deliver() == 2
    assert "ZeroDivisionError" in email().error
    assert [message.recipients for message in server.sent] == [["ada@example.com"]]
    templates.clear()
    assert "1 email will be retried." in app.test_cli_runner().invoke(args=["mail", "retry", "--all"]).output
    delivery.deliver()
    db.session.expire_all()
    assert email().status == "sent"


def test_an_email_that_crashes_every_worker_is_given_up(queued, server, clock):
    for _ in range(len(RETRY_DELAYS) + 1):
        assert OutboxEmail.claim().id == queued.id
        clock.move(seconds=61)
    assert delivery.deliver() == 0
    db.session.expire_all()
    assert email().status == "failed"
    assert "crashed its worker" in email().error


def test_another_worker_takes_the_email_of_a_dead_worker(queued, outbox, clock):
    assert OutboxEmail.claim() is not None
    assert outbox() == []
    clock.move(seconds=60)
    assert len(outbox()) == 1


def test_a_worker_that_exceeds_its_lease_records_no_outcome(queued, server, clock, monkeypatch):
    """The lease ends during delivery, and another worker sends the email."""

    def slow(self, message):
        clock.move(seconds=61)
        with app.app_context():
            assert OutboxEmail.claim().id == number
            other = db.session.get(OutboxEmail, number)
            other.done("sent")
            db.session.commit()
        raise smtplib.SMTPDataError(554, b"too late")

    app, number = current_app._get_current_object(), queued.id
    monkeypatch.setattr(delivery.Connection, "send", slow)
    delivery.deliver()
    db.session.expire_all()
    assert email().status == "sent"


@pytest.mark.parametrize("control", ["\r\n", "\n", "\x0b", "\x1c", "\x85", "\u2028"])
def test_no_control_character_reaches_a_header(app, queued, outbox, control):
    """Settings are validated at start, but values from other sources are not."""
    app.extensions["mail"].default_sender = (f"Flasky{control}Bcc: eve@example.com", "no-reply@localhost")
    assert outbox() == []
    assert (email().status, email().attempts) == ("failed", 1), "a later attempt could not succeed, either"
    assert "a control character in a header" in email().error


@pytest.mark.parametrize("settings", [{"MAIL_DELIVERY": "thread"}])
def test_the_first_request_starts_the_delivery_thread_once(app, client):
    delivery = app.extensions["delivery"]
    assert delivery._thread is None
    client.get("/")
    thread = delivery._thread
    client.get("/")
    assert delivery._thread is thread
    assert thread.is_alive()
    delivery.stop()
    thread.join(120)


def test_the_register_of_emails_and_the_templates_match():
    files = {path.stem for path in TEMPLATES.glob("[!_]*.txt")}
    assert files >= set(Email)
    others = [path.read_text() for path in ROOT.glob("app/**/*.py") if not is_ours(module_of(path))]
    assert [name for name in files - set(Email) if not any(f'"{name}"' in text for text in others)] == []


@on_sqlite
@pytest.mark.parametrize("name", Email)
def test_a_scanner_that_opens_every_link_of_an_email_changes_nothing(app, bob, outbox, name):
    if name == Email.FIRST_LOGIN:
        app.config["LOGIN_METHODS"] = ["magic_link"]  # with passwords, nobody gets this email
    send_whole(name, bob)
    message = outbox()[0]
    links = set(re.findall(r"http://localhost(/[^\s\"<]*)", message.body + message.html))
    tables = [table for table in db.metadata.sorted_tables if table.name != "outbox"]
    before = [db.session.execute(select(table)).all() for table in tables]
    for link in links:
        for method in ("GET", "HEAD"):
            scanner = app.test_client()
            assert scanner.open(link, method=method).status_code in {200, 302}
            scanner.open(link, method=method)
    assert [db.session.execute(select(table)).all() for table in tables] == before
    assert any(message.html.count(link) for link in links) or name.purpose is None


# What mail servers and mail clients receive

LONGEST_HOST = ".".join(["a" * 63, "b" * 63, "example"])  # with the path below, PUBLIC_URL has 200 characters
LONGEST_URLS = [
    f"https://{LONGEST_HOST}:8443/{'p' * 51}",
    f"https://h.example/{'path/' * 36}x",
    "http://[2001:db8::1]:5000",
]
NAMES = ["Flasky", "สวนดอกไม้ของทุกคนในเมืองนี้" * 4, 'Ada & "Co", Äpfel\\' * 5, "x" * 300, "a b" * 300]
LONGEST_ADDRESS = f"{'a' * 64}@{'b' * 63}.{'c' * 63}.{'d' * 57}.com"


def on_the_wire(message):
    """Parse the bytes for the mail server with a strict parser."""
    assert message.as_bytes().isascii(), "8BITMIME is optional"
    assert max(map(len, message.as_bytes().split(b"\r\n"))) <= 998
    assert b"\n" not in message.as_bytes().replace(b"\r\n", b"")
    read = message_from_bytes(message.as_bytes(), policy=policy.default.clone(raise_on_defect=True))
    assert not read.defects
    return read


def bodies(message):
    """Return text and HTML with Python's line ends."""
    read = on_the_wire(message)
    text, html = (read.get_body([kind]).get_content().replace("\r\n", "\n") for kind in ("plain", "html"))
    assert all(len(line.rstrip()) <= 72 or " " not in line.strip() for line in text.split("\n")), "only a URL is longer"
    return unflowed(text), html


def the_name_of_the_sender(message):
    """Decode by RFC 2047. The parser of Python 3.11 does not join encoded words in a display name."""
    name = unquote(message_from_bytes(message.as_bytes())["From"].replace("\r\n", "").rpartition(" <")[0])
    return str(make_header(decode_header(name))) if "=?" in name else name


@pytest.mark.parametrize("settings", [{"PUBLIC_URL": url, "APP_NAME": NAMES[1]} for url in LONGEST_URLS])
@pytest.mark.parametrize("name", Email)
@pytest.mark.extended
@on_sqlite
def test_every_email_survives_transport_with_long_values(app, bob, outbox, name):
    assert (len(LONGEST_ADDRESS), max(map(len, LONGEST_URLS))) == (254, 200)
    app.jinja_env.undefined = StrictUndefined
    bob.email, bob.username = LONGEST_ADDRESS, "bob" * 21
    db.session.commit()
    send_whole(name, bob, new_email=LONGEST_ADDRESS, label="ö" * 200)
    [message] = outbox()
    text, html = bodies(message)
    assert (text, html) == (message.body, message.html)
    assert html.startswith("<!doctype html>")
    assert message.subject
    assert "Subject:" not in message.subject + text
    assert "\n\n\n" not in text
    links = re.findall(r"http\S+", text)
    assert links or name.purpose is None
    assert all(len(re.findall(f'{re.escape(link)}["<]', html)) in {1, 3} for link in links), "a button has a copy"
    assert all(link.startswith(app.config["PUBLIC_URL"]) for link in links)
    assert set(links) == {unescape(link) for link in re.findall(r'href="([^"]+)"', html)}
    read = on_the_wire(message)
    assert read["To"] == message.recipients[0] == LONGEST_ADDRESS
    assert read["Message-ID"] == message.msgId
    assert len(message.msgId) <= 254


@pytest.mark.parametrize("settings", [{"APP_NAME": name} for name in NAMES])
def test_a_long_app_name_stays_whole_in_subject_and_sender(app, queued, outbox):
    [message] = outbox()
    assert on_the_wire(message)["Subject"] == f"Confirm your email address for {app.config['APP_NAME']}"
    assert the_name_of_the_sender(message) == app.config["APP_NAME"]
    words = re.findall(rb"=\?[^?]+\?[bq]\?[^?\s]*\?=", message.as_bytes())
    assert max(map(len, words), default=0) <= 75


@pytest.mark.parametrize(
    "name",
    ["From here", " > a", "a  b " * 40, ".", "..", "a\u0085b\u2028c", "=3D=\n=", "line\nFrom line", "é" * 2000],
)
@on_sqlite
def test_any_text_survives_in_the_body(app, name):
    message = Message("Hi", ["ada@example.com"], f"{name}\nFrom {name}\n", f"<p>{name}</p>")
    assert bodies(message) == (re.sub(r" +$", "", message.body, flags=re.M), message.html)
    assert b"\n>From" not in message.as_bytes()


SENDERS = {  # MAIL_SENDER and APP_NAME, and what a mail client shows
    "an address of its own": ({"MAIL_SENDER": "mail@example.com"}, "Flasky", "mail@example.com"),
    "a name of its own": ({"MAIL_SENDER": "Garden, Inc. <mail@example.com>"}, "Garden, Inc.", "mail@example.com"),
    "in another script": ({"MAIL_SENDER": "สวน" * 20 + " <mail@example.com>"}, "สวน" * 20, "mail@example.com"),
    "a number": ({"PUBLIC_URL": "http://127.0.0.1:5000"}, "Flasky", "no-reply@[127.0.0.1]"),
    "a number of six": ({"PUBLIC_URL": "http://[::1]:5000"}, "Flasky", "no-reply@[IPv6:::1]"),
    "quotes": ({"APP_NAME": 'The "Garden"'}, 'The "Garden"', "no-reply@localhost"),
    "one quote": ({"APP_NAME": 'The 6" Garden'}, 'The 6" Garden', "no-reply@localhost"),
    "a backslash": ({"APP_NAME": "Garden\\"}, "Garden\\", "no-reply@localhost"),
    "an address": ({"APP_NAME": "a@b.example, <c@d.example>"}, "a@b.example, <c@d.example>", "no-reply@localhost"),
    "an encoded word": ({"APP_NAME": "=?utf-8?q?x?="}, "=?utf-8?q?x?=", "no-reply@localhost"),
    "quotes and more": ({"APP_NAME": 'Äpfel, "Birnen" \\'}, 'Äpfel, "Birnen" \\', "no-reply@localhost"),
}


@on_sqlite
@pytest.mark.parametrize(
    ("settings", "name", "address"), [pytest.param(*sender, id=what) for what, sender in SENDERS.items()]
)
def test_the_from_header_names_the_application(app, queued, outbox, name, address):
    [message] = outbox()
    assert the_name_of_the_sender(message) == name
    assert on_the_wire(message)["From"].addresses[0].addr_spec == address
    assert re.fullmatch(r"<[0-9a-f]{32}@(localhost|\[127\.0\.0\.1\]|\[IPv6:::1\])>", message.msgId)


# User input in emails

TRICKS = ["Get-1000-EUR.at.www.evil.example", "www.evil.example", "evil.example", "ada.lovelace", "Call-0900-1234567"]
LINKABLE = re.compile(r"https?:|www\.|\w[.\u3002\uff0e\uff61]\w*evil|evil[.\u3002\uff0e\uff61]|@|//|:\w|1234567,")


def told(message):
    """Return text and HTML without our own links, the origin and markup."""
    text, html = bodies(message)
    html = unescape(re.sub(r"(?s)<head>.*</head>|<[^>]+>", " ", html))
    return re.sub(r"http://localhost\S*|\d\d:\d\d UTC", "", f"{text} {html}")


@pytest.mark.parametrize("name", Email)
@on_sqlite
def test_emails_contain_no_links_from_user_input(app, bob, outbox, clock, name):
    for trick in TRICKS:
        clock.move(hours=1)  # some emails have an hourly limit
        bob.username, bob.confirmed = trick, True
        db.session.commit()
        send_whole(name, bob, new_email=f"{trick}@evil.example", label=f"https://{trick}/x")
        said = told(outbox()[-1])
        assert not LINKABLE.search(said), said
        assert "lovelace," not in said
    assert len(outbox) == len(TRICKS)


@pytest.mark.parametrize("name", Email)
@pytest.mark.parametrize(
    ("changes", "to"),
    [({"confirmed": False}, None), ({}, "new@example.com"), ({}, "bob@example.org")],
    ids=["unconfirmed", "the new one", "the old one"],
)
@pytest.mark.extended
@on_sqlite
def test_emails_name_the_user_only_at_a_confirmed_address(app, bob, outbox, name, changes, to):
    bob.username, bob.confirmed = "a-winner", True
    for column, value in changes.items():
        setattr(bob, column, value)
    db.session.commit()
    send_whole(name, bob, to=to)
    assert "winner" not in told(outbox()[0])


@pytest.mark.parametrize(
    ("username", "greeting"), [("ada", "Hello ada,"), ("ada-1815_b", "Hello ada-1815_b,"), ("a.b", "Hello,")]
)
def test_an_email_greets_a_plain_username(ada, outbox, username, greeting):
    ada.username = username
    enqueue(Email.PASSWORD_CHANGED, ada)
    db.session.commit()
    text, html = bodies(outbox()[0])
    assert text.startswith(greeting)
    assert greeting in html

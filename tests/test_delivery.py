"""Delivery to real SMTP servers that fail in every way they can."""

import asyncio
import os
import re
import secrets
import signal
import subprocess
import sys

import pytest
from sqlalchemy import delete, func, select
from support.clients import PASSWORD, ROOT
from support.concurrency import at_once
from support.mail_server import HOST, Authority, MailServer, tls
from support.mail_server import PASSWORD as MAIL_PASSWORD
from support.registration import FORM
from support.waiting import PATIENCE, until

from app.email import delivery
from app.email.outbox import drop_all, enqueue
from app.email.templates import Email
from app.extensions import db
from app.models import OutboxEmail, User
from app.models.outbox_email import LEASE

TIMEOUT = delivery.TIMEOUT


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """Return the only certificate authority that the application trusts."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def certificates(authority):
    return {
        "good": tls(authority.certify(HOST)),
        "for another host": tls(authority.certify("mail.example.com")),
        "of an unknown authority": tls(Authority(authority.folder, "Somebody else").certify(HOST)),
    }


@pytest.fixture
def mode():
    """The behaviour of the mail server; parametrize it."""
    return "normal"


@pytest.fixture
def server(mode, authority, certificates, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    monkeypatch.setattr(delivery, "TIMEOUT", 0.3 if mode == "hangs" else PATIENCE)
    server = MailServer(mode, certificates)
    yield server
    server.stop()


@pytest.fixture
def settings(server):
    return server.settings


@pytest.fixture
def queue(app):
    """Enqueue an email to each of some new users."""

    def queue(*names):
        for name in names:
            user = User(email=f"{name}@example.com", username=name, password=PASSWORD)
            db.session.add(user)
            db.session.flush()
            enqueue(Email.CONFIRM, user)
        db.session.commit()

    return queue


def modes(*names):
    return pytest.mark.parametrize("mode", names)


def outbox():
    return db.session.scalars(
        select(OutboxEmail).order_by(OutboxEmail.id).execution_options(populate_existing=True)
    ).all()


def email():
    [only] = outbox()
    return only


def people(count):
    return [f"person{number}" for number in range(count)]


def recipients(server):
    return [email["To"].partition("@")[0] for email in server.received if email]


def register(client):
    """Register as Eve, and assert that the page does not depend on the mail server."""
    page = client.post("/auth/register", data=FORM, follow_redirects=True)
    assert page.request.path == "/auth/unconfirmed"
    assert "We sent a link and a code to <strong><bdi>eve@example.com</bdi></strong>" in page.text


def is_sent_after_half_a_minute(clock):
    clock.move(seconds=29)
    assert delivery.deliver() == 0
    clock.move(seconds=1)
    assert delivery.deliver() == 1
    return (email().status, email().error, email().attempts) == ("sent", "", 2)


# A failing mail server


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("refuses connections", "Connection refused"),
        ("hangs", "timed out"),
        ("421 at connect", "421 4.3.2 too many connections"),
        ("451 at RCPT", "451 4.7.1 greylisted"),
        ("drops after DATA", "Connection unexpectedly closed"),
    ],
)
def test_registration_does_not_wait_for_the_mail_server(client, server, clock, mode, reason):
    register(client)
    assert (server.connections, email().attempts) == ([], 0)

    assert delivery.deliver() == 1
    assert (email().status, email().claimed_until) == ("waiting", None)
    assert reason in email().error
    taken = 1 if mode == "drops after DATA" else 0
    assert len(server.received) == taken

    server.become("normal")
    assert is_sent_after_half_a_minute(clock)
    assert len(server.received) == taken + 1
    assert {copy["Message-ID"] for copy in server.received} == {email().message_id}


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("550 at RCPT", "550 5.1.1 no such user"),
        ("554 at DATA", "554 5.3.4 not today"),
        ("554 after DATA", "554 5.7.1 smells of spam"),
    ],
)
def test_a_permanent_refusal_gives_the_email_up_with_its_reason(client, server, clock, reason):
    register(client)
    assert (server.connections, email().attempts) == ([], 0)
    assert delivery.deliver() == 1
    assert (email().status, email().error, email().attempts) == ("failed", reason, 1)
    server.become("normal")
    clock.move(days=2)
    assert delivery.deliver() == 0
    assert server.received == []


@modes("hangs")
@pytest.mark.parametrize("own", [{"MAIL_DELIVERY": "thread"}])
def test_the_delivery_thread_does_not_delay_pages(make_app, database, server, own, monkeypatch):
    monkeypatch.setattr(delivery, "TIMEOUT", PATIENCE)
    with make_app("testing", database, server.settings | own) as app:
        register(app.test_client())
        until(lambda: server.connections)
        assert app.test_client().get("/").status_code == 200
        assert email().claimed_until, "the delivery is still in progress"
        server.hang_up()


# TLS and logging in


@modes("STARTTLS", "TLS")
def test_a_verified_tls_connection_logs_in_once_and_sends(queue, server):
    queue("eve", "ada")
    assert delivery.deliver() == 2
    assert recipients(server) == ["eve", "ada"]
    assert server.passwords == [(MAIL_PASSWORD, "TLSv1.3")]


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("STARTTLS, unknown authority", "unable to get local issuer certificate"),
        ("TLS, unknown authority", "unable to get local issuer certificate"),
        ("STARTTLS, another host", "IP address mismatch"),
        ("TLS, another host", "IP address mismatch"),
        ("STARTTLS not offered", "STARTTLS extension not supported"),
        ("TLS not wanted", "The password is not sent without TLS: set MAIL_USE_TLS=1."),
    ],
)
def test_nothing_is_sent_to_an_unverified_mail_server(client, queue, server, reason, caplog):
    register(client)
    assert server.connections == []
    queue("ada")
    assert delivery.deliver() == 1
    assert (server.passwords, server.received) == ([], [])
    first, second = outbox()
    assert (first.status, second.status) == ("waiting", "waiting")
    assert reason in first.error
    assert second.attempts == 0, "one failure of the server does not count for every email"
    [said] = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert said.startswith("No email can be sent, because the mail server is not available: ")
    assert reason in said
    assert not [secret for secret in ("eve", "ada", MAIL_PASSWORD) if secret in caplog.text]


@modes("STARTTLS, unknown authority", "STARTTLS, another host", "STARTTLS not offered")
def test_an_email_is_sent_after_the_certificate_is_fixed(client, server, clock):
    register(client)
    delivery.deliver()
    server.become("STARTTLS")
    assert is_sent_after_half_a_minute(clock)
    assert recipients(server) == ["eve"]
    assert server.passwords == [(MAIL_PASSWORD, "TLSv1.3")]


@modes("STARTTLS")
def test_emails_wait_while_the_mail_password_is_wrong(app, queue, server, clock):
    app.extensions["mail"].password = "wrong"
    queue("eve")
    delivery.deliver()
    assert server.received == []
    assert email().status == "waiting"
    assert email().error.startswith("535 5.7.8")
    app.extensions["mail"].password = MAIL_PASSWORD
    assert is_sent_after_half_a_minute(clock)


# Many emails


def test_when_nothing_is_due_no_connection_is_opened(app, server):
    assert delivery.deliver() == 0
    assert server.connections == []


def test_a_refused_recipient_keeps_the_connection_and_the_other_emails(queue, server):
    queue("eve", "nobody", "ada")
    assert delivery.deliver() == 3
    assert [each.status for each in outbox()] == ["sent", "failed", "sent"]
    assert [each.error for each in outbox()] == ["", "550 5.1.1 no such user", ""]
    assert recipients(server) == ["eve", "ada"]
    assert len(server.connections) == 1


@modes("554 at DATA")
def test_a_refused_email_is_reset_on_the_connection(queue, server):
    queue("eve", "ada")
    assert delivery.deliver() == 2
    assert [each.error for each in outbox()] == ["554 5.3.4 not today"] * 2


@modes("421 after two emails")
def test_a_closed_smtp_connection_is_opened_again(queue, server, clock):
    queue(*people(5))
    assert delivery.deliver() == 5
    assert recipients(server) == ["person0", "person1", "person3", "person4"]
    assert outbox()[2].error == "421 4.7.0 too many emails"
    assert len(server.connections) == 2
    clock.move(seconds=30)
    delivery.deliver()
    assert recipients(server)[-1] == "person2"


def test_several_threads_send_each_email_once(app, queue, server):
    queue(*people(50))

    def deliver(_):
        with app.app_context():
            return delivery.deliver()

    assert sum(at_once(deliver, range(4))) == 50
    assert sorted(recipients(server)) == sorted(people(50))
    assert {(each.status, each.attempts) for each in outbox()} == {("sent", 1)}


@modes("STARTTLS, asks during login")
@pytest.mark.parametrize(
    ("meanwhile", "received", "outcome"),
    [
        (lambda: delivery.deliver(), ["eve"], ("sent", 2)),
        (lambda: drop_all() and db.session.commit(), [], ("obsolete", 1)),
        (lambda: db.session.execute(delete(OutboxEmail)) and db.session.commit(), [], None),
        (lambda: None, ["eve"], ("sent", 1)),
    ],
    ids=["another worker sends it", "it is dropped", "it is deleted", "nothing"],
)
def test_after_a_long_login_an_email_is_sent_only_if_it_is_still_this_workers(
    app, queue, server, clock, meanwhile, received, outcome
):
    def call():
        clock.move(seconds=61)
        with app.app_context():
            meanwhile()

    server.during_login = call
    queue("eve")
    assert delivery.deliver() == 1
    assert recipients(server) == received
    db.session.rollback()
    assert [(each.status, each.attempts) for each in outbox()] == ([outcome] if outcome else [])


@modes("normal", "STARTTLS, asks during login")
def test_a_lease_covers_what_follows_the_login(app, queue, server, clock, monkeypatch):
    """Each of the responses to MAIL, RCPT, DATA and the email may take TIMEOUT seconds."""
    assert LEASE.total_seconds() > 4 * TIMEOUT
    server.during_login = lambda: clock.move(seconds=59)
    queue("eve")
    asked, take = [], server.mode.take

    async def slow(connection, email):
        clock.move(seconds=59)
        asked.append(await asyncio.to_thread(another_worker))
        return await take(connection, email)

    def another_worker():
        with app.app_context():
            return delivery.deliver()

    monkeypatch.setattr(server.mode, "take", slow)
    assert delivery.deliver() == 1
    assert (asked, recipients(server)) == ([0], ["eve"])


@pytest.mark.parametrize("own", [{"PUBLIC_URL": f"https://{'host.' * 20}example/{'path/' * 16}x"}])
def test_mail_servers_keep_long_links_whole(make_app, database, server, own):
    """The server refuses lines of more than 998 octets, as RFC 5321 allows."""
    with make_app("testing", database, server.settings | own) as app:
        form = FORM | {"email": f"{'e' * 64}@example.com", "username": "e" * 64}
        app.test_client().post("/auth/register", data=form)
        assert delivery.deliver() == 1
        assert (email().status, email().error) == ("sent", "")
        [received] = server.received
        text, html = (received.get_body([kind]).get_content() for kind in ("plain", "html"))
        [link] = re.findall(r"https://\S+", text)
        assert link.startswith(f"{own['PUBLIC_URL']}/auth/confirm/")
        assert html.count(link) == 3
        assert "/x/auth/login" in app.test_client().get(link.removeprefix(own["PUBLIC_URL"])).location


@pytest.mark.parametrize(
    ("own", "sender"),
    [
        ({"MAIL_SENDER": "Gärten, Inc. <mail@bücher.example>"}, "mail@xn--bcher-kva.example"),
        ({"PUBLIC_URL": "https://192.0.2.1"}, "no-reply@[192.0.2.1]"),
        ({"PUBLIC_URL": "https://[2001:db8::1]"}, "no-reply@[IPv6:2001:db8::1]"),
    ],
)
def test_the_envelope_sender_is_mail_sender(make_app, database, server, own, sender):
    with make_app("testing", database, server.settings | own):
        enqueue(Email.NO_ACCOUNT, None, to="eve@example.com")
        db.session.commit()
        delivery.deliver()
        assert (email().status, email().error) == ("sent", "")
        [received] = server.received
        assert received["X-MailFrom"] == received["From"].addresses[0].addr_spec == sender


# flask mail worker


@pytest.fixture
def worker(app, server, authority):
    """Start `flask mail worker` in a process of its own, as in production."""
    environment = {"PATH": os.environ["PATH"], "PYTHONWARNINGS": "error", "SSL_CERT_FILE": str(authority.file)}
    environment |= {"PYTHON_DOTENV_DISABLED": "1", "FLASK_SKIP_DOTENV": "1", "FLASK_APP": "flasky.py"}
    environment |= {
        "FLASK_CONFIG": "production",
        "SECRET_KEY": secrets.token_hex(),
        "PUBLIC_URL": "https://example.com",
    }
    environment |= {"DATABASE_URL": app.config["SQLALCHEMY_DATABASE_URI"]}
    environment |= {name: str(int(v) if v is True else v) for name, v in server.settings.items()}
    process = subprocess.Popen(
        [sys.executable, "-m", "flask", "mail", "worker"],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    yield process
    process.kill()
    print(process.communicate()[0])


@modes("STARTTLS, slow")
def test_the_worker_stops_after_the_current_email(queue, server, worker):
    queue(*people(30))
    until(lambda: len(server.received) >= 3)
    worker.send_signal(signal.SIGTERM)
    said, _ = worker.communicate(timeout=120)
    assert worker.returncode == 0, said
    assert 3 <= len(server.received) < 30
    assert [each.claimed_until for each in outbox()] == [None] * 30
    sent = db.session.scalar(select(func.count()).where(OutboxEmail.status == "sent"))
    assert sent == len(server.received)
    assert len(server.connections) == 1


@modes("STARTTLS")
def test_an_idle_worker_stops_at_once(queue, server, worker):
    queue("eve")
    until(lambda: email().status == "sent")
    assert recipients(server) == ["eve"]
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(120) == 0

"""Delivery through Exim, a real mail server, which needs root."""

import re

import pytest
from sqlalchemy import select
from support.clients import PASSWORD
from support.exim import Exim
from support.mail_server import HOST, USERNAME, Authority
from support.mail_server import PASSWORD as MAIL_PASSWORD
from support.waiting import until

from app.email import delivery
from app.extensions import db
from app.models import OutboxEmail

pytestmark = [pytest.mark.extended, pytest.mark.xdist_group("exim")]  # its servers are started once


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def certificate(authority):
    return authority.certify(HOST)


@pytest.fixture
def exim(certificate, authority, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    exim = Exim(certificate)
    yield exim
    exim.stop()


@pytest.fixture
def own():
    """Settings that differ from the right ones. Parametrize it."""
    return {}


@pytest.fixture
def settings(exim, own):
    right = {"MAIL_SERVER": HOST, "MAIL_PORT": exim.port, "MAIL_USERNAME": USERNAME, "MAIL_PASSWORD": MAIL_PASSWORD}
    return right | own


def register(client, name="eve"):
    form = {
        "email": f"{name}@example.com",
        "username": f"user-{name}-x",
        "password": PASSWORD,
        "confirm_password": PASSWORD,
    }
    page = client.post("/auth/register", data=form, follow_redirects=True)
    assert page.request.path == "/auth/unconfirmed"


def email():
    return db.session.scalars(select(OutboxEmail).execution_options(populate_existing=True)).one()


def test_the_whole_story(client, exim):
    register(client)
    assert exim.connections() == 0
    assert delivery.deliver() == 1
    assert email().status == "sent"

    [message] = until(exim.outbox)
    assert message["Envelope-To"] == "eve@example.com"
    assert message["Return-Path"] == "<no-reply@localhost>"
    assert message["To"] == "eve@example.com"
    assert message["From"] == "Flasky <no-reply@localhost>"
    assert message["Subject"].startswith("Confirm your email address for Flasky (code ")
    assert message["Message-ID"] == email().message_id
    assert message["Auto-Submitted"] == "auto-generated"
    assert "esmtpsa  (TLS1.3)" in message["Received"]

    text, html = (message.get_body([kind]).get_content() for kind in ("plain", "html"))
    link = re.search(r"http://localhost(/auth/confirm/\S+)", text)
    assert link[0] in html
    assert "Your email address is confirmed" in client.get(link[1], follow_redirects=True).text


def test_a_report_of_exim_marks_the_address(client, flask, exim):
    register(client, "gone")
    assert delivery.deliver() == 1
    [report] = until(exim.outbox)
    assert (report["Envelope-To"], report.get_content_type()) == ("no-reply@localhost", "multipart/report")
    said = flask("mail", "bounces", "--maildir", str(exim.folder / "emails")).stdout
    assert said == "gone@example.com: bounced (5.0.0)\n"
    assert email().status == "bounced"
    assert "Emails to <strong><bdi>gone@example.com</bdi></strong> don't arrive" in client.get("/auth/unconfirmed").text
    assert exim.outbox() == []


def test_exim_gets_many_emails_over_one_connection(app, exim):
    for number in range(20):
        register(app.test_client(), f"person{number}")
    assert delivery.deliver() == 20
    until(lambda: len(exim.outbox()) == 20)
    assert exim.connections() == exim.log().count("closed by QUIT") == 1


@pytest.mark.parametrize("own", [{"MAIL_PASSWORD": "wrong"}])
def test_exim_refusing_the_password_makes_an_email_wait(client, exim, clock):
    register(client)
    delivery.deliver()
    assert (email().status, email().error) == ("waiting", "535 Incorrect authentication data")
    assert (email().due_at - clock.time).total_seconds() == 30
    assert "<=" not in exim.log()


def test_exim_rejecting_the_recipient_fails_the_email(client, exim, clock):
    register(client, "nobody")
    delivery.deliver()
    assert (email().status, email().error) == ("failed", "550 5.1.1 no such user")
    clock.move(days=2)
    assert delivery.deliver() == 0


def test_an_email_greylisted_by_exim_waits(client, exim, clock):
    register(client, "later")
    delivery.deliver()
    assert (email().status, email().error) == ("waiting", "451 4.7.1 greylisted")
    assert (email().due_at - clock.time).total_seconds() == 30


def test_a_slow_exim_is_waited_for(client, exim):
    register(client, "slow")
    delivery.deliver()
    assert email().status == "sent"
    assert len(until(exim.outbox)) == 1


@pytest.mark.parametrize(
    ("own", "status", "reason"),
    [
        ({"MAIL_USE_TLS": False}, "waiting", "The password is not sent without TLS: set MAIL_USE_TLS=1."),
        ({"MAIL_USE_TLS": False, "MAIL_USERNAME": ""}, "failed", "550 5.7.1 emails are taken over TLS alone"),
        ({"MAIL_USERNAME": ""}, "failed", "550 5.7.1 log in first"),
        ({"MAIL_SERVER": "localhost"}, "waiting", "Hostname mismatch"),
    ],
)
def test_nothing_is_sent_to_exim_without_verified_tls_and_a_password(client, exim, status, reason):
    register(client)
    delivery.deliver()
    assert email().status == status
    assert reason in email().error
    assert "<=" not in exim.log()
    assert exim.outbox() == []


def test_exim_with_an_unknown_authority_gets_nothing(client, exim, tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(Authority(tmp_path).file))
    register(client)
    delivery.deliver()
    assert email().status == "waiting"
    assert "certificate verify failed" in email().error
    assert "<=" not in exim.log()


@pytest.mark.parametrize(
    "own", [{"PUBLIC_URL": f"https://{'host.' * 20}example/{'path/' * 16}x", "APP_NAME": "สวนดอกไม้ของทุกคนในเมืองนี้" * 4}]
)
def test_exim_delivers_long_links_and_names_intact(client, exim, own):
    """Exim refuses lines of more than 998 octets."""
    client.post(
        "/auth/register",
        data={
            "email": f"{'e' * 64}@example.com",
            "username": "e" * 64,
            "password": PASSWORD,
            "confirm_password": PASSWORD,
        },
    )
    delivery.deliver()
    assert (email().status, email().error) == ("sent", "")
    [message] = until(exim.outbox)
    assert message["Subject"].startswith(f"Confirm your email address for {own['APP_NAME']} (code ")
    text, html = (message.get_body([kind]).get_content() for kind in ("plain", "html"))
    [link] = re.findall(r"https://\S+", text)
    assert html.count(link) == 3
    page = client.get(link.removeprefix(own["PUBLIC_URL"]))
    assert page.location == f"{own['PUBLIC_URL'].partition('example')[2]}/"

"""The log: one line per request and event, with an id, without secrets, impossible to forge; and its document."""

import json
import logging
import os
import re
import shutil
import subprocess
from contextlib import contextmanager
from urllib.parse import quote

import pytest
from sqlalchemy import event, select
from support.clients import PASSWORD, on_sqlite
from support.registration import FORM
from support.repository import ROOT

from app.accounts import administration, blocks, cleanup
from app.email import bounces, delivery
from app.email.outbox import enqueue
from app.email.templates import Email
from app.extensions import db
from app.models import AuditAction, OutboxEmail, User, UserSession
from app.models.outbox_email import Status
from app.security import audit, hashing
from app.web.request_log import Json, Plain, Repetitions

pytestmark = on_sqlite

PAGE = (ROOT / "docs/logs.md").read_text()


class Lines(logging.Handler):
    """What the application's handler would write."""

    def __init__(self, formatter):
        super().__init__()
        self.setFormatter(formatter)
        self.addFilter(Repetitions())
        self.written = []

    def emit(self, record):
        self.written.append(self.format(record))

    def read(self, logger=None):
        lines = [json.loads(line) for line in self.written]
        return [line for line in lines if logger in (None, line["log.logger"])]


@pytest.fixture(params=[Json, Plain])
def plain_or_json(request):
    with listening(Lines(request.param())) as handler:
        yield handler


@pytest.fixture
def log():
    with listening(Lines(Json())) as handler:
        yield handler


@contextmanager
def listening(handler):
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)


def test_request_is_one_log_line_with_the_id_of_its_response(client, ada, log):
    answer = client.get("/auth/login?next=/account")
    (line,) = log.read()
    assert line["message"] == "GET /auth/login 200"
    assert (line["http.request.method"], line["url.path"]) == ("GET", "/auth/login")
    assert (line["http.response.status_code"], line["client.ip"]) == (200, "127.0.0.1")
    assert line["trace.id"] == answer.headers["X-Request-ID"]
    assert 0 < line["event.duration"] < 60e9
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["@timestamp"])
    assert "user.id" not in line
    client.log_in(ada)
    client.get("/account")
    assert [line["user.id"] for line in log.read("request")[1:]] == [str(ada.id)] * 2


def test_audit_event_is_one_log_line_with_the_id_of_its_request(client, ada, log):
    answer = client.log_in(ada)
    (line,) = log.read("security")
    assert (line["event.action"], line["event.outcome"], line["labels.method"]) == ("logged_in", "success", "password")
    assert (line["user.id"], line["trace.id"]) == (str(ada.id), answer.headers["X-Request-ID"])
    assert line["user_agent.original"]


def refusals(log):
    lines = [line for line in log.read("security") if line["event.action"] == "refused"]
    assert all(line["log.level"] == "warning" and line["trace.id"] for line in lines)
    assert all(line["client.ip"] == "127.0.0.1" and line["user_agent.original"] for line in lines)
    return [(line["event.reason"], line["url.path"]) for line in lines]


@pytest.mark.parametrize("settings", [{"WTF_CSRF_ENABLED": True}])
def test_refused_requests_are_logged(client, log):
    client.post("/auth/login", headers={"Sec-Fetch-Site": "cross-site"})
    client.post("/auth/login", data={"login": "ada", "password": "wrong"})
    assert refusals(log) == [("sent by another site", "/auth/login"), ("no token of this form", "/auth/login")]


def test_rate_limited_requests_and_invalid_links_are_logged(client, log):
    for _ in range(6):
        client.post("/auth/login", data={"login": "ada", "password": "wrong"})
    client.get("/auth/confirm/eyJhbGciOi.eyJwdXJw.abc")
    client.get("/auth/reset/eyJhbGciOi.eyJwdXJw.abc")
    reasons = [("too many attempts", "/auth/login"), ("invalid link", "/auth/reset/<token>")]
    assert refusals(log)[:1] + refusals(log)[-1:] == reasons
    failed = [line for line in log.read() if line.get("event.action") == "login_failed"]
    assert [(line["labels.method"], line["event.outcome"]) for line in failed] == [("password", "failure")] * 5


def test_correct_password_of_a_deactivated_account_is_logged(client, ada, log):
    administration.deactivate(ada)
    db.session.commit()
    client.log_in(ada)
    line = next(line for line in log.read("security") if line["event.action"] == "refused")
    assert (line["event.reason"], line["user.id"]) == ("the account is deactivated", str(ada.id))


def test_request_that_finds_the_hash_queue_full_is_logged_with_its_reason(client, ada, log, monkeypatch):
    monkeypatch.setattr(hashing.threads, "max_calls", 0)
    assert client.log_in(ada).status_code == 503
    assert log.read("request")[-1]["event.reason"] == "too many passwords wait to be hashed"


def test_change_of_an_address_or_name_is_logged_without_it(client, ada, log):
    client.log_in(ada)
    client.post("/auth/change-username", data={"username": "grace", "password": PASSWORD})
    (line,) = [line for line in log.read("security") if line["event.action"] == "username_changed"]
    assert "grace" not in str(line)


def test_only_what_is_committed_is_logged(app, ada, log):
    """A script that reads the log, such as the one that repeats deletions after a restore, may rely on it."""
    audit.record(ada, AuditAction.LOGGED_IN, method="password")
    db.session.flush()
    with db.session.begin_nested():
        audit.record(ada, AuditAction.REAUTHENTICATED)
    assert log.read("security") == []
    db.session.rollback()
    audit.record(ada, AuditAction.LOGGED_IN, method="password")
    event.listen(db.session(), "before_commit", fail)
    with pytest.raises(ZeroDivisionError):
        db.session.commit()
    event.remove(db.session(), "before_commit", fail)
    db.session.rollback()
    with db.session.begin():
        audit.record(db.session.get(User, ada.id), AuditAction.LOGGED_OUT)
    audit.record(ada, AuditAction.LOGGED_IN, method="password")
    db.session.commit()
    db.session.commit()
    assert [line["event.action"] for line in log.read("security")] == ["logged_out", "logged_in"]


def fail(session):
    raise ZeroDivisionError


def test_a_bounce_and_a_block_are_logged_without_their_reasons(ada, log):
    enqueue(Email.PASSWORD_CHANGED, ada)
    db.session.commit()
    delivery.deliver()
    message_id = db.session.scalar(select(OutboxEmail.message_id))
    assert bounces.record(message_id[1:-1], ada.email, Status.BOUNCED, "550 5.1.1 <ada@example.com>: unknown")
    blocks.add("x.example.org", "see ada@example.com")
    db.session.commit()
    assert [line["event.action"] for line in log.read("security")] == ["email_bounced", "blocked"]
    assert "ada@example.com" not in json.dumps(log.read("security"))


def test_attempt_to_send_an_email_is_one_log_line(ada, outbox, log, monkeypatch):
    def refuse(*_):
        raise OSError("ada@example.com: connection refused")

    enqueue(Email.RESET, ada)
    db.session.commit()
    monkeypatch.setattr(delivery.Connection, "send", refuse)
    delivery.deliver()
    monkeypatch.undo()
    enqueue(Email.CONFIRM, ada)
    db.session.commit()
    delivery.deliver()
    failed, sent = log.read("email")
    assert (failed["event.outcome"], failed["labels.status"], failed["log.level"]) == ("failure", "waiting", "warning")
    assert failed["event.reason"] == "No mail server runs at this address and port."
    assert (sent["event.outcome"], sent["labels.status"], sent["labels.template"]) == ("success", "sent", "confirm")
    assert (sent["labels.attempt"], sent["user.id"], sent["log.level"]) == (1, str(ada.id), "info")
    assert sent["event.duration"] > 0
    assert failed["trace.id"] != sent["trace.id"]
    assert "example.com" not in str(log.read("email"))


def test_email_that_is_left_out_by_its_hourly_limit_is_logged(ada, log):
    for _ in range(Email.PASSWORD_COMPROMISED.hourly_limit + 1):
        enqueue(Email.PASSWORD_COMPROMISED, ada)
    (line,) = log.read("app.email.outbox")
    assert line["message"] == "An email was left out, because its hourly limit is reached: password_compromised"


def test_each_run_of_a_job_has_its_id(app, log):
    ids = set()
    for name in ("devices", "sent_emails"):
        cleanup.run(name)
        logging.getLogger("app").info("after %s", name)
        ids.add(log.read("app")[-1]["trace.id"])
    assert len(ids) == 2


def test_repeated_message_is_logged_once_a_minute(app, log, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("app.web.request_log.time.monotonic", lambda: now[0])
    for second in range(0, 125, 5):
        now[0] = second
        logging.getLogger("app.email.worker").error("The storage recovered")
        logging.getLogger("security").info("login_failed")
    assert [line.get("labels.repetitions") for line in log.read("app.email.worker")] == [None, 11, 11]
    assert len(log.read("security")) == 25
    for number in range(5000):
        logging.getLogger("flood").warning("%s", number)
    assert len(log.filters[0].last) <= 1000


def test_log_has_no_secrets(client, another_client, outbox, plain_or_json):
    client.post("/auth/register", data=FORM)
    link = outbox.link()
    another_client.get(link)
    client.get(link)
    cookie = client.get_cookie("session").value
    client.post("/auth/logout")
    client.post("/auth/login", data={"login": PASSWORD, "password": "eve"})
    written = "\n".join(plain_or_json.written)
    assert "/auth/confirm/<token> 302" in written
    secrets = [PASSWORD, cookie, FORM["email"], *link.rpartition("/")[2].split(".")]
    assert [secret for secret in secrets if secret in written] == []


@pytest.mark.parametrize("address", ["/nowhere/", "/auth/reset/"])
def test_a_long_path_makes_no_line_more_than_five_times_as_long(client, log, address):
    client.get(f"{address}x")
    usual = sum(map(len, log.written))
    client.get(address + quote("\U0001f468" * 1000))
    assert sum(map(len, log.written)) < (1 + 5) * usual


@pytest.mark.parametrize("address", ["/a%0Ab", "/a%0D%0A{%22fake%22:1}", "/a%1B[31mb", "/a%E2%80%A8b", "/a%C2%85b"])
def test_no_field_can_forge_a_log_line(client, plain_or_json, address):
    client.get(address, headers={"User-Agent": "x\x1b[31m"})
    assert len(plain_or_json.written) == 1
    assert plain_or_json.written[0].splitlines() == plain_or_json.written
    assert "\x1b" not in plain_or_json.written[0]


def test_exceptions_are_logged_with_their_traceback(own_app, app, client, log):
    app.testing = False
    app.add_url_rule("/bug/<token>", "bug", lambda token: 1 / 0)
    answer = client.get("/bug/eyJhbGciOi.eyJwdXJw.abc")
    line = next(line for line in log.read() if line["log.level"] == "error")
    assert "/bug/<token>" in line["message"]
    assert "ZeroDivisionError" in line["error.stack_trace"]
    assert "eyJ" not in str(line)
    assert line["trace.id"] == answer.headers["X-Request-ID"]
    assert f">{line['trace.id']}</code>" in answer.text


@pytest.mark.parametrize("settings", [{"TRUSTED_PROXIES": 1}])
@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("203.0.113.7:55555", "203.0.113.7"),
        ("[2001:db8::7]:55555", "2001:db8::7"),
        ("unknown", ""),
        ("x" * 60, ""),
        ("Call 0800", ""),
    ],
)
def test_forwarded_address_is_logged_only_if_valid(client, ada, said, kept):
    client.post("/auth/login", data={"login": "ada", "password": PASSWORD}, headers={"X-Forwarded-For": said})
    assert db.session.scalar(select(UserSession.ip)) == kept


# docs/logs.md


def documented():
    table = PAGE.partition("| Field |")[2].partition("\n\n")[0]
    return {name for row in table.splitlines() for name in re.findall(r"`([^`]+)`", row.split("|")[1])}


@pytest.fixture
def story(own_app, app, client, another_client, ada, outbox, log, monkeypatch):
    """The lines of a day: failures, refusals, an error, an email that is sent and one that is not."""
    app.testing = False
    app.add_url_rule("/bug", "bug", lambda: 1 / 0)
    another_client.environ_base["REMOTE_ADDR"] = "192.0.2.7"
    for _ in range(7):
        another_client.log_in(ada, "wrong")
    client.log_in(ada)
    client.post("/auth/magic-link", data={"email": ada.email})
    enqueue(Email.RESET, ada)
    db.session.commit()
    assert len(outbox()) == 1
    client.get("/bug")
    for _ in range(2):
        logging.getLogger("app.email.worker").warning("again and again")
    monkeypatch.setattr("app.web.request_log.REPEAT_AFTER", 0)
    logging.getLogger("app.email.worker").warning("again and again")
    administration.deactivate(ada)
    db.session.commit()
    client.log_in(ada)
    outbox()
    enqueue(Email.CONFIRM, ada)
    db.session.commit()
    monkeypatch.setattr(delivery.Connection, "send", lambda *_: (_ for _ in ()).throw(OSError("Connection refused")))
    delivery.deliver()
    return log


def test_every_field_is_documented_and_every_documented_field_is_written(story):
    named = {name for line in story.read() for name in line}
    labels = {name for name in named if name.startswith("labels.")}
    assert named - labels == documented() - {"labels.*"}
    assert {name for name in labels if f"`{name}`" not in PAGE} == set()


@pytest.mark.skipif(not shutil.which("jq"), reason="needs jq")
def test_documented_queries_answer_on_lines_that_the_application_wrote(story, ada, tmp_path):
    (tmp_path / "journal").write_text("\n".join(["Not JSON: a setting is wrong.", *story.written, ""]))
    journal = tmp_path / "journalctl"
    journal.write_text('#!/bin/sh\nexec cat "$(dirname "$0")/journal"\n')
    journal.chmod(0o755)
    number = next(line["trace.id"] for line in story.read("request") if line["url.path"] == "/bug")
    page = PAGE.replace('"42"', f'"{ada.id}"').replace("5f0c6f4e9b7a4d21", number)
    blocks = re.findall(r"(?:^    .*\n)+", page.partition("## Questions")[2], re.MULTILINE)

    def answer(part):
        (block,) = [block for block in blocks if part in block]
        environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        told = subprocess.run(["sh", "-c", block], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert (told.returncode, told.stderr) == (0, "")
        blocks.remove(block)
        return told.stdout

    answer("> flasky.log\n")
    mine = answer('."user.id" == ')
    for words in ("login_failed\tfailure", "logged_in\tsuccess", "the account is deactivated", "reset", "confirm"):
        assert words in mine
    assert "/auth/login\ttoo many attempts\tlogin" in answer('."client.ip" == ')
    assert len(answer('."trace.id" == ').splitlines()) == 2, "the request and its error"
    by_hour = re.findall(r"(\d+) \S{13} 192\.0\.2\.7", answer('== "login_failed"'))
    assert sum(map(int, by_hour)) == 5, "in one hour, or at its end in two"
    assert "2 too many attempts login" in answer('== "refused") | ."event.reason"')
    assert "1 500 /bug" in answer(">= 429")
    assert "login_failed" in answer("journalctl -u flasky -o cat --since -10min")
    assert "1 waiting No mail server runs at this address and port." in answer('"\\(."labels.status")')
    sent = [line["@timestamp"] for line in story.read("email") if line["labels.status"] == "sent"]
    assert answer('"sent") | ."@timestamp"').strip() == sent[-1]
    assert blocks == []

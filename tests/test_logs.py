"""The log: one line per request and event, with an id, without secrets, impossible to forge."""

import json
import logging

import pytest
from sqlalchemy import select
from support.clients import PASSWORD, on_sqlite
from support.registration import FORM

from app.extensions import db
from app.models import UserSession
from app.web.request_log import Json, Plain

pytestmark = on_sqlite


class Lines(logging.Handler):
    """What the application's handler would write."""

    def __init__(self, formatter):
        super().__init__()
        self.setFormatter(formatter)
        self.written = []

    def emit(self, record):
        self.written.append(self.format(record))

    def read(self):
        return [json.loads(line) for line in self.written]


@pytest.fixture(params=[Json, Plain])
def plain_or_json(request):
    yield from listening(Lines(request.param()))


@pytest.fixture
def log():
    yield from listening(Lines(Json()))


def listening(handler):
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)


def test_request_is_one_log_line_with_the_id_of_its_response(client, log):
    answer = client.get("/auth/login?next=/account")
    (line,) = log.read()
    assert line["message"] == "GET /auth/login 200"
    assert line["request_id"] == answer.headers["X-Request-ID"]
    assert line["ip"] == "127.0.0.1"
    assert line["ms"] >= 0
    assert line["at"].endswith("+00:00")


def test_audit_event_is_one_log_line_with_the_id_of_its_request(client, ada, log):
    answer = client.log_in(ada)
    line = next(line for line in log.read() if line["logger"] == "security")
    assert line["message"] == "logged_in"
    assert line["event"]["user_id"] == ada.id
    assert line["event"]["detail"] == {"method": "password"}
    assert line["request_id"] == answer.headers["X-Request-ID"]


def refusals(log):
    lines = [line for line in log.read() if line["logger"] == "security" and line["message"] == "refused"]
    assert all(line["level"] == "WARNING" and line["request_id"] for line in lines)
    assert all(line["event"]["ip"] == "127.0.0.1" and line["event"]["user_agent"] for line in lines)
    return [(line["event"]["reason"], line["event"]["path"]) for line in lines]


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
    failed = [line for line in log.read() if line["message"] == "login_failed"]
    assert [line["event"]["detail"] for line in failed] == [{"method": "password"}] * 5


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
    secrets = [PASSWORD, cookie, *link.rpartition("/")[2].split(".")]
    assert [secret for secret in secrets if secret in written] == []


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
    line = next(line for line in log.read() if line["level"] == "ERROR")
    assert "/bug/<token>" in line["message"]
    assert "ZeroDivisionError" in line["exception"]
    assert "eyJ" not in str(line)
    assert line["request_id"] == answer.headers["X-Request-ID"]
    assert f"<code>{line['request_id']}</code>" in answer.text


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

"""`flask doctor`, against real servers that work and that fail."""

import contextvars
import json
import secrets
from datetime import timedelta
from urllib.request import build_opener, install_opener

import pytest
from sqlalchemy import text
from support import pwned
from support.browsing import served
from support.captcha import Service
from support.clients import on_sqlite
from support.mail_server import HOST, Authority, MailServer, tls
from support.ours import is_ours
from support.records import rows

from app import __version__
from app.accounts import cleanup
from app.doctor import CHECKS, QUICK, Severity, findings, proxies
from app.extensions import db
from app.models import Job
from app.security import signing
from app.security.token_purposes import TokenPurpose

ALL = [name.split()[0].strip(",") for name in CHECKS]


@pytest.fixture
def authority(tmp_path, monkeypatch):
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    install_opener(build_opener())  # since Python 3.12 an opener keeps the authorities that it was made with
    yield authority
    install_opener(None)


def certificates(authority):
    return {"good": tls(authority.certify(HOST)), "for another host": tls(authority.certify("x"))}


@pytest.fixture
def smtp(authority):
    server = MailServer("STARTTLS", certificates(authority))
    yield server
    server.stop()


@pytest.fixture
def captcha():
    service = Service()
    service.says = {"success": False, "error-codes": ["missing-input-response"]}
    yield service
    service.stop()


@pytest.fixture
def passwords():
    service = pwned.Range()
    yield service
    service.stop()


@pytest.fixture
def app(make_app, database, authority, smtp, issuer, captcha, passwords):
    """A site in production, with all that it can have, served with TLS."""
    settings = smtp.settings | {
        "SECRET_KEY": secrets.token_hex(),
        "SQLALCHEMY_ENGINE_OPTIONS": {},
        "PUBLIC_URL": "https://localhost",
        "PASSWORD_HASH": "pbkdf2:sha256:1",
        "MAIL_DELIVERY": "worker",
        "CAPTCHA": "recaptcha",
        "RECAPTCHA_PUBLIC_KEY": "one",
        "RECAPTCHA_PRIVATE_KEY": "the other",
        "RECAPTCHA_VERIFY_SERVER": captcha.url,
        "PWNED_PASSWORDS_URL": passwords.url,
    }
    with make_app("production", database, settings) as app:
        app.config["OIDC_PROVIDERS"] = {"acme": issuer.provider()}  # not https: production would not start with it
        with served(app, ssl_context=tls(authority.certify("localhost"))):
            yield app


@pytest.fixture
def doctor(app):
    """Call it, and get what it says of each thing, by its first word."""

    def call(code=1):
        result = contextvars.Context().run(app.test_cli_runner(catch_exceptions=False).invoke, args=["doctor"])
        db.session.rollback()
        assert result.exit_code == code, result.output
        said, (version, *lines) = {}, result.stdout.splitlines()
        assert version == f"Flasky {__version__}"
        for line in lines:
            if not line.startswith(" "):
                state, name = line.split(maxsplit=1)
                current = said[name.split()[0].strip(":,")] = [state]
            else:
                current.append(line.strip())
        return said

    return call


def only(said, name):
    """The complaint about one thing, if there is no other."""
    assert [other for other, (state, *_) in said.items() if state == "wrong"] == [name], said
    assert len(said[name]) == 2, said
    return said[name][1]


def test_doctor_finds_nothing_wrong_with_a_healthy_site(doctor):
    said = doctor(code=0)
    assert list(said) == ALL
    assert {name for name, (state, *_) in said.items() if state == "-"} <= {"Redis", "SPF", "sequences"}
    assert said["Redis"][0] == "-"


def test_doctor_prints_one_json_object_per_finding(app, flask):
    app.config["RATELIMIT_ENABLED"] = False
    result = flask("doctor", "--json")
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 1
    assert f"Flasky {__version__}" in result.stderr
    assert found[0] == {
        "cause": "RATELIMIT_ENABLED is 0: passwords can be guessed without limit.",
        "remedy": "Remove it.",
        "severity": "problem",
        "check": "settings",
    }
    assert {finding["severity"] for finding in found} == {"problem", "recommendation", "skipped"}


def test_quick_findings_need_no_connection_but_the_database(app, smtp, captcha, passwords, issuer, monkeypatch):
    """The administration pages show them."""
    app.config["RATELIMIT_ENABLED"] = False
    monkeypatch.setattr("socket.socket.connect", None)
    found = findings(quick=True)
    assert [(finding.check, finding.severity) for finding in found if finding.check == "settings"] == [
        ("settings", Severity.PROBLEM),
        ("settings", Severity.RECOMMENDATION),
    ]
    assert {finding.check for finding in found} <= set(QUICK)


def test_doctor_recommends_verify_new_devices(app, doctor):
    recommended = "Recommended: VERIFY_NEW_DEVICES=1. A stolen password then can't log in on a new device."
    assert doctor(code=0)["settings"] == ["well", recommended]
    app.config["VERIFY_NEW_DEVICES"] = True
    assert doctor(code=0)["settings"] == ["well"]


def test_doctor_changes_nothing(app, doctor, smtp):
    doctor(code=0)
    assert smtp.received == []
    assert [name for name, found in rows().items() if found] == ["roles"]


def test_doctor_notes_in_development_what_production_would_refuse(make_app, database):
    with make_app("testing", database, {"MAIL_DELIVERY": "thread"}) as app:
        result = app.test_cli_runner(catch_exceptions=False).invoke(args=["doctor"])
    assert "well   settings" in result.stdout
    for name in ("SECRET_KEY", "PUBLIC_URL", "DATABASE_URL", "MAIL_SERVER"):
        assert f"For production: {name} is missing" in result.stdout


@on_sqlite
def test_doctor_reports_missing_tables(app, doctor):
    db.session.execute(text("DROP TABLE alembic_version"))
    db.session.execute(text("DROP TABLE outbox"))
    db.session.commit()
    said = doctor()
    assert "no such table" in only(said, "database")
    assert said["emails"][0] == "-"


def test_doctor_reports_cleanup_that_never_ran(doctor, clock, bob, monkeypatch):
    for name in [name for name, job in cleanup.registered.items() if not is_ours(job)]:
        monkeypatch.delitem(cleanup.registered, name)
    clock.move(days=2)
    assert doctor()["cleanup"] == ["well"]
    clock.move(microseconds=1)
    state, *said = doctor()["cleanup"]
    assert (state, len(said)) == ("wrong", len(cleanup.registered))
    assert (
        "sent_emails has never finished. Is flask mail worker running? To run it now: flask jobs run sent_emails"
        in said
    )
    cleanup.run_now()
    clock.move(days=2)
    assert doctor()["cleanup"] == ["well"]


def test_doctor_reports_failed_and_overdue_cleanup_jobs(doctor, bob, clock):
    """A process that was killed leaves no error: its job is overdue."""
    cleanup.run_now()
    db.session.get(Job, "devices").finished_at = clock.time - timedelta(days=2, microseconds=1)
    job = db.session.get(Job, "audit_events")
    job.failed_at, job.error = clock.time, "OperationalError: disk I/O error"
    db.session.commit()
    assert doctor()["cleanup"] == [
        "wrong",
        f"audit_events failed on {clock.time:%Y-%m-%d %H:%M} UTC: OperationalError: disk I/O error. To try again:"
        " flask jobs run audit_events",
        f"devices has not finished since {clock.time - timedelta(days=2, microseconds=1):%Y-%m-%d}."
        " Is flask mail worker running? To run it now: flask jobs run devices",
    ]
    cleanup.run_now()
    doctor(code=0)


@pytest.mark.parametrize(
    ("trusted", "arrived", "words"),
    [
        (1, {"forwarded_for": "192.0.2.1, 203.0.113.5"}, None),
        (1, {"forwarded_for": "203.0.113.5"}, None),
        (2, {"forwarded_for": "192.0.2.1,203.0.113.5, 10.0.0.1"}, None),
        (2, {"forwarded_for": "192.0.2.1, 203.0.113.5"}, "TRUSTED_PROXIES is 2, but 1 wrote"),
        (0, {"forwarded_for": "192.0.2.1, 203.0.113.5"}, "all visitors seem to come from 10.0.0.1"),
        (1, {"forwarded_for": "203.0.113.5", "is_secure": False}, "X-Forwarded-Proto"),
        (1, {"forwarded_for": "203.0.113.5", "host": "127.0.0.1:8000"}, "forward the browser"),
        (1, {"forwarded_for": "203.0.113.5", "is_proxy_trusted": False}, "TRUSTED_PROXY_NETWORKS has no network with"),
    ],
)
@on_sqlite
def test_doctor_compares_trusted_proxies_with_forwarded_headers(app, trusted, arrived, words):
    app.config.update(TRUSTED_PROXIES=trusted, PUBLIC_URL="https://example.com")
    whole = {"ip": "10.0.0.1", "is_secure": True, "host": "example.com", "is_proxy_trusted": True} | arrived
    found = list(proxies.compare_proxies(whole))
    assert [words in str(finding) for finding in found] == [True] if words else found == []


@on_sqlite
def test_doctor_reports_a_wrong_issuer(doctor, issuer):
    issuer.metadata = {"issuer": "https://evil.example"}
    said = only(doctor(), "providers")
    assert "Is OIDC_ACME_ISSUER exactly right" in said
    assert "names another issuer, 'https://evil.example'" in said


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
@on_sqlite
def test_doctor_accepts_providers_with_one_authentication_method(doctor, issuer, method):
    issuer.auth_methods = [method]
    issuer.metadata = {"token_endpoint_auth_methods_supported": [method]}
    doctor(code=0)


@on_sqlite
def test_probe_for_the_doctor_needs_its_token(client, clock):
    question = signing.sign(TokenPurpose.DOCTOR, subject=1, state="")
    assert client.get(f"/healthz/{question}").json["ip"] == "127.0.0.1"
    assert client.get(f"/healthz/{question[:-3]}").status_code == 404
    assert client.get("/healthz/x").status_code == 404
    clock.move(seconds=61)
    assert client.get(f"/healthz/{question}").status_code == 404


def test_doctor_reports_a_failing_check_and_runs_the_others(doctor, monkeypatch):
    def fails():
        raise RuntimeError("a lantern")

    monkeypatch.setitem(CHECKS, "database", fails)
    said = doctor()
    assert only(said, "database") == "This could not be checked: RuntimeError: a lantern"
    assert list(said) == ALL

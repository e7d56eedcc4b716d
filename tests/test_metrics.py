"""/metrics: who may read it, what it counts, and that visitors create no series; and docs/monitoring.md."""

import re
import secrets
from itertools import cycle

import pytest
from prometheus_client.parser import text_string_to_metric_families
from ruamel.yaml import YAML
from sqlalchemy import event, select, text
from support.clients import on_sqlite
from support.corpora import STRANGE
from support.repository import ROOT

from app.accounts import cleanup
from app.email.outbox import enqueue, retry
from app.email.templates import Email
from app.extensions import db
from app.models import AuditAction, OutboxEmail
from app.models.outbox_email import Status
from app.security import audit, hashing
from app.security.hash_threads import Threads

PAGE = (ROOT / "docs/monitoring.md").read_text()
TOKEN = "a token of the tests, and long enough"


def families(client, **headers):
    answer = client.get("/metrics", headers=headers)
    assert answer.status_code == 200, answer.text
    return list(text_string_to_metric_families(answer.text))


def series(client):
    """Return the value of each series, by its name and labels."""
    samples = [sample for family in families(client) for sample in family.samples]
    return {(sample.name, *sorted(sample.labels.items())): sample.value for sample in samples}


@pytest.fixture
def counted(client):
    """Return a function that tells how much a series has grown."""
    before = series(client)

    def grown(name, **labels):
        key = (f"flasky_{name}", *sorted(labels.items()))
        return series(client)[key] - before.get(key, 0)

    return grown


# What is counted


@on_sqlite
def test_requests_logins_and_refusals_are_counted(client, another_client, ada, counted):
    client.log_in(ada)
    for _ in range(6):
        another_client.log_in(ada, "wrong")
    client.get("/nowhere")
    assert counted("requests_total", endpoint="auth.login", status="422") == 5
    assert counted("requests_total", endpoint="auth.login", status="429") == 1
    assert counted("requests_total", endpoint="none", status="404") == 1
    assert counted("request_duration_seconds_count", endpoint="auth.login") >= 7
    assert counted("logins_total", method="password", outcome="failure") == 5
    assert counted("logins_total", method="password", outcome="success") == 1
    assert counted("rate_limit_refusals_total", policy="login") == 1
    assert counted("hash_wait_seconds_count") == 6


@on_sqlite
def test_a_login_that_is_rolled_back_is_not_counted(ada, counted):
    audit.record(ada, AuditAction.LOGGED_IN, method="password")
    db.session.rollback()
    assert counted("logins_total", method="password", outcome="success") == 0
    audit.record(ada, AuditAction.LOGGED_IN, method="password")
    db.session.commit()
    assert counted("logins_total", method="password", outcome="success") == 1


@on_sqlite
def test_full_queue_of_hashes_is_counted(client, ada, counted, monkeypatch):
    monkeypatch.setattr(hashing, "threads", Threads(1, max_calls=0))
    assert client.log_in(ada).status_code == 503
    assert counted("hash_refusals_total") == 1
    assert counted("hashes") == 0


def test_hashes_are_counted_while_they_run(client, app):
    seen = []

    def look():
        with app.app_context():
            seen.append(series(client)[("flasky_hashes",)])

    before = series(client)[("flasky_hashes",)]
    hashing.threads.run(look)
    assert seen == [before + 1]
    hashing.threads._pool.submit(int).result()
    assert series(client)[("flasky_hashes",)] == before


def test_emails_are_counted_by_status_with_the_age_of_the_oldest(client, ada, outbox, clock):
    enqueue(Email.RESET, ada)
    db.session.commit()
    assert len(outbox()) == 1
    clock.move(minutes=10)
    enqueue(Email.CONFIRM, ada)
    db.session.commit()
    clock.move(minutes=10)
    enqueue(Email.CONFIRM, ada)
    db.session.commit()
    now = series(client)
    counts = {dict(key[1:])["status"]: value for key, value in now.items() if key[0] == "flasky_emails"}
    assert counts == dict.fromkeys(Status, 0) | {"waiting": 2, "sent": 1}
    assert now[("flasky_emails_oldest_seconds",)] == 600
    clock.move(hours=1)
    assert series(client)[("flasky_emails", ("status", "sent"))] == 0
    outbox()
    assert series(client)[("flasky_emails_oldest_seconds",)] == 0


@on_sqlite
def test_emails_that_are_retried_wait_again_with_the_others(client, ada, outbox, clock):
    for _ in range(3):
        enqueue(Email.PASSWORD_CHANGED, ada)
    db.session.commit()
    failed = db.session.scalar(select(OutboxEmail))
    failed.done(Status.FAILED, "550 no such user")
    retry()
    db.session.commit()
    assert failed.done_at is None
    assert series(client)[("flasky_emails", ("status", "waiting"))] == 3
    failed.done_at = clock.time  # an earlier release left it
    db.session.commit()
    clock.move(minutes=1)
    assert series(client)[("flasky_emails", ("status", "waiting"))] == 3
    assert len(outbox()) == 3


def test_emails_are_read_by_indexes_alone(client, ada):
    asked = []
    event.listen(db.engine, "before_cursor_execute", lambda *call: asked.append((call[2], call[3])))
    series(client)
    (statement, values), _ = [call for call in asked if "FROM outbox" in call[0] or "FROM jobs" in call[0]]
    with db.engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            plan = str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all())
            assert "SCAN outbox" not in plan
        else:
            connection.exec_driver_sql("SET enable_seqscan = off")
            plan = str(connection.exec_driver_sql(f"EXPLAIN {statement}", values).all())
            assert "Seq Scan" not in plan
        assert "ix_outbox_done_at" in plan
        assert "ix_outbox_status_priority_due_at" in plan


def test_jobs_have_their_times_and_failures(client, clock, monkeypatch):
    cleanup.run("devices")
    monkeypatch.setitem(cleanup.registered, "sent_emails", lambda: 1 / 0)
    cleanup.run("sent_emails")
    now = series(client)
    devices, emails = ("name", "devices"), ("name", "sent_emails")
    assert now[("flasky_job_finished_timestamp_seconds", devices)] == pytest.approx(clock.time.timestamp())
    assert ("flasky_job_finished_timestamp_seconds", emails) not in now
    assert now[("flasky_job_due_timestamp_seconds", devices)] == pytest.approx(clock.time.timestamp() + 24 * 3600)
    assert now[("flasky_job_duration_seconds", devices)] < 60
    assert (now[("flasky_job_failed", devices)], now[("flasky_job_failed", emails)]) == (0, 1)


def test_connections_are_counted_while_they_are_in_use(client, app):
    db.session.rollback()
    before = series(client)[("flasky_database_connections",)]
    with db.engine.connect() as connection:
        assert series(client)[("flasky_database_connections",)] == before + 1
        connection.invalidate()
    assert series(client)[("flasky_database_connections",)] == before


@on_sqlite
def test_without_a_database_the_page_says_so_and_shows_the_rest(client):
    db.session.execute(text("ALTER TABLE outbox RENAME TO away"))
    db.session.commit()
    try:
        now = series(client)
        assert now[("flasky_database_up",)] == 0
        assert ("flasky_hashes",) in now
        assert not [key for key in now if key[0].startswith(("flasky_emails", "flasky_job"))]
    finally:
        db.session.execute(text("ALTER TABLE away RENAME TO outbox"))
        db.session.commit()
    assert series(client)[("flasky_database_up",)] == 1


# What visitors can't do

HOSTILE = [name for name in STRANGE if len(name) < 500 and name.isprintable()]


@on_sqlite
def test_hostile_paths_methods_and_names_create_no_series(client, ada):
    def ask(number):
        name = f"{next(names)}{secrets.token_hex(4)}"
        headers = {"Accept": "application/json", "User-Agent": name.encode("ascii", "ignore").decode()}
        if number % 50 == 0:
            client.post("/auth/login", data={"login": name, "password": "wrong"}, headers=headers)
        elif number % 50 == 1:
            client.post(f"/auth/sso/{name.replace('/', '')}", headers=headers)
        elif number % 2:
            client.open(f"/{name}", method=f"BREW{number % 1000}", headers=headers)
        else:
            client.get(f"/{name}?{name}", headers=headers)

    names = cycle(HOSTILE)
    for number in range(60):  # every kind of answer has been given
        ask(number)
    for path in ("/auth/sso/x", "//", "/auth/login"):
        client.post(path, headers={"Accept": "application/json"})
    for _ in range(100):
        client.post("/auth/login", data={"login": "x", "password": "wrong"}, headers={"Accept": "application/json"})
    series(client)
    before = set(series(client))
    for number in range(300):
        ask(number)
    assert set(series(client)) == before


@on_sqlite
@pytest.mark.parametrize(
    ("peer", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("::1", {"Host": "[::1]:8000"}, 200),
        ("127.0.0.1", {"Host": "example.com"}, 403),
        ("127.0.0.1", {"X-Forwarded-For": "192.0.2.1"}, 403),
        ("127.0.0.1", {"Forwarded": "for=192.0.2.1"}, 403),
        ("127.0.0.1", {"Authorization": f"Bearer {TOKEN}", "Via": "1.1 proxy"}, 403),
        ("192.0.2.1", {}, 403),
        ("192.0.2.1", {"Host": "localhost"}, 403),
        ("", {}, 403),
    ],
)
def test_without_a_token_only_this_machine_may_ask(browser_at, peer, headers, status):
    answer = browser_at(peer).get("/metrics", headers=headers)
    assert (answer.status_code, "flasky_requests_total" in answer.text) == (status, status == 200)
    assert "Set-Cookie" not in answer.headers


@on_sqlite
@pytest.mark.parametrize("settings", [{"METRICS_TOKEN": TOKEN}])
def test_with_a_token_every_request_needs_it(client, browser_at):
    elsewhere = browser_at("192.0.2.1")
    for host in ("localhost", "10.0.0.7:8000", "example.com"):
        told = elsewhere.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}", "Host": host})
        assert (told.status_code, told.headers["Cache-Control"]) == (200, "no-store")
        assert told.content_type.startswith("text/plain; version=")
    for sent in ("", TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN} ", f"Bearer {TOKEN[:-1]}", "Bearer \xe9\xff"):
        refused = client.get("/metrics", headers={"Authorization": sent})
        assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert "flasky_" not in refused.text


# docs/monitoring.md


def blocks():
    return [YAML(typ="safe").load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]


@on_sqlite
def test_every_metric_is_documented_with_its_labels(client, another_client, ada):
    for _ in range(6):
        another_client.log_in(ada, "wrong")
    cleanup.run("devices")
    rows = re.findall(r"^\| `(flasky_\w+)` \|([^|]*)\|", PAGE, re.MULTILINE)
    documented = {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}
    found = {}
    for family in families(client):
        name = family.name + ("_total" if family.type == "counter" else "")
        found[name] = {label for sample in family.samples for label in sample.labels} - {"le"}
    assert found == documented
    assert not {"job", "instance"} & set().union(*found.values()), "Prometheus sets these itself, for each target"


@on_sqlite
def test_alert_rules_name_metrics_and_labels_that_exist(client, another_client, ada):
    for _ in range(6):
        another_client.log_in(ada, "wrong")
    cleanup.run("devices")
    samples = [sample for family in families(client) for sample in family.samples]
    labels = {}
    for sample in samples:
        labels.setdefault(sample.name, set()).update(sample.labels)
    rules = blocks()[1]["groups"][0]["rules"]
    assert len(rules) == len({rule["alert"] for rule in rules}) > 8
    for rule in rules:
        named = re.findall(r"(flasky_\w+)(?:\{(.*?)\})?", rule["expr"])
        assert named, rule
        for name, matchers in named:
            assert set(re.findall(r"(\w+)=", matchers)) <= labels[name], rule
        grouped = {label for part in re.findall(r"(?:by|on) \((\w+)\)", rule["expr"]) for label in part.split(",")}
        assert grouped <= set().union(*(labels[name] for name, _ in named)), rule

"""The number of queries per page and form, so that none is added unnoticed; none scans a whole table."""

import re
from typing import NamedTuple

import pytest
from flask import has_request_context, request
from flask_login import current_user
from flask_mail import email_dispatched
from sqlalchemy import event
from support.applications import SIGNALS
from support.clients import PASSWORD
from support.flows import Tour, registration
from support.ours import is_ours
from support.routes import our_rules

from app.extensions import db
from app.models import User
from app.security.rate_limits.counters import shared_counters

# What PostgreSQL knows of the tables, which other tests filled and emptied, says nothing about production.
AS_IF_NEW = [  # in a transaction that is rolled back
    "SET enable_seqscan = off",
    f"TRUNCATE {', '.join(table.name for table in db.metadata.sorted_tables)}",
    "DELETE FROM pg_statistic WHERE starelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)",
]
STRANGERS_PAGES = "/ /auth/login /auth/register /auth/reset /auth/magic-link /healthz /appearance".split()
FILES = "/favicon.ico /manifest.webmanifest /robots.txt /.well-known/security.txt".split()
MEMBERS_PAGES = {
    "/account": 7,
    "/auth/devices": 3,
    "/auth/two-factor": 3,
    "/auth/login-methods": 5,
    "/auth/passkeys": 3,
}
MEMBERS_PAGES |= dict.fromkeys("/ /auth/delete /auth/export /auth/logout".split(), 1)
MEMBERS_PAGES |= dict.fromkeys("/auth/change-email /auth/change-password /auth/change-username".split(), 1)
MEMBERS_PAGES |= dict.fromkeys("/auth/connections /auth/history /auth/reauthenticate".split(), 2)


class Work(NamedTuple):
    reads: int
    writes: int
    counts: int  # of the limits


LOGIN, WRONG = {"login": "ada", "password": PASSWORD}, {"login": "ada", "password": "wrong"}
KNOWN, UNKNOWN = {"email": "ada@example.com"}, {"email": "nobody@example.com"}
FORMS = {  # what sending them costs a browser that was never here; one read looks for blocks
    "login": ("/auth/login", LOGIN, 302, Work(reads=4, writes=7, counts=5)),
    "wrong password": ("/auth/login", WRONG, 422, Work(reads=2, writes=1, counts=2)),
    "unknown name": ("/auth/login", WRONG | {"login": "nobody"}, 422, Work(reads=2, writes=1, counts=2)),
    "reset": ("/auth/reset", KNOWN, 302, Work(reads=4, writes=2, counts=3)),
    "reset for nobody": ("/auth/reset", UNKNOWN, 302, Work(reads=4, writes=2, counts=3)),
    "magic link": ("/auth/magic-link", KNOWN, 302, Work(reads=4, writes=3, counts=3)),
    "registration": ("/auth/register", registration("eve", "eve@example.com"), 302, Work(reads=8, writes=11, counts=5)),
}
GROWS_NEVER = {"jobs", "roles", "alembic_version"}


@pytest.fixture
def asked(app, monkeypatch):
    """What requests of ours ask the database: pairs of a statement and its values, as they go there.

    Owners' tables are left out, and receivers of signals, which are theirs, hear nothing.
    """
    asked = []
    for signal in SIGNALS:
        if signal is not email_dispatched:
            monkeypatch.setattr(signal, "receivers", {})
    theirs = {mapper.local_table.name for mapper in db.Model.registry.mappers if not is_ours(mapper.class_)}

    def note(connection, cursor, statement, values, *_):
        if has_request_context() and not theirs & {*re.findall(r"\w+", statement)}:
            asked.append((statement, values))

    shared_counters().storage.incr("something", 1)  # and with it, what is done once a minute
    for engine in db.engines.values():
        event.listen(engine, "before_cursor_execute", note)
    return asked


@pytest.mark.parametrize("path", STRANGERS_PAGES)
def test_pages_for_visitors_run_no_query(client, asked, path):
    assert client.get(path).status_code == 200
    assert asked == []


@pytest.mark.parametrize("settings", [{"SUPPORT_EMAIL": "help@example.com"}], ids=["with an address"])
@pytest.mark.parametrize("path", FILES)
def test_files_at_fixed_addresses_run_no_query_for_users(client, ada, asked, path):
    client.log_in(ada)
    asked.clear()
    assert client.get(path, buffered=True).status_code == 200
    assert asked == []


def test_pages_for_users_run_a_known_number_of_queries(client, ada, asked):
    client.log_in(ada)
    taken = {}
    for path in MEMBERS_PAGES:
        asked.clear()
        assert client.get(path).status_code == 200, path
        taken[path] = len(asked)
    assert taken == MEMBERS_PAGES


def test_what_a_page_needs_beyond_the_usual_is_loaded_by_one_more_query_for_each_row(own_app, app, client, ada, asked):
    @app.get("/all-of-it")
    def all_of_it():
        found = [getattr(current_user, column.key) for column in User.__table__.columns]
        return str(len(found) + len([current_user.current_session.user_agent, current_user.current_session.ip]))

    client.log_in(ada)
    asked.clear()
    assert client.get("/all-of-it").status_code == 200
    assert [statement.split()[0] for statement, _ in asked] == ["SELECT"] * 3, "look-up, user, session"


@pytest.mark.parametrize(("path", "form", "status", "work"), FORMS.values(), ids=FORMS)
def test_forms_run_a_known_number_of_statements(client, another_client, ada, asked, path, form, status, work):
    another_client.log_in(ada)
    asked.clear()
    assert client.post(path, data=form).status_code == status
    statements = [statement for statement, _ in asked]
    counts = [
        statement for statement in statements if "rate_limit_counters" in statement or " login_delays " in statement
    ]
    reads = [statement for statement in statements if statement.startswith("SELECT")]
    if db.engine.dialect.name == "sqlite" and "UPDATE outbox" in " ".join(statements):
        reads.append("the lock, which is a SELECT on PostgreSQL")
    assert Work(len(reads), len(statements) - len(reads) - len(counts), len(counts)) == work, statements


class TestTour:
    @pytest.fixture
    def settings(self, issuer):
        return {"OIDC_PROVIDERS": {"acme": issuer.provider()}}

    @pytest.mark.parametrize("database", [pytest.param("postgresql", marks=pytest.mark.extended)], indirect=True)
    def test_no_query_scans_a_whole_table(self, own_app, app, asked, outbox, clock, issuer):
        """Even if it may not, where there is no index for it."""
        visited = set()
        app.before_request(lambda: visited.add((request.method, request.endpoint)))
        Tour(app, outbox, clock, issuer).go()
        assert everywhere(app) - visited == set(), "the tour is to go there, too"
        questions = {statement: values for statement, values in asked if isinstance(values, dict)}
        questions = {text: values for text, values in questions.items() if not re.search("SAVEPOINT|^SET ", text)}
        with db.engine.connect() as connection:
            for statement in AS_IF_NEW:
                connection.exec_driver_sql(statement)
            plans = {
                statement: connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", values).scalar()
                for statement, values in questions.items()
            }
        found = {statement: whole_tables(plan["Plan"]) for statement, [plan] in plans.items()}
        assert {statement: tables for statement, tables in found.items() if tables} == {}


def everywhere(app):
    """Every method and endpoint, without static files."""
    rules = [rule for rule in our_rules(app) if rule.endpoint not in {"static", "asset"}]
    rules = [rule for rule in rules if not rule.endpoint.startswith("admin.")]  # which list whole tables, by the page
    return {(method, rule.endpoint) for rule in rules for method in rule.methods & {"GET", "POST"}}


def whole_tables(step):
    """The tables that grow of which a step of a plan, or one below it, reads all rows: by itself or along an index."""
    inner = [table for below in step.get("Plans", []) for table in whole_tables(below)]
    table, kind = step.get("Relation Name"), step["Node Type"]
    is_whole = kind == "Seq Scan" or (kind in {"Index Scan", "Index Only Scan"} and "Index Cond" not in step)
    return inner + ([table] if is_whole and table not in GROWS_NEVER else [])

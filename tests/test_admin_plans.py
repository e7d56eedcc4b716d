"""The queries of the administration pages: none reads a whole table that grows."""

import re
from importlib import import_module

import pytest
from sqlalchemy import event, insert
from support.administration import paths
from support.clients import on_sqlite
from support.repository import ROOT

from app.accounts import totals
from app.extensions import db
from app.models import User

GROWING = "users user_sessions audit_events outbox rate_limit_counters login_delays".split()
GROWING += ["pragma_foreign_key_check"]  # which reads all tables


@pytest.fixture
def asked(app):
    """The queries: pairs of a statement and its values."""
    asked = []

    def note(connection, cursor, statement, values, *_):
        if statement.startswith("SELECT"):
            asked.append((statement, values))

    for engine in (db.engine, db.engines["rate_limits"]):
        event.listen(engine, "before_cursor_execute", note)
    return asked


@on_sqlite
def test_no_page_reads_a_whole_table(administrator, ada, asked):
    """Except to count the accounts, and to find emails, kept for a month, by domain or template."""
    found = {}
    for path in paths(ada.id):
        asked.clear()
        assert administrator.get(path).status_code == 200
        found |= {statement: path for statement, values in asked if scans(statement, values)}
    searches = {path for path in paths(ada.id) if re.search("template=|to=%40", path)}
    assert {statement: path for statement, path in found.items() if path not in searches} == {}
    assert len(found) == 2


def scans(statement, values):
    """Return the steps that read a whole table to find some of its rows, or without an order."""
    with db.engine.connect() as connection:
        plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)]
    is_one_page = "LIMIT" in statement and not re.search(r"WHERE (?!1 = 1|0 = 1)", statement)
    of_index_alone = re.compile(r"USING (COVERING INDEX|INDEX ix_users_)")  # the index of a group has no others
    steps = [step for step in plan if re.match(f"SCAN ({'|'.join(GROWING)})\\b", step)]
    return [step for step in steps if not is_one_page and not of_index_alone.search(step)]


@pytest.mark.parametrize("database", [pytest.param("postgresql", marks=pytest.mark.extended)], indirect=True)
def test_no_page_of_a_large_site_reads_many_rows(administrator, ada, asked, monkeypatch):
    """With 10,000 people and 50,000 events."""
    monkeypatch.setattr(totals, "MANY", 1_000)
    monkeypatch.syspath_prepend(ROOT / "bench")
    long_steps, population = import_module("administration").long_steps, import_module("population")
    columns, size = [*import_module("people").USERS, *population.STATE], 10_000
    rows = (dict(zip(columns, population.person(number, "", size), strict=True)) for number in range(size))
    db.session.execute(insert(User), [row | {"deletion_due_at": None} for row in rows if row["id"] > ada.id])
    db.session.commit()
    population.fill(db, size)
    found = {}
    for path in paths(ada.id):
        asked.clear()
        assert administrator.get(path).status_code == 200
        for statement, values in asked:
            plan = db.session.connection().exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", values)
            found |= {f"{path}: {line}": statement for line in long_steps(plan.scalar_one()[0]["Plan"], 4_000)}
    assert found == {}

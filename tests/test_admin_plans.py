"""The queries of the administration pages: none reads a whole table that grows."""

import re

import pytest
from sqlalchemy import event
from support.administration import paths
from support.clients import on_sqlite

from app.extensions import db

GROWING = "users user_sessions audit_events outbox".split()


@pytest.fixture
def asked(app):
    """The queries: pairs of a statement and its values."""
    asked = []

    def note(connection, cursor, statement, values, *_):
        if statement.startswith("SELECT"):
            asked.append((statement, values))

    event.listen(db.engine, "before_cursor_execute", note)
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

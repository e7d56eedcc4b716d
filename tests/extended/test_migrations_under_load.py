"""Every migration since release 0.1.0 runs beside readers and writers of large tables, and makes none of them wait.

PostgreSQL. CONTRIBUTING.md, "Migrations that a running site survives", has the rules. Statements of the load name the
columns of the revision before, as the code does that is still running.
"""

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from alembic.script import ScriptDirectory
from flask_migrate import downgrade, upgrade
from sqlalchemy import Engine, create_engine, event, inspect, make_url, text
from support.clients import ROOT
from support.migrations import DIRECTORY, fill_by_the_database
from support.postgresql import on_postgresql
from support.tutorial import for_an_untouched_clone
from support.waiting import until

from app import create_app
from app.extensions import db

pytestmark = [pytest.mark.extended, pytest.mark.xdist_group("migrations under load")]

SINCE = "c41d7e90b2aa"  # the newest migration of 0.1.0 before this test
LARGE = {"users": 50_000, "audit_events": 50_000, "outbox": 50_000, "user_sessions": 50_000}
SMALL = 2_000
LOCK_TIMEOUT = 1  # second; migrations/env.py
PATIENCE = 3  # seconds that a request waits for a lock here: a busy machine may pause a migration that holds one
THREADS = 3
SLOW = {  # on a table with rows, and without these words, each holds a lock for as long as it reads or writes the table
    r"CREATE (UNIQUE )?INDEX": "CONCURRENTLY",
    r"ADD CONSTRAINT \w+ (FOREIGN KEY|CHECK)": "NOT VALID",
    r"ADD CONSTRAINT \w+ (UNIQUE|PRIMARY KEY) ": "USING INDEX",
    r"ALTER COLUMN \w+ (TYPE|SET NOT NULL)": "USING no lock",
    r"VALIDATE CONSTRAINT": "in a migration of its own",
}


def revisions():
    script = ScriptDirectory(DIRECTORY)
    return [step.revision for step in reversed(list(script.walk_revisions(SINCE, "heads")))][1:]


@pytest.fixture
def app(database):
    """An application on a database of its own, in which all tables have rows, at the revision before."""
    with psycopg.connect(database.server.get_uri(), autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS under_load")
        connection.execute("CREATE DATABASE under_load")
    url = make_url(database.url).set(database="under_load").render_as_string(hide_password=False)
    app = create_app("testing", SQLALCHEMY_DATABASE_URI=url)
    with app.app_context():
        upgrade(DIRECTORY)
        with db.engine.begin() as connection:
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            fill_by_the_database(connection, SMALL, set(LARGE), max(LARGE.values()))
        downgrade(DIRECTORY, revision=SINCE)
        yield app
        for engine in db.engines.values():
            engine.dispose()


class Load:
    """Threads that read and write rows of every table. `failed` has what the database refused."""

    def __init__(self, url, tables):
        self.failed, self.slowest, self.count, self.stopped = [], 0.0, 0, threading.Event()
        options = f"-c lock_timeout={PATIENCE}s -c statement_timeout=5s"
        self.engine = create_engine(
            url, connect_args={"options": options}, pool_size=THREADS, isolation_level="AUTOCOMMIT"
        )
        self.statements = [statement for table in tables for statement in self._statements(*table)]
        self.threads = ThreadPoolExecutor(THREADS)

    def __enter__(self):
        self.running = [self.threads.submit(self._run, number) for number in range(THREADS)]
        return self

    def __exit__(self, *_):
        self.stopped.set()
        for thread in self.running:
            thread.result()
        self.threads.shutdown()
        self.engine.dispose()

    def _statements(self, name, columns, key):
        named = ", ".join(f'"{column}"' for column in columns)
        row = f'WHERE "{key}" = (SELECT "{key}" FROM "{name}" LIMIT 1 OFFSET {{}})'
        yield f'SELECT {named} FROM "{name}" {row}'
        yield f'UPDATE "{name}" SET "{columns[-1]}" = "{columns[-1]}" {row}'

    def _run(self, number):
        with self.engine.connect() as connection:
            while not self.stopped.wait(0.001):
                number += THREADS
                statement = self.statements[number % len(self.statements)].format(number % 97)
                begun = time.monotonic()
                try:
                    connection.exec_driver_sql(statement)
                except Exception as error:  # whatever a request would have failed by
                    self.failed.append(f"{statement}: {error}")
                self.slowest = max(self.slowest, time.monotonic() - begun)
                self.count += 1


def tables(engine):
    """Yield each table, its columns and its first key."""
    schema = inspect(engine)
    for name in schema.get_table_names():
        if name not in {"alembic_version", "roles"}:
            columns = [column["name"] for column in schema.get_columns(name)]
            yield name, columns, schema.get_pk_constraint(name)["constrained_columns"][0]


def files(engine):
    """Return the file of each large table. A table that is rewritten gets another."""
    with engine.connect() as connection:
        query = text("SELECT relname, pg_relation_filenode(oid) FROM pg_class WHERE relname = ANY(:names)")
        return dict(connection.execute(query, {"names": list(LARGE)}).all())


def too_slow(statements, large):
    """Return the statements that would hold a lock on a large table for long."""
    return [
        statement
        for statement in statements
        for pattern, without in SLOW.items()
        if re.search(pattern, statement) and without not in statement
        if any(re.search(rf'\b(ON|TABLE) "?{name}"?\b', statement) for name in large)
    ]


@on_postgresql
def test_no_request_fails_or_waits_while_a_migration_runs(app):
    statements = []

    def keep(connection, cursor, statement, *_):
        statements.append(" ".join(statement.split()))

    for revision in revisions():
        before, large = files(db.engine), list(LARGE)
        statements.clear()
        event.listen(Engine, "before_cursor_execute", keep)
        try:
            with Load(app.config["SQLALCHEMY_DATABASE_URI"], list(tables(db.engine))) as load:
                until(lambda load=load: load.count > 100)
                begun = time.monotonic()
                upgrade(DIRECTORY, revision=revision)
                took = time.monotonic() - begun
                load.stopped.wait(0.1)
        finally:
            event.remove(Engine, "before_cursor_execute", keep)
        print(f"{revision}: {took:.2f} s beside {load.count} statements, the slowest {load.slowest:.3f} s")
        assert load.failed == [], revision
        assert f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}s'" in statements
        after = files(db.engine)
        rewritten = {name for name in LARGE if before[name] != after[name]}
        assert rewritten == set(), f"{revision} rewrites a large table"
        assert too_slow(statements, large) == [], revision


@for_an_untouched_clone
def test_the_changelog_says_how_long_each_migration_takes():
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert [revision for revision in revisions() if f"`{revision}`" not in text] == []

"""Databases that the code can't run on: what is reported, and which command helps."""

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from flask_migrate import downgrade, merge, revision, stamp, upgrade
from sqlalchemy import inspect, text
from support.clients import ROOT, on_sqlite
from support.migrations import DIRECTORY
from support.waiting import until

from app import orphans, schema
from app.extensions import db


@pytest.fixture
def empty(app):
    """A database without tables."""
    db.session.rollback()
    downgrade(DIRECTORY, revision="base")
    with db.engine.begin() as connection:
        connection.execute(text("DROP TABLE alembic_version"))
    yield
    db.session.rollback()
    db.session.remove()
    db.drop_all()
    with db.engine.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS alembic_version"))
    upgrade(DIRECTORY)


@pytest.fixture
def directory(app, tmp_path, monkeypatch):
    """The migrations of somebody who adds their own."""
    folder = str(shutil.copytree(ROOT / "migrations", tmp_path / "theirs"))
    monkeypatch.setattr(app.extensions["migrate"], "directory", folder)
    return folder


def said(app, *command):
    ran = app.test_cli_runner().invoke(args=command)
    db.session.rollback()
    return ran.output


@pytest.mark.parametrize("name", ["development", "testing"])
def test_empty_database_is_reported_with_the_command(app, empty, client, caplog, name):
    app.config["CONFIG_NAME"] = name
    page = client.post("/auth/login", data={"login": "ada", "password": "a lantern in the fog"})
    assert page.status_code == 503
    assert "This site is busy" not in page.text
    assert ("flask db upgrade" in page.text) is (name == "development")
    assert "flask db upgrade" in caplog.text
    caplog.clear()
    ready = client.get("/readyz")
    assert (ready.status_code, "flask db upgrade" in ready.text) == (503, name == "development")
    assert "The database has no tables yet. Run: flask db upgrade" in caplog.text
    assert "The database has no tables yet. Run: flask db upgrade" in said(app, "doctor")


def test_tables_made_by_create_all_are_reported(app, empty, client, caplog):
    db.create_all(bind_key=None)
    with pytest.raises(SystemExit):
        upgrade(DIRECTORY)
    assert "db.create_all() made them, and no migration. Run: flask db stamp head" in caplog.text
    assert "flask db stamp head" in said(app, "doctor")
    assert client.get("/readyz").status_code == 503
    stamp(DIRECTORY)
    upgrade(DIRECTORY)
    assert client.get("/readyz").status_code == 200


def test_tables_of_another_program_are_reported_as_such(app, empty, caplog):
    with db.engine.begin() as connection:
        connection.execute(text("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)"))
    with pytest.raises(SystemExit):
        upgrade(DIRECTORY)
    assert "If another program made them, use another database (DATABASE_URL)" in caplog.text
    assert [column["name"] for column in inspect(db.engine).get_columns("users")] == ["id", "name"]
    with db.engine.begin() as connection:
        connection.execute(text("DROP TABLE users"))


def test_unknown_revision_is_reported(app, client, caplog):
    head = schema.revisions()[0]
    stamp_by_hand("of_the_future")
    try:
        assert client.get("/readyz").status_code == 503
        assert "at migration of_the_future, which this code doesn't have" in caplog.text
    finally:
        stamp_by_hand(head)


def test_a_running_server_stays_ready_while_newer_code_migrates_the_database(app, client):
    """Otherwise a load balancer would take all servers out at once, before the first new one serves."""
    head = schema.revisions()[0]
    assert client.get("/readyz").status_code == 200
    stamp_by_hand("of_the_future")
    try:
        assert client.get("/readyz").status_code == 200
        assert "which this code doesn't have" in schema.problem(), "a process that starts now is not ready"
    finally:
        stamp_by_hand(head)


def stamp_by_hand(version):
    db.session.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": version})
    db.session.commit()


def test_two_heads_are_reported_with_the_command(app, client, caplog, directory):
    """An update brought a migration, and the owner has one."""
    head = schema.revisions()[0]
    for name in ("update", "own"):
        revision(directory, message=name, head=head, splice=True)
    assert client.get("/readyz").status_code == 503
    assert "flask db merge heads" in caplog.text
    assert "flask db merge heads" in said(app, "doctor")
    try:
        upgrade(directory, revision="heads")
        assert client.get("/readyz").status_code == 200
        assert schema.problem() is None
        assert "flask db merge heads" in said(app, "doctor"), "upgrade without `heads` still refuses"
        db.session.rollback()
        merge(directory, revisions=("heads",), message="both")
        upgrade(directory)
        assert client.get("/readyz").status_code == 200
        assert schema.several_heads() is None
    finally:
        db.session.rollback()
        downgrade(directory, revision=head)


@on_sqlite
def test_duplicate_revisions_are_reported(app, directory):
    """An owner numbered one, and so did an update."""
    assert list(schema.duplicate_revisions()) == []
    folder = Path(directory, "versions")
    shutil.copy(folder / "0016_secure_account.py", folder / "0016_plants.py")
    [sentence] = schema.duplicate_revisions()
    assert sentence.startswith("0016_plants.py and 0016_secure_account.py have the same revision, 0016.")


def delete_by_sqlite3(app, user):
    connection = sqlite3.connect(db.engine.url.database)
    connection.execute("DELETE FROM users WHERE id = ?", (user,))
    connection.commit()
    connection.close()


@on_sqlite
def test_orphans_are_reported_and_repaired(app, client, another_client, ada, bob, caplog):
    client.log_in(ada)
    another_client.log_in(bob)
    ada = ada.id
    db.session.rollback()
    delete_by_sqlite3(app, ada)
    downgrade(DIRECTORY, revision="0015")
    upgrade(DIRECTORY)
    assert "1 row of user_sessions belongs to rows of users that no longer exist" in caplog.text
    assert "Run: flask users cleanup" in caplog.text
    assert "user_sessions belongs to rows of users that no longer exist" in said(app, "doctor")
    kept = db.session.scalar(text("SELECT count(*) FROM audit_events"))
    said(app, "users", "cleanup")
    assert not orphans.count(db.session.connection())
    assert db.session.scalar(text("SELECT count(*) FROM user_sessions")) == 1, "Bob's"
    assert db.session.scalar(text("SELECT count(*) FROM audit_events")) == kept
    assert "that no longer exist" not in said(app, "doctor")


@on_sqlite
def test_orphans_without_on_delete_stay_and_are_reported(app, ada):
    with db.engine.begin() as connection:
        for table, key in {
            "orders": "user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE",
            "items": "order_id INTEGER NOT NULL REFERENCES orders ON DELETE CASCADE",
            "bills": "user_id INTEGER NOT NULL REFERENCES users (id)",
        }.items():
            connection.execute(text(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, {key})"))
        for table, column in {"orders": "user_id", "bills": "user_id", "items": "order_id"}.items():
            connection.execute(text(f"INSERT INTO {table} (id, {column}) VALUES (1, 1)"))
    ada = ada.id
    db.session.rollback()
    delete_by_sqlite3(app, ada)
    output = said(app, "users", "cleanup")
    assert "1 row of bills belongs to rows of users that no longer exist. Their foreign keys" in output
    counts = [db.session.scalar(text(f"SELECT count(*) FROM {table}")) for table in ("orders", "items", "bills")]
    assert counts == [0, 0, 1]


@on_sqlite
def test_migration_that_creates_orphans_is_rolled_back(app, client, ada, directory, caplog):
    client.log_in(ada)
    db.session.rollback()
    before = pragmas()
    revision(directory, message="bad")
    [file] = (ROOT / directory / "versions").glob("*bad.py")
    file.write_text(file.read_text().replace("pass", "op.execute('DELETE FROM users')", 1))
    with pytest.raises(SystemExit):
        upgrade(directory)
    assert "This migration created orphans" in caplog.text
    assert pragmas() == before
    assert before["foreign_keys"] == 1
    assert db.session.scalar(text("SELECT count(*) FROM users")) == 1


def pragmas():
    with db.engine.connect() as connection:
        return {name: connection.scalar(text(f"PRAGMA {name}")) for name in ("foreign_keys", "busy_timeout")}


@pytest.mark.extended
def test_concurrent_upgrades_wait_for_each_other(app, empty):
    db.session.rollback()
    settings = {"FLASK_CONFIG": "development", "SECRET_KEY": "x" * 32, "PYTHON_DOTENV_DISABLED": "1"}
    settings["DATABASE_URL"] = app.config["SQLALCHEMY_DATABASE_URI"]
    code = "from flask_migrate import upgrade; from flasky import app; app.app_context().push(); upgrade()"
    command = [sys.executable, "-c", code]
    lock = {"lock": int.from_bytes(b"flasky", "big")}  # migrations/env.py
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as other:
        if other.dialect.name == "postgresql":
            other.execute(text("SELECT pg_advisory_lock(:lock)"), lock)
        both = [
            subprocess.Popen(command, cwd=ROOT, env=os.environ | settings, stderr=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        if other.dialect.name == "postgresql":
            asks = "query LIKE '%pg_try_advisory_xact_lock%' AND pid <> pg_backend_pid()"
            waiting = text(f"SELECT count(*) FROM pg_sleep(0.1), pg_stat_activity WHERE {asks}")
            while other.scalar(waiting) < 2:
                assert [process.poll() for process in both] == [None, None], "they wait for the lock"
            assert inspect(other).get_table_names() == []
            other.execute(text("SELECT pg_advisory_unlock(:lock)"), lock)
    said = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert sum("Running upgrade" in text for text in said) == 1, "the second finds it done"
    assert schema.problem() is None


@pytest.mark.extended
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_migration_waits_for_a_lock_for_a_second_and_tries_again(app, caplog):
    """Requests wait behind it, so it must not wait longer."""
    downgrade(DIRECTORY, revision="-1")
    again = "Another session uses a table of this migration. Trying again."
    with db.engine.connect() as other:
        other.execute(text("LOCK TABLE alembic_version IN EXCLUSIVE MODE"))
        release = threading.Thread(target=lambda: (until(lambda: again in caplog.text), other.rollback()))
        release.start()
        upgrade(DIRECTORY)
        release.join()
    assert again in caplog.text
    assert schema.problem() is None

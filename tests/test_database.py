"""Connections to the database, and what users see while it is down."""

import sqlite3
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import Column, Engine, ForeignKey, Integer, Table, delete, event, insert, select, text
from sqlalchemy.exc import OperationalError
from support.clients import PASSWORD, on_sqlite
from support.databases import hurry

from app import create_app
from app.extensions import db
from app.models import Role, User
from settings.connections import engine_options


@pytest.fixture
def unhurried():
    """SQLite as it is in production: what it says is written outlasts a power cut."""
    event.remove(Engine, "connect", hurry)
    yield
    event.listen(Engine, "connect", hurry)


@on_sqlite
@pytest.mark.parametrize("settings", [{"SQLALCHEMY_ENGINE_OPTIONS": engine_options("sqlite:///app.db")}], ids=[""])
def test_sqlite_pragmas_make_commits_durable(unhurried, app):
    pragmas = {"foreign_keys": 1, "journal_mode": "wal", "synchronous": 2, "busy_timeout": 5000}
    with db.engine.connect() as connection:
        assert {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in pragmas} == pragmas


def test_in_memory_database_works_without_migrations():
    """As tutorials begin: no file, no migration."""
    app = create_app("testing")
    with app.app_context():
        db.create_all()
        db.session.add(User(email="eve@example.com", username="eve", password="cat"))
        db.session.commit()
        assert User.query.filter_by(username="eve").one().verify_password("cat")
        db.session.remove()
        for engine in db.engines.values():
            engine.dispose()


@pytest.mark.extended
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_postgresql_timeouts_are_set(app):
    limits = {"statement_timeout": "5s", "lock_timeout": "5s", "idle_in_transaction_session_timeout": "1min"}
    with db.engine.connect() as connection:
        assert {name: connection.exec_driver_sql(f"SHOW {name}").scalar() for name in limits} == limits


@pytest.fixture
def migrated_tables(app, database):
    """Two tables of an application, whose migrations made rows; they go with the test."""
    orders = Table(
        "order", db.metadata, Column("id", Integer, primary_key=True), Column("user", ForeignKey("users.id"))
    )
    notes = Table("order_notes", db.metadata, Column("id", ForeignKey("order.id"), primary_key=True))
    db.metadata.create_all(db.engine, [orders, notes])
    with db.engine.begin() as connection:
        connection.execute(insert(orders), [{}, {}])
        connection.execute(insert(notes), [{"id": 2}])
    database.keep_rows()
    yield orders, notes
    db.session.remove()
    db.metadata.drop_all(db.engine, [orders, notes])
    for table in (orders, notes):
        db.metadata.remove(table)
        del database.rows[table]


@pytest.mark.extended
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_each_test_finds_the_rows_that_the_migrations_made(app, database, migrated_tables, ada):
    orders, notes = migrated_tables
    roles = select(Role.name, Role.permissions).order_by(Role.name)
    migrated = db.session.execute(roles).all()
    with db.engine.begin() as connection:
        connection.execute(delete(notes))
        connection.execute(insert(orders), [{"user": ada.id}])
    db.session.add(Role(name="of a test", permissions=1))
    db.session.get(Role, "administrator").permissions = 1
    db.session.commit()
    db.session.remove()
    database.clear()
    with db.engine.begin() as connection:
        assert connection.scalar(insert(orders).returning(orders.c.id)) == 3, "the next number"
        assert connection.scalars(select(notes.c.id)).all() == [2]
        assert connection.execute(roles).all() == migrated
        assert connection.scalars(select(User.id)).all() == []


@pytest.mark.extended
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_connections_closed_by_the_server_are_replaced(app, client, ada):
    client.log_in(ada)
    held = [db.engine.connect() for _ in range(3)]
    for connection in held[1:]:
        connection.close()  # to the pool
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    held[0].exec_driver_sql(f"SELECT pg_terminate_backend(pid, 10_000) {others}")  # waits until it has ended, ms
    held[0].close()
    assert [client.get("/account").status_code for _ in range(3)] == [200] * 3


@pytest.mark.extended
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_no_statement_is_prepared(app):
    """PgBouncer would send the statement over another connection, where it is not known."""
    for engine in db.engines.values():
        with engine.connect() as connection:
            for _ in range(7):  # psycopg would prepare at the sixth
                connection.execute(select(User.id))
            assert connection.exec_driver_sql("SELECT count(*) FROM pg_prepared_statements").scalar() == 0


@pytest.mark.extended
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_connections_to_a_standby_are_dropped(app, client, ada):
    with db.engine.connect() as connection:  # the pool's only one: reading goes on, writing does not
        connection.exec_driver_sql("SET default_transaction_read_only = on")
        connection.commit()
    form = {"login": ada.username, "password": PASSWORD}
    assert client.get("/auth/login").status_code == 200
    refused = client.post("/auth/login", data=form)
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
    assert client.post("/auth/login", data=form).status_code == 302


def test_sqlite_reads_take_no_lock_and_writes_wait(app, ada):
    """Two who read, then write: no update is lost, on either database."""
    first, second = db.engine.connect(), db.engine.connect()
    for connection in (first, second):
        connection.execute(select(User.password_version)).all()
    first.execute(text("UPDATE users SET password_version = password_version + 1"))
    first.commit()
    second.execute(text("UPDATE users SET password_version = password_version + 1"))
    second.commit()
    first.close()
    second.close()
    db.session.refresh(ada)
    assert ada.password_version == 3


def test_datetimes_are_returned_in_utc(ada):
    ada.created_at = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=5)))
    db.session.commit()
    assert ada.created_at == datetime(2026, 1, 1, 7, tzinfo=UTC)
    assert ada.created_at.tzinfo == UTC


@pytest.mark.parametrize("address", ["/", "/account", "/auth/login"])
def test_database_outage_shows_an_error_page_and_keeps_sessions(app, client, ada, address):
    client.log_in(ada)

    def fail(*_):
        raise OperationalError("SELECT", {}, sqlite3.OperationalError("database is locked"))

    engines = db.engines.values()
    for engine in engines:
        event.listen(engine, "before_cursor_execute", fail)
    answer = client.get(address)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert "This site is busy" in answer.text
    assert '<a class="brand"' in answer.text
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 503
    for engine in engines:
        event.remove(engine, "before_cursor_execute", fail)
    assert client.get("/account").status_code == 200

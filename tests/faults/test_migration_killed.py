"""A migration killed half-way: no half migration, no row lost, and the same command goes on."""

import os
import subprocess
import sys

import pytest
from alembic.script import ScriptDirectory
from flask_migrate import check, downgrade
from flask_migrate import upgrade as migrate_to
from sqlalchemy import inspect, text
from support.clients import ROOT
from support.migrations import DIRECTORY, fill, values

from app.extensions import db

pytestmark = pytest.mark.extended

FROM = "0002"
# Upgrades, and kills itself with SIGKILL when it is about to execute the changing statement of this number.
KILLED = """
import os, signal, sys
from flask_migrate import upgrade
from sqlalchemy import Engine, event

@event.listens_for(Engine, "before_cursor_execute")
def count(connection, cursor, statement, *_):
    global left
    if statement.lstrip().startswith(("CREATE", "ALTER", "DROP", "INSERT", "UPDATE")):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

left = int(sys.argv[1])
from flasky import app
with app.app_context():
    upgrade()
"""


def test_a_killed_migration_changes_nothing_and_can_be_run_again(app):
    """SQLite takes all migrations in one transaction; PostgreSQL takes each in its own, and keeps those before."""
    fill(1000)
    filled = values()
    downgrade(DIRECTORY, revision=FROM)
    before = schema()
    known = {FROM: before}
    if db.engine.dialect.name == "postgresql":
        for step in reversed(list(ScriptDirectory(DIRECTORY).iterate_revisions("0006", FROM))):
            migrate_to(DIRECTORY, revision=step.revision)
            known[step.revision] = schema()
        downgrade(DIRECTORY, revision=FROM)
    db.engine.dispose()
    for statement in (2, 9, 17):
        assert upgrade(app, statement) == -9
        assert schema() == known[current()]
    assert upgrade(app, 0) == 0
    after = values()
    check(DIRECTORY)
    for table, columns in before.items():
        for column in columns & filled.get(table, {}).keys():
            assert after[table][column] == filled[table][column], (table, column)


def upgrade(app, statement):
    """Upgrade in a process of its own, which kills itself before this statement; return how it ended."""
    settings = {"FLASK_CONFIG": "development", "SECRET_KEY": "x" * 32, "PYTHON_DOTENV_DISABLED": "1"}
    settings["DATABASE_URL"] = app.config["SQLALCHEMY_DATABASE_URI"]
    command = [sys.executable, "-c", KILLED, str(statement)]
    return subprocess.run(command, cwd=ROOT, env=os.environ | settings, capture_output=True, timeout=120).returncode


def current():
    with db.engine.connect() as connection:
        return connection.scalar(text("SELECT version_num FROM alembic_version"))


def schema():
    """The columns of each table."""
    db.session.remove()
    found = inspect(db.engine)
    return {name: {column["name"] for column in found.get_columns(name)} for name in found.get_table_names()}

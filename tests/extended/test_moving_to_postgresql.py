"""docs/moving-to-postgresql.md, carried out as written, with the addresses of the test's databases."""

import os
import re
import subprocess
import sys
from textwrap import dedent

import psycopg
import pytest
from sqlalchemy import func, make_url, select
from support.clients import PASSWORD, ROOT, on_sqlite
from support.databases import patient
from support.registration import FORM

from app import create_app
from app.doctor import findings
from app.extensions import db
from app.models import AuditEvent, User

pytestmark = [pytest.mark.extended, on_sqlite]

PAGE = (ROOT / "docs/moving-to-postgresql.md").read_text("utf-8")
BLOCK = re.compile(r"^   ```python\n(.*?)^   ```$", re.DOTALL | re.MULTILINE)
SCRIPT = dedent(BLOCK.search(PAGE)[1])
COMMANDS = re.findall(r"^ {7}(\w.*)$", BLOCK.sub("", PAGE), re.MULTILINE)
OLD, NEW = "sqlite:////path/app.db", "postgresql://user:password@host/flasky"


@pytest.fixture
def new_url(databases):
    """The address of a database that is made when the page says so, and dropped after the test."""
    url = make_url(databases("postgresql").url).set(database="moved")
    yield url.render_as_string(hide_password=False)
    admin(url, "DROP DATABASE IF EXISTS moved WITH (FORCE)")


def admin(url, statement):
    uri = url.set(drivername="postgresql", database="postgres").render_as_string(hide_password=False)
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute(statement)


def flask(url, *command):
    app = create_app("testing", **patient(url))
    with app.app_context():
        result = app.test_cli_runner(catch_exceptions=False).invoke(args=command)
        db.session.remove()
        for engine in db.engines.values():
            engine.dispose()
    assert result.exit_code == 0 or command == ("doctor",), result.output
    return result.output


def counts():
    return {
        table.name: db.session.scalar(select(func.count()).select_from(table)) for table in db.metadata.sorted_tables
    }


def test_all_rows_move_and_newcomers_get_new_ids(app, client, ada, bob, outbox, phone, new_url, tmp_path):
    client.post("/auth/login", data={"login": "ada", "password": PASSWORD})
    client.post("/auth/reset", data={"email": "bob@example.com"})
    old_url, before = app.config["SQLALCHEMY_DATABASE_URI"], counts()
    assert before["audit_events"] > 2
    create, upgrade_old, upgrade_new, move, fix, doctor = COMMANDS
    assert create == "createdb flasky"
    admin(make_url(new_url), "CREATE DATABASE moved")
    assert (upgrade_old, upgrade_new) == ("flask db upgrade", f"DATABASE_URL={NEW} flask db upgrade")
    for url in (old_url, new_url):
        flask(url, "db", "upgrade")

    (tmp_path / "move.py").write_text(SCRIPT)
    ran = run(move, tmp_path, old_url, new_url)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == [table.name for table in db.metadata.sorted_tables]
    again = run(move, tmp_path, old_url, new_url)
    assert (again.returncode, again.stderr) == (1, "The new database has users already.\n")

    moved = create_app("testing", **patient(new_url))
    with moved.app_context():
        assert counts() == before
        (behind,) = [finding for finding in findings(quick=True) if finding.check == "sequences"]
        assert " users" in behind.cause
        assert behind.remedy == "Run: flask fix-sequences"
        refused = moved.test_cli_runner().invoke(args=["users", "create", *CREATE])
        assert refused.exit_code == 1
        assert "The sequence of its ids is behind: run flask fix-sequences" in refused.output
    assert (fix, doctor) == ("flask fix-sequences", "flask doctor")
    assert "The next row of users gets the id 3." in flask(new_url, "fix-sequences")
    assert "well   sequences" in flask(new_url, "doctor")
    with moved.app_context():
        assert moved.test_client().post("/auth/register", data=FORM).status_code == 302
        db.session.rollback()
        assert db.session.scalars(select(User.username).order_by(User.id)).all() == ["ada", "bob", "eve"]
        ada = User.find("ada")
        assert ada.created_at.utcoffset() is not None
        assert db.session.scalar(select(func.count()).where(AuditEvent.user_id == ada.id)) > 2
        db.session.remove()
        for engine in db.engines.values():
            engine.dispose()


CREATE = ["--email", "eve@example.com", "--username", "eve", "--no-input"]


def run(command, folder, old_url, new_url):
    """Run the script in its folder, with the application's code importable, as beside config.py."""
    python, *arguments = command.replace(OLD, old_url).replace(NEW, new_url).split()
    assert python == "python"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "FLASK_CONFIG": "testing"}
    environment |= {"PYTHON_DOTENV_DISABLED": "1"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )

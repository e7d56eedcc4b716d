"""docs/upgrading.md: a clone with its own model, page and migration takes an update with a migration."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.clients import ROOT

pytestmark = pytest.mark.extended

BIN = Path(sys.executable).parent
CODE = ["app", "migrations", "settings", "config.py", "flasky.py", ".flaskenv", ".env.example", ".gitignore"]

MODEL = """
from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column
from datetime import datetime
from app import clock
from app.extensions import Model

class Plant(Model):
    __tablename__ = "plants"
    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(64))
    planted_at: Mapped[datetime] = mapped_column(default=lambda: clock.now())
"""
PAGE = """
from flask import Blueprint
from app.garden import models

bp = Blueprint("garden", __name__)

@bp.route("/garden")
def garden():
    return "A garden"
"""
READY = """
from flasky import app
client = app.test_client()
for path in ("/readyz", "/garden", "/auth/login"):
    print(client.get(path, base_url="http://localhost:5917").status_code)
"""


class Clone:
    """A working copy, and what is run in it."""

    def __init__(self, folder):
        self.folder = folder

    def run(self, *command, code=0):
        names = {"GIT_AUTHOR_NAME": "x", "GIT_AUTHOR_EMAIL": "x@example.com"}
        names |= {"GIT_COMMITTER_NAME": "x", "GIT_COMMITTER_EMAIL": "x@example.com"}
        environment = {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(self.folder)} | names
        environment |= {"FLASK_CONFIG": "development", "PORT": "5917"}
        ran = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=120)
        assert ran.returncode == code, ran.stdout + ran.stderr
        return ran.stderr + ran.stdout

    def flask(self, *command, code=0):
        return self.run("flask", *command, code=code)

    def commit(self, message):
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "-m", message)

    def edit(self, name, old, new):
        file = self.folder / name
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new, 1))

    def migration(self, message):
        [file] = (self.folder / "migrations" / "versions").glob(f"*{message}.py")
        return file


@pytest.fixture
def upstream(tmp_path):
    folder = tmp_path / "upstream"
    folder.mkdir()
    for name in CODE:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    clone = Clone(folder)
    clone.run("git", "init", "--quiet", "--initial-branch", "main")
    clone.commit("First")
    return clone


@pytest.fixture
def ours(upstream, tmp_path):
    """A clone with a model, a page and a migration of its own, and users."""
    upstream.run("git", "clone", "--quiet", "--origin", "upstream", str(upstream.folder), str(tmp_path / "ours"))
    clone = Clone(tmp_path / "ours")
    garden = clone.folder / "app" / "garden"
    garden.mkdir()
    (garden / "models.py").write_text(MODEL)
    (garden / "__init__.py").write_text(PAGE)
    register = "    app.register_blueprint(main.bp)\n"
    clone.edit(
        "app/__init__.py", register, f"{register}    from app import garden\n\n    app.register_blueprint(garden.bp)\n"
    )
    clone.flask("db", "upgrade")
    clone.flask("db", "migrate", "-m", "Add plants")
    clone.flask("db", "upgrade")
    clone.commit("Add a garden")
    return clone


def test_an_update_with_a_migration_keeps_the_owners_code_and_data(upstream, ours):
    head = upstream.flask("db", "heads").split()[-2]
    upstream.flask("db", "revision", "-m", "an update")
    file = upstream.migration("an_update")
    file.write_text(file.read_text().replace("pass", "op.execute('UPDATE users SET confirmed = confirmed')", 1))
    upstream.edit("app/main/probes.py", '"""Health checks', '"""The health checks')
    upstream.commit("An update")

    ours.run("git", "fetch", "--quiet", "upstream")
    ours.run("git", "merge", "--quiet", "--no-edit", "upstream/main")
    assert "flask db merge heads" in ours.flask("doctor", code=1)
    assert ours.run("python", "-c", READY).splitlines()[-3:] == ["503", "200", "200"]
    ours.flask("db", "merge", "heads", "-m", "Join")
    ours.flask("db", "upgrade")
    assert "flask db merge heads" not in ours.flask("doctor", code=1)
    assert "No new upgrade operations detected" in ours.flask("db", "check")
    assert ours.run("python", "-c", READY).splitlines()[-3:] == ["200", "200", "200"]
    ours.flask("db", "downgrade", head)
    ours.flask("db", "upgrade")
    ours.commit("Take the update")


def test_tables_made_by_create_all_are_reported_without_a_traceback(upstream):
    upstream.run(
        "python", "-c", "from flasky import app\nfrom app.extensions import db\nwith app.app_context(): db.create_all()"
    )
    for command in (["db", "upgrade"], ["dev"]):
        said = upstream.flask(*command, code=1)
        assert "flask db stamp head" in said
        assert "Traceback" not in said
    upstream.flask("db", "stamp", "head")
    upstream.flask("db", "upgrade")

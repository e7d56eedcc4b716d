"""docs/upgrading.md: a clone with code, data and settings of its own takes three releases by the page's commands."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url
from support.clients import ROOT, on_sqlite
from support.repository import copy_to

pytestmark = pytest.mark.extended

BIN = Path(sys.executable).parent
PAGE = (ROOT / "docs/upgrading.md").read_text("utf-8")
STEPS = re.findall(
    r"^    +((?:git|flask) .*)$", PAGE.partition("## Each update")[2].partition("\n## ")[0], re.MULTILINE
)

MODEL = """\
from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import Model
from app.models import personal_data


class Plant(Model):
    __tablename__ = "plants"

    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    name: Mapped[str] = mapped_column(String(64))


personal_data.register(Plant, lambda user: Plant.owner_id == user.id, "Your plants")
"""
VIEW = """\
from flask import Blueprint, current_app, jsonify
from flask_login import current_user, login_required
from sqlalchemy import select

from app.extensions import db
from app.garden.models import Plant

bp = Blueprint("garden", __name__)


@bp.route("/garden")
@login_required
def garden():
    mine = select(Plant.name).where(Plant.owner_id == current_user.id).order_by(Plant.id)
    return jsonify(list(db.session.scalars(mine.limit(current_app.config["GARDEN_SIZE"]))))
"""
TEST = """\
import pytest

from app.extensions import db
from app.garden.models import Plant


@pytest.mark.parametrize("settings", [{"GARDEN_SIZE": 1}])
def test_a_garden_shows_the_first_plants(client, ada):
    db.session.add_all([Plant(owner_id=ada.id, name="Fern"), Plant(owner_id=ada.id, name="Ivy")])
    db.session.commit()
    assert client.get("/garden").location == "/auth/login?next=/garden"
    client.log_in(ada)
    assert client.get("/garden").json == ["Fern"]
"""
DATA = """\
from app.extensions import db
from app.garden.models import Plant
from app.models import User
from flasky import app

with app.app_context():
    ada = User(email="ada@example.com", username="ada", password="a new lantern", confirmed=True)
    db.session.add(ada)
    db.session.flush()
    db.session.add_all([Plant(owner_id=ada.id, name=name) for name in ("Fern", "Ivy", "Oak", "Yew")])
    db.session.commit()
"""
VISIT = """\
from flasky import app

client, site = app.test_client(), app.config["PUBLIC_URL"]
form = {"login": "ada", "password": "a new lantern"}
print("ready:", client.get("/readyz", base_url=site).status_code)
print(client.get("/auth/login", base_url=site).text)
client.post("/auth/login", data=form, base_url=site, headers={"Sec-Fetch-Site": "same-origin"})
print("garden:", client.get("/garden", base_url=site).json)
"""


class Clone:
    """A working copy, and what is run in it."""

    def __init__(self, folder, database=""):
        self.folder, self.database = folder, database or f"sqlite:///{folder}/instance/own.db"

    def run(self, *command, code=0):
        """Return what a command says, which has to end with this code, or any if it is None."""
        names = {"GIT_AUTHOR_NAME": "x", "GIT_AUTHOR_EMAIL": "x@example.com"}
        names |= {"GIT_COMMITTER_NAME": "x", "GIT_COMMITTER_EMAIL": "x@example.com"}
        environment = {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(self.folder)} | names
        environment |= {"FLASK_CONFIG": "development", "PORT": "5917", "DATABASE_URL": self.database}
        ran = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=180)
        assert code in (ran.returncode, None), ran.stdout + ran.stderr
        return ran.stderr + ran.stdout

    def flask(self, *command, code=0):
        return self.run("flask", *command, code=code)

    def commit(self, message):
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "-m", message)

    def edit(self, name, old, new):
        """Replace the first match of a pattern."""
        text, count = re.subn(old, new, self.read(name), count=1, flags=re.MULTILINE)
        assert count == 1, f"{name} has no {old}"
        self.write(name, text)

    def read(self, name):
        return (self.folder / name).read_text("utf-8")

    def write(self, name, text):
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(text, "utf-8")

    def migrate(self, message):
        self.flask("db", "upgrade")
        self.flask("db", "migrate", "-m", message)

    def doctor(self):
        return self.flask("doctor", code=None)


class Upstream(Clone):
    """This repository, and the releases that follow."""

    def release(self, version, must="Nothing."):
        self.edit("app/__init__.py", '^__version__ = "[^"]*"', f'__version__ = "{version}"')
        self.edit("pyproject.toml", "^version = .*", f'version = "{version}"')
        self.edit("CHANGELOG.md", "^(?=## )", f"## {version}, 2027-01-01\n\n### What you must do\n\n{must}\n\n")
        self.commit(f"Release {version}")
        self.run("git", "tag", f"v{version}")

    def release_a_migration(self):
        self.edit("app/models/user.py", r"^    email: Mapped\[", r"    greeting: Mapped[str | None]\n\g<0>")
        self.migrate("Add greetings")
        self.release("0.2.0")

    def release_a_new_setting_and_a_renamed_one(self):
        for name in ("config.py", ".env.example", "settings/brand.py", "app/templates/base.html"):
            self.write(name, self.read(name).replace("HELP_URL", "GUIDE_URL"))
        self.edit("settings/names.py", r"^ALSO_CALLED = \{\n", r'\g<0>    "HELP_URL": "GUIDE_URL",\n')
        self.edit("config.py", "^    PORT = ", r'    MOTTO = env("MOTTO", "")  # printed by nobody\n\g<0>')
        self.edit(".env.example", "^#MAIL_PORT=", r"#MOTTO=\n\g<0>")
        self.release("0.3.0", "- Rename the setting `HELP_URL` to `GUIDE_URL`.")

    def release_changes_near_those_of_an_owner(self):
        self.edit("app/templates/auth/login.html", "New to", "Are you new to")
        self.edit(
            "app/__init__.py", r"^    app\.register_blueprint\(main\.bp\)\n", r'\g<0>    app.logger.debug("Hi")\n'
        )
        self.edit("app/models/user.py", "^    greeting: .*", r"\g<0>\n    farewell: Mapped[str | None]")
        self.migrate("Add farewells")
        self.release("0.4.0")


@pytest.fixture
def upstream(tmp_path):
    copy_to(tmp_path / "upstream")
    clone = Upstream(tmp_path / "upstream")
    (clone.folder / "instance").mkdir()
    clone.run("git", "init", "--quiet", "--initial-branch", "main")
    clone.commit("First")
    return clone


@pytest.fixture
def ours(database, upstream, tmp_path):
    """A clone with a model, a migration, a page, a setting, an edited template and a test of its own, and with data."""
    upstream.run("git", "clone", "--quiet", str(upstream.folder), str(tmp_path / "ours"))
    clone = Clone(tmp_path / "ours", a_database_of(database))
    (clone.folder / "instance").mkdir()
    clone.run("git", "remote", "rename", "origin", "upstream")
    clone.write("app/garden/models.py", MODEL)
    clone.write("app/garden/__init__.py", VIEW)
    clone.write("tests/test_garden.py", TEST)
    clone.edit("app/__init__.py", "^import config\n", r"\g<0>from app import garden\n")
    register = r"^    app\.register_blueprint\(main\.bp\)\n"
    clone.edit("app/__init__.py", register, r"\g<0>    app.register_blueprint(garden.bp)\n")
    clone.edit("app/templates/auth/login.html", "(block heading %}).*?{%", r"\1Into the garden{%")
    clone.edit("config.py", "^    APP_NAME = ", r'    GARDEN_SIZE = env("GARDEN_SIZE", 10)  # plants on a page\n\g<0>')
    clone.edit(".env.example", "^#APP_NAME=", r"#GARDEN_SIZE=10\n\g<0>")
    clone.write(".env", "GARDEN_SIZE=3\nHELP_URL=https://example.com/help\n")
    clone.migrate("Add plants")
    clone.flask("db", "upgrade")
    clone.commit("Add a garden")
    clone.run("python", "-c", DATA)
    return clone


def a_database_of(database):
    """Return the URL of a database of its own on a PostgreSQL server; none for SQLite."""
    if not hasattr(database, "server"):
        return ""
    with psycopg.connect(database.server.get_uri(), autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS upgrading")
        connection.execute("CREATE DATABASE upgrading")
    return make_url(database.url).set(database="upgrading").render_as_string(hide_password=False)


def update(ours, version, has_conflict=False):
    """Follow the steps of the page, up to its last command; return what the first ones and the last one said."""
    steps = (shlex.split(step.replace("v0.2.0", f"v{version}")) for step in STEPS)
    fetch, look, merge, add, commit, heads, join, add_the_join, commit_the_join, upgrade, doctor = steps
    ours.run(*fetch)
    news = ours.run(*look)
    assert ("CONFLICT" in ours.run(*merge, code=int(has_conflict))) == has_conflict
    if has_conflict:
        keep_both(ours)
        ours.run(*add)
        ours.run(*commit)
    needs_join = len(re.findall(r"\(head\)", ours.run(*heads))) == 2
    if needs_join:
        assert "flask db merge heads" in ours.doctor()
        assert "ready: 503" in ours.run("python", "-c", VISIT)
        for step in (join, add_the_join, commit_the_join):
            ours.run(*step)
    ours.run(*upgrade)
    assert doctor == ["flask", "doctor"]
    return news, needs_join


def keep_both(clone):
    for name in clone.run("git", "diff", "--name-only", "--diff-filter=U").split():
        clone.write(name, re.sub(r"^(<{7}|={7}|>{7}).*\n", "", clone.read(name), flags=re.MULTILINE))


def check(ours, version):
    """Data, page, edited template, setting and models are as they were before the update."""
    said = ours.doctor()
    assert f"Flasky {version}" in said
    assert "wrong" not in said
    assert "No new upgrade operations detected" in ours.flask("db", "check")
    visit = ours.run("python", "-c", VISIT)
    for words in ("ready: 200", "Into the garden", 'href="https://example.com/help"', "garden: ['Fern', 'Ivy', 'Oak']"):
        assert words in visit, words
    assert ours.run("git", "status", "--short") == ""


def check_tests(ours):
    kind = ["-m", "extended"] if ours.database.startswith("postgresql") else []
    assert " passed" in ours.run(
        "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", *kind, "tests/test_garden.py"
    )


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_clone_takes_three_releases_and_keeps_its_code_data_and_settings(upstream, ours):
    upstream.release_a_migration()
    news, needs_join = update(ours, "0.2.0")
    assert ("+Nothing." in news, needs_join) == (True, True)
    check(ours, "0.2.0")

    upstream.release_a_new_setting_and_a_renamed_one()
    news, needs_join = update(ours, "0.3.0")
    assert "+- Rename the setting `HELP_URL` to `GUIDE_URL`." in news
    assert {"+#GUIDE_URL=", "+#MOTTO="} <= {*news.splitlines()}
    assert not needs_join
    assert "HELP_URL is not a setting and is ignored. Did you mean GUIDE_URL?" in ours.doctor()
    ours.edit(".env", "HELP_URL", "GUIDE_URL")
    check(ours, "0.3.0")

    upstream.release_changes_near_those_of_an_owner()
    _, needs_join = update(ours, "0.4.0", has_conflict=True)
    assert needs_join
    check(ours, "0.4.0")
    check_tests(ours)
    assert "Are you new to" in ours.run("python", "-c", VISIT)


@on_sqlite
def test_a_clone_skips_releases_and_goes_back(upstream, ours):
    before = ours.flask("db", "heads").split()[0]
    for release in (upstream.release_a_migration, upstream.release_a_new_setting_and_a_renamed_one):
        release()
    news, _ = update(ours, "0.3.0")
    assert "+## 0.2.0" in news
    assert "+## 0.3.0" in news
    ours.edit(".env", "HELP_URL", "GUIDE_URL")
    check(ours, "0.3.0")
    ours.flask("db", "downgrade", before)
    ours.flask("db", "upgrade")
    check(ours, "0.3.0")
    check_tests(ours)


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

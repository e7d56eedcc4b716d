"""The pages for operators: commands do what the pages say, need only what deploy.md installs, and write the rows."""

import json
import re
import shlex
from collections import Counter

import pytest
from sqlalchemy import func, select
from support.clients import PASSWORD, ROOT, on_sqlite
from support.machine import indented_lines
from support.repository import is_flask_command

from app.extensions import db

GDPR = (ROOT / "docs/gdpr.md").read_text("utf-8")
MAINTENANCE = (ROOT / "docs/maintenance.md").read_text("utf-8")
OPERATORS_PAGES = ["backup", "command-line", "deploy", "gdpr", "logs", "maintenance", "monitoring", "rotation"]


@on_sqlite
def test_requests_about_personal_data_are_answered_by_the_commands_of_the_page(flask, client, ada, outbox):
    client.log_in(ada)
    said = {}
    for line in indented_lines(GDPR):
        command = line.partition(" > ")[0]
        done = flask(*shlex.split(command)[1:])
        assert done.exit_code == 0, (line, done.output)
        said[command.split()[2]] = done.stdout
        outbox()
    assert json.loads(said["export"])
    assert "ada@example.com" in said["export"]
    assert PASSWORD not in said["export"]
    assert {"show", "rename", "set-email", "deactivate", "activate", "delete"} <= set(said)
    assert {to for email in outbox for to in email.recipients} == {"ada@example.com", "countess@example.com"}
    left = {table.name: repr(db.session.execute(select(table)).all()) for table in db.metadata.sorted_tables}
    assert [name for name, rows in left.items() if re.search(r"ada@|countess", rows)] == []
    assert {name for name, rows in left.items() if "127.0.0.1" in rows} <= {"rate_limit_counters"}


@pytest.mark.parametrize("page", [GDPR, MAINTENANCE], ids=["gdpr", "maintenance"])
def test_the_commands_of_a_page_exist(page):
    commands = [*indented_lines(page), *re.findall(r"`(flask [^`]+)`", page)]
    commands = [shlex.split(line) for line in commands if line.startswith("flask ")]
    assert commands
    assert [words for words in commands if not is_flask_command(words)] == []


def test_what_the_commands_of_operators_need_is_installed():
    lines = {name: indented_lines((ROOT / f"docs/{name}.md").read_text("utf-8")) for name in OPERATORS_PAGES}
    made = " ".join(line for line in lines["deploy"] if line.startswith(("apt-get install", "install -d"))).split()
    words = {word for command in lines.values() for line in command for word in line.split()}
    needed = words & {"certbot", "curl", "git", "jq", "nginx", "psql", "sqlite3"}
    assert {"jq", "sqlite3"} <= needed
    assert {name for name in needed if not {name, f"python3-{name}-nginx"} & set(made)} == set()
    assert {"/var/backups/flasky", "/var/lib/flasky"} <= set(made)


SCALE = (ROOT / "docs/scale.md").read_text("utf-8").partition("## What a user stores")[2].partition("\n## ")[0]


def rows():
    """Return the number of rows of each table but the counters, which expire within a day."""
    tables = [table for table in db.metadata.sorted_tables if table.name != "rate_limit_counters"]
    return Counter({table.name: db.session.scalar(select(func.count()).select_from(table)) for table in tables})


@on_sqlite
def test_each_step_of_a_user_writes_the_rows_that_the_page_says(client, another_client, browser_at, outbox):
    new = {"email": "ada@example.com", "username": "ada", "password": PASSWORD, "confirm_password": PASSWORD}
    known = {"login": "ada", "password": PASSWORD}
    steps = {
        "registration": lambda: client.post("/auth/register", data=new),
        "confirmation": lambda: client.get(outbox.link()),
        "page": lambda: client.get("/account"),
        "logout": lambda: client.post("/auth/logout"),
        "login": lambda: client.post("/auth/login", data=known),
        "login on a new device": lambda: another_client.post("/auth/login", data=known),
        "failed login": lambda: browser_at("198.51.100.7").post("/auth/login", data=known | {"password": "x" * 9}),
        "forgotten password": lambda: browser_at("198.51.100.8").post("/auth/reset", data={"email": new["email"]}),
    }
    written = {}
    for name, step in steps.items():
        before = rows()
        step()
        written[name] = dict(rows() - before)
    said = re.findall(r"^\| ([\w ]+) \| ((?:\d `\w+`(?:, )?)+|no row) \|", SCALE, re.MULTILINE)
    assert {
        name: {table: int(count) for count, table in re.findall(r"(\d) `(\w+)`", text)} for name, text in said
    } == written

"""docs/gdpr.md and docs/maintenance.md: their commands do what the pages say."""

import json
import re
import shlex

import pytest
from sqlalchemy import select
from support.clients import PASSWORD, ROOT, on_sqlite
from support.machine import indented_lines
from support.repository import is_flask_command

from app.extensions import db

GDPR = (ROOT / "docs/gdpr.md").read_text("utf-8")
MAINTENANCE = (ROOT / "docs/maintenance.md").read_text("utf-8")


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

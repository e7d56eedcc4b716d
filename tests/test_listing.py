"""`flask users list` and `history`: search, pages, JSON and CSV, with words on stderr only."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.clients import PASSWORD, ROOT, on_sqlite
from support.guesses import guess
from support.ours import is_ours

from app import clock
from app.extensions import db
from app.models import User

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.fixture
def people(app):
    """Five accounts, of which the last is deactivated."""
    names = ["ann", "anna", "ben", "cem", "dora"]
    made = [User(email=f"{name}@example.com", username=name, password=PASSWORD, confirmed=True) for name in names]
    made[-1].deactivated_at = made[-1].created_at = clock.now()
    db.session.add_all(made)
    db.session.commit()
    return names


def listed(flask, *arguments):
    result = flask("users", "list", *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return [json.loads(line)["username"] for line in result.stdout.splitlines()]


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ([], ["ann", "anna", "ben", "cem", "dora"]),
        (["ann"], ["ann", "anna"]),
        (["BEN@"], ["ben"]),
        (["nobody"], []),
        (["--only", "deactivated"], ["dora"]),
        (["--sort", "-name"], ["dora", "cem", "ben", "anna", "ann"]),
        (["--sort", "created"], ["ann", "anna", "ben", "cem", "dora"]),
        (["--after", "ben"], ["cem", "dora"]),
    ],
    ids=" ".join,
)
def test_list_searches_filters_and_sorts(flask, people, arguments, found):
    assert listed(flask, *arguments) == found
    [one] = [json.loads(line) for line in flask("users", "list", "ben", "--json").stdout.splitlines()]
    assert listed(flask, str(one["id"])) == ["ben"]


@on_sqlite
def test_list_says_that_nothing_matches(flask, people):
    for arguments in (
        ["nobody"],
        ["ann", "--only", "deactivated"],
        ["nobody", "--limit", "2"],
        ["nobody", "--json"],
        ["nobody", "--csv"],
    ):
        result = flask("users", "list", *arguments)
        assert (result.exit_code, result.stdout) == (0, "")
        assert result.stderr.endswith("No account matches.\n")
    assert "No account matches." not in flask("users", "list", "ann").stderr


@on_sqlite
def test_list_prints_pages_and_the_key_of_the_next(flask, people):
    seen, after = [], []
    while after is not None:
        result = flask("users", "list", "--limit", "2", "--sort", "-created", "--json", *after)
        seen.append([json.loads(line)["username"] for line in result.stdout.splitlines()])
        following = re.search(r"The next page: (--after \S+)", result.stderr)
        after = following[1].split() if following else None
    assert seen == [["dora", "cem"], ["ben", "anna"], ["ann"]]


@on_sqlite
def test_csv_has_a_header_and_no_formulas(flask, people, ada):
    ada.email = "=cmd|calc!a1@example.com"
    db.session.commit()
    rows = list(csv.DictReader(io.StringIO(flask("users", "list", "--csv").stdout)))
    assert [row["username"] for row in rows] == ["ada", *people]
    assert rows[0].keys() == {"id", "username", "email", "state", "created"}
    assert rows[0]["email"] == "'=cmd|calc!a1@example.com"
    assert flask("users", "list", "nobody", "--csv").stdout.strip() == ""
    both = flask("users", "list", "--csv", "--json")
    assert (both.exit_code, both.stdout) == (2, "")


@on_sqlite
def test_history_ties_events_to_a_person(flask, client, browser_at, ada):
    client.post("/auth/login", data={"login": "ada", "password": PASSWORD}, headers={"User-Agent": FIREFOX})
    guess(browser_at("192.0.2.9"))
    flask("users", "deactivate", "1")
    rows = [json.loads(line) for line in flask("users", "history", "1", "--json").stdout.splitlines()]
    assert [row["action"] for row in rows] == ["deactivated", "login_failed", "logged_in"]
    assert [row["by"] for row in rows] == ["an administrator at the command line", "someone", "the user"]
    assert (rows[1]["ip"], rows[1]["label"], rows[1]["count"]) == ("192.0.2.9", "Failed login", 1)
    assert (rows[2]["device"], rows[2]["details"]["method"]) == ("Firefox on Linux", "password")
    said = flask("users", "history", "ada", "--limit", "2").stdout.splitlines()
    assert [("Account deactivated" in line, "Failed login" in line) for line in said] == [(True, False), (False, True)]
    flask("users", "set-role", "ada", "moderator")
    said = flask("users", "history", "ada").stdout.splitlines()
    assert said[0].endswith(" an administrator at the command line (Before: User, After: Moderator)")
    assert "Logged in with a password " in said[-1]
    assert said[-1].endswith(" the user"), "no braces where nothing is to be said"
    flask("users", "set-role", "ada", "user")
    [header, _, _, first, *_] = csv.reader(io.StringIO(flask("users", "history", "ada", "--csv").stdout))
    assert dict(zip(header, first, strict=True))["action"] == "deactivated"


def words_of_commands(app):
    """Return our commands, such as "users list", by their words."""
    found = {}
    for group, command in app.cli.commands.items():
        for name, each in getattr(command, "commands", {"": command}).items():
            if each.callback is None or is_ours(each.callback):
                found[f"{group} {name}".strip()] = each
    return {words: command for words, command in found.items() if not words.startswith("db ")}


@pytest.mark.parametrize("settings", [{"LOGIN_METHODS": ["passkey"]}, {}], ids=["passkey", "all"])
def test_the_page_about_the_command_line_names_every_command(app, settings):
    named = re.findall(
        r"^\| `flask ([a-z -]+)` \| [A-Z]", (ROOT / "docs" / "command-line.md").read_text(), re.MULTILINE
    )
    assert len(named) == len(set(named))
    assert {*words_of_commands(app)} <= {*named}
    if not settings:
        assert {*named} - {*words_of_commands(app)} == {"users send-login-link", "dev"}, "switched off here"


@on_sqlite
def test_every_machine_readable_answer_is_alone_on_stdout(app, flask, client, ada):
    """Words, such as the database in use and the next page, go to stderr."""
    guess(client)
    given = {"users why": ["ada"], "users show": ["ada"], "users history": ["ada"], "limits show": ["ada"]}
    found = {}
    for words, command in words_of_commands(app).items():
        options = {option for parameter in command.params for option in parameter.opts} & {"--json", "--csv"}
        found |= {words: options} if options and words != "doctor" else {}
    assert len(found) > 6
    for words, options in found.items():
        for option in options:
            result = flask(*words.split(), *given.get(words, []), option)
            assert result.stderr.startswith("[testing: "), words
            lines = result.stdout.splitlines()
            rows = [json.loads(line) for line in lines] if option == "--json" else list(csv.DictReader(lines))
            assert all(isinstance(row, dict) and None not in row for row in rows), (words, lines)


@pytest.mark.extended
@on_sqlite
def test_a_terminal_gets_a_progress_bar_and_stdout_the_answer(app, databases, tmp_path):
    """The bar goes to stderr, which is a terminal here, while stdout is a file."""
    pty = pytest.importorskip("pty", reason="Windows has none")
    ours, theirs = pty.openpty()
    env = os.environ | {
        "DATABASE_URL": app.config["SQLALCHEMY_DATABASE_URI"],
        "FLASK_CONFIG": "development",
        "SECRET_KEY": "x" * 64,
    }
    command = [sys.executable, "-m", "flask", "--app", ROOT / "flasky.py", "users", "cleanup"]
    with (tmp_path / "out").open("w") as stdout:
        ran = subprocess.run(command, stdout=stdout, stderr=theirs, cwd=ROOT, env=env, check=False)
    drawn = os.read(ours, 100_000).decode()
    os.close(ours)
    os.close(theirs)
    assert ran.returncode == 0, drawn
    assert "100%" in drawn
    lines = (tmp_path / "out").read_text().splitlines()
    assert lines
    assert all(re.fullmatch(r" *\d+ [a-z ]+", line) for line in lines), lines


@pytest.mark.extended
@on_sqlite
def test_click_completes_our_commands(app):
    words = {"COMP_WORDS": "flask users set-", "COMP_CWORD": "2", "_FLASK_COMPLETE": "bash_complete"}
    env = (
        os.environ
        | words
        | {"DATABASE_URL": app.config["SQLALCHEMY_DATABASE_URI"], "FLASK_CONFIG": "development", "SECRET_KEY": "x" * 64}
    )
    said = subprocess.run(
        [Path(sys.executable).parent / "flask"], cwd=ROOT, env=env, capture_output=True, text=True, check=True
    )
    assert said.stdout.split() == ["plain,set-email", "plain,set-role"]

"""The command line: `flask users`, `flask mail`, `flask shell` and `flask test`."""

import json
import os
import re
import secrets
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import event, select
from sqlalchemy.exc import OperationalError
from support.clients import PASSWORD, ROOT, on_sqlite
from support.pages import is_logged_in
from support.records import count

from app import create_app
from app.cli import profiles
from app.extensions import db
from app.models import AuditEvent, OutboxEmail, User

EVE = f"eve@example.com\neve\n{PASSWORD}\n{PASSWORD}\n"  # the answers to the prompts
DAY = datetime(2031, 5, 4, tzinfo=UTC)
NO_MAIL_SERVER = {"MAIL_SERVER": "127.0.0.1", "MAIL_PORT": 1}  # nobody listens there


# flask users create


def test_create_asks_for_email_username_and_password(flask, client, outbox):
    result = flask("users", "create", typed=EVE)
    assert result.exit_code == 0
    assert "Created the account eve <eve@example.com>." in result.stdout
    assert PASSWORD not in result.output
    eve = User.find("eve")
    assert not eve.is_admin
    client.log_in(eve)
    assert client.get("/account").location == "/auth/unconfirmed"
    assert outbox()[0].recipients == ["eve@example.com"]
    assert "Your email address is confirmed" in client.get(outbox.link(), follow_redirects=True).text


def test_questions_go_to_stderr(flask, ada):
    made = flask("users", "create", typed=EVE)
    assert made.stdout == "Created the account eve <eve@example.com>.\n"
    assert "Email address: " in made.stderr
    gone = flask("users", "delete", "eve", typed="y\n")
    assert gone.stdout == "eve will be deleted in 14 days.\n"
    assert "Delete eve <eve@example.com> in 14 days? [y/N]: " in gone.stderr


def test_create_confirmed_sends_no_email(flask, client, outbox):
    assert flask("users", "create", "--confirmed", typed=EVE).exit_code == 0
    client.log_in(User.find("eve"))
    assert is_logged_in(client)
    assert outbox() == []


@pytest.mark.parametrize("settings", [{"REGISTRATION_OPEN": False}])
def test_create_works_where_registration_is_closed(flask):
    assert flask("users", "create", typed=EVE).exit_code == 0
    assert User.find("eve")


def test_create_asks_again_if_passwords_differ(flask):
    typed = f"eve@example.com\neve\n{PASSWORD}\nsomething else\n{PASSWORD}\n{PASSWORD}\n"
    result = flask("users", "create", typed=typed)
    assert "do not match" in result.output
    assert User.find("eve").verify_password(PASSWORD)


@pytest.mark.parametrize(("options", "arrived_at"), [([], "/auth/change-username"), (["--confirmed"], "/")])
def test_create_without_a_password_emails_a_link_to_choose_one(flask, client, outbox, options, arrived_at):
    """The link confirms the address. A user who was not confirmed by the administrator may choose another username."""
    result = flask("users", "create", *options, typed="eve@example.com\neve\n\n\n")
    assert result.exit_code == 0
    assert "Created the account eve <eve@example.com>." in result.stdout
    eve = User.find("eve")
    assert (eve.password_hash, eve.confirmed) == (None, "--confirmed" in options)
    assert client.log_in(eve, "").status_code == client.log_in(eve, "None").status_code == 422

    [email] = outbox()
    assert (email.subject, email.recipients) == ("Your Flasky account is ready", ["eve@example.com"])
    link = outbox.link()
    assert "/auth/reset/" not in result.output
    assert link.rpartition("/")[2] not in result.output
    chosen = client.post(link, data={"password": PASSWORD, "confirm_password": PASSWORD})
    assert eve.confirmed
    form = client.get(chosen.location).text.partition('<form method="post" action="')[2].partition('"')[0]
    assert client.post(form, data={"login": "eve", "password": PASSWORD}).location == arrived_at
    assert is_logged_in(client)
    assert client.get(link).status_code == 410


def test_expired_first_password_link_is_replaced_by_a_reset(flask, client, outbox, clock):
    flask("users", "create", typed="eve@example.com\neve\n\n\n")
    old = outbox.link()
    clock.move(hours=1)
    assert client.get(old).status_code == 410
    assert "Request a new link:\nhttp://localhost/auth/reset\n" in outbox[0].body
    client.post("/auth/reset", data={"email": "eve@example.com"})
    client.post(outbox.link(), data={"password": PASSWORD, "confirm_password": PASSWORD})
    client.log_in(User.find("eve"))
    assert is_logged_in(client)


@pytest.mark.parametrize(
    ("email", "username", "password", "reason"),
    [
        ("eve", "eve", PASSWORD, "must have an @-sign"),
        ("eve@example.com", "e\0ve", PASSWORD, "starting with a-z"),
        ("eve@example.com", "eve", "elpmaxeeve", "easy to guess"),
        ("eve@example.com", "eve", PASSWORD + "\0", "NUL"),
        ("eve@example.com", "ADA", PASSWORD, "already in use"),
        ("ADA@Example.com", "eve", PASSWORD, "already in use"),
    ],
)
def test_create_reports_invalid_input_and_writes_nothing(flask, ada, email, username, password, reason):
    result = flask("users", "create", typed=f"{email}\n{username}\n{password}\n{password}\n")
    assert result.exit_code == 1
    assert reason in result.stderr.splitlines()[-1]
    assert password not in result.output
    assert (count(User), count(OutboxEmail), count(AuditEvent)) == (1, 0, 0)


# Without a terminal, as in containers and scripts

EVES = ("users", "create", "--email", "eve@example.com", "--username", "eve")


@pytest.fixture
def no_terminal(tmp_path):
    """Return a function that runs a command in a new process without a terminal."""

    def run(*arguments, typed="", **environment):
        alone = {"FLASK_CONFIG": "production", "SECRET_KEY": secrets.token_hex(), "PUBLIC_URL": "https://example.com"}
        alone |= {"DATABASE_URL": f"sqlite:///{tmp_path}/app.db", "MAIL_SERVER": "127.0.0.1"}
        return run_flask(*arguments, typed=typed, **alone | environment)

    return run


@pytest.mark.extended
@pytest.mark.parametrize("arguments", [("users", "create"), EVES[:4], EVES], ids=len)
def test_create_without_a_terminal_names_the_options(no_terminal, arguments):
    result = no_terminal(*arguments)
    assert result.returncode == 1
    assert "There is no terminal to ask." in result.stderr
    assert "--password-stdin" in result.stderr.replace("\n", " ")
    assert "Aborted!" not in result.stderr
    assert "Traceback" not in result.stderr


@on_sqlite
@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
@pytest.mark.parametrize("source", ["stdin", "file", "env"])
def test_create_reads_the_password_from_stdin_file_or_environment(flask, tmp_path, monkeypatch, source, ending):
    secret, typed = tmp_path / "secret", None
    if source == "stdin":
        typed, option = PASSWORD + ending, ["--password-stdin"]
    elif source == "file":
        secret.write_bytes((PASSWORD + ending).encode())
        option = ["--password-file", str(secret)]
    else:
        monkeypatch.setenv("EVES_PASSWORD", PASSWORD + ending)
        option = ["--password-env", "EVES_PASSWORD"]
    result = flask(*EVES, *option, typed=typed)
    assert result.exit_code == 0, result.output
    assert PASSWORD not in result.output
    assert User.find("eve").verify_password(PASSWORD)


@on_sqlite
@pytest.mark.parametrize(
    ("options", "typed", "words"),
    [
        (["--password-stdin"], "", "Standard input is empty."),
        (["--password-stdin"], "\n", "Standard input is empty."),
        (["--password-stdin"], f"{PASSWORD}\n{PASSWORD}\n", "has several lines"),
        (["--password-stdin"], "short77\n", "at least 8 characters"),
        (["--password-stdin"], b"\xff\xfe\n", "it is not UTF-8"),
        (["--password-file", "/nowhere/secret"], None, "No such file"),
        (["--password-file", "/"], None, "can't be read"),
        (["--password-env", "NOT_SET"], None, "The environment variable NOT_SET is not set."),
        (["--password-stdin", "--password-env", "HOME"], PASSWORD, "Give only one of"),
        (["--password", PASSWORD], None, "No such option"),
    ],
)
def test_create_reports_a_password_that_cannot_be_read(flask, options, typed, words):
    result = flask(*EVES, *options, typed=typed)
    assert result.exit_code
    assert words in result.stderr
    assert PASSWORD not in result.output
    assert not User.find("eve")


@pytest.mark.parametrize("arguments", [EVES[:2], EVES[:4], (*EVES[:2], *EVES[4:])], ids=" ".join)
@pytest.mark.parametrize("option", ["--no-input", "--password-stdin"])
def test_create_without_input_needs_email_and_username(flask, arguments, option):
    result = flask(*arguments, option, typed=f"{PASSWORD}\n{PASSWORD}\n")
    assert result.exit_code == 2
    assert f"{option} needs --email and --username." in result.stderr
    assert count(User) == 0


def test_create_without_input_emails_a_link_to_choose_a_password(flask, outbox):
    result = flask(*EVES, "--no-input", "--confirmed", "--admin", typed="")
    assert result.exit_code == 0, result.output
    assert "Password" not in result.output
    assert User.find("eve").password_hash is None
    assert outbox()[0].subject == "Your Flasky account is ready"


def test_create_works_without_a_terminal(no_terminal):
    assert no_terminal("db", "upgrade").returncode == 0
    result = no_terminal(*EVES, "--no-input", "--password-env", "EVES_PASSWORD", EVES_PASSWORD=PASSWORD)
    assert (result.returncode, result.stdout) == (0, "Created the account eve <eve@example.com>.\n"), result.stderr


ASKING = [
    ("users", "delete", "ada"),
    ("users", "delete", "ada", "--now"),
    ("users", "log-out", "--all"),
    ("users", "reset-two-factor", "ada"),
]


@pytest.mark.parametrize("command", ASKING, ids=" ".join)
def test_destructive_commands_without_input_need_yes(app, flask, client, phone, ada, command):
    refused = flask(*command, "--no-input", typed="y\n")
    assert refused.exit_code == 2
    assert "Add --yes to confirm." in refused.stderr
    assert User.find("ada").deletion_due_at is None
    assert flask(*command, "--no-input", "--yes", typed="").exit_code == 0


def test_commands_with_yes_have_no_input(app):
    for group in ("users", "limits", "mail"):
        for name, command in app.cli.commands[group].commands.items():
            options = {option for parameter in command.params for option in parameter.opts}
            assert ("--yes" in options) <= ("--no-input" in options), name


# flask users list, show


def test_list_has_a_line_per_account(flask, ada, bob):
    ada.is_admin = True
    bob.deactivated_at = bob.created_at
    db.session.commit()
    lines = [line.split(maxsplit=2) for line in flask("users", "list").stdout.splitlines()]
    assert lines == [
        ["ada", "ada@example.com", "confirmed, administrator"],
        ["bob", "bob@example.com", "deactivated, not confirmed"],
    ]


@pytest.mark.parametrize("who", ["ada", "ADA", "ada@example.com", "Ada@EXAMPLE.com", "1"])
def test_show_finds_an_account_by_username_email_or_id(flask, ada, bob, who):
    assert ada.id == 1
    shown = flask("users", "show", who).stdout
    assert "ada@example.com" in shown
    assert "bob" not in shown


def test_show_describes_an_account(flask, client, another_client, ada):
    ada.password_hash = None
    db.session.commit()
    shown = flask("users", "show", "ada").stdout.splitlines()
    assert "Password   none" in shown
    assert "Devices    0" in shown
    ada.password = PASSWORD
    db.session.commit()
    client.log_in(ada)
    another_client.log_in(ada)
    shown = flask("users", "show", "ada").stdout
    assert shown.splitlines() == [
        "Id         1",
        "Username   ada", "Email      ada@example.com", "State      confirmed", "Password   set", "Linked     none",
        "Two-factor none",
        "Language   not known", "Time zone  not known",
        f"Created    {ada.created_at:%Y-%m-%d %H:%M} UTC", "Devices    2",
    ]  # fmt: skip
    assert ada.password_hash not in shown
    [line] = flask("users", "show", "ada", "--json").stdout.splitlines()
    shown = json.loads(line)
    assert shown.pop("created") == str(ada.created_at)
    assert shown == {
        "id": 1, "username": "ada", "email": "ada@example.com", "state": ["confirmed"], "password": "set", "linked": [],
        "two_factor": [], "language": "not known", "time_zone": "not known", "devices": 2,
    }  # fmt: skip


def test_every_list_can_be_printed_as_json(app, flask, client, another_client, ada, bob):
    client.log_in(bob)
    client.post("/auth/confirm")
    another_client.log_in(ada, "wrong")
    commands = {"roles": app.cli.commands["roles"]}
    for group, command in app.cli.commands.items():
        known = getattr(command, "commands", {})
        if group != "db":  # Flask-Migrate's
            commands |= {f"{group} {name}": known[name] for name in ("list", "show") if name in known}
    assert {"users list", "users show", "mail list", "limits show", "jobs list"} <= set(commands)
    for words, command in commands.items():
        assert any("--json" in parameter.opts for parameter in command.params), words
        named = ["ada"] if words in ("users show", "limits show") else []
        rows = [json.loads(line) for line in flask(*words.split(), *named, "--json").stdout.splitlines()]
        assert rows, words
    counters = [json.loads(line) for line in flask("limits", "show", "ada", "--json").stdout.splitlines()]
    assert {"policy", "count", "limit", "subject", "until", "state"} in [set(row) for row in counters]
    jobs = [json.loads(line) for line in flask("jobs", "list", "--json").stdout.splitlines()]
    never = {"finished": None, "failed": None, "rows": None, "seconds": None, "error": ""}
    assert all(job.pop("next") for job in jobs)
    assert {"name": "devices", "every": "1 day, 0:00:00"} | never in jobs
    [email] = [json.loads(line) for line in flask("mail", "list", "--json").stdout.splitlines()]
    assert (email["status"], email["name"], email["recipient"]) == ("waiting", "confirm", "bob@example.com")


# flask users deactivate, activate, confirm, log-out


def test_deactivate_logs_the_user_out_at_the_next_request_and_activate_revives_no_session(flask, client, ada):
    client.log_in(ada)
    assert is_logged_in(client)
    assert "ada can no longer log in." in flask("users", "deactivate", "ada").stdout
    assert not is_logged_in(client)
    assert "Welcome to Flasky" in client.get("/").text
    assert flask("users", "activate", "ada").stdout == "ada is no longer deactivated.\n"
    assert not is_logged_in(client)
    client.log_in(ada)
    assert is_logged_in(client)


def test_confirm_confirms_the_address_and_drops_the_email(flask, client, bob, outbox):
    client.log_in(bob)
    client.post("/auth/confirm")
    assert not is_logged_in(client)
    assert "bob@example.com is confirmed." in flask("users", "confirm", "bob").stdout
    assert is_logged_in(client)
    assert outbox() == [], "the waiting confirmation email is dropped"


def test_log_out_revokes_all_sessions_of_a_user(flask, app, client, another_client, ada, bob):
    client.log_in(ada)
    another_client.log_in(ada)
    bobs = app.test_client()
    bob.confirmed = True
    db.session.commit()
    bobs.log_in(bob)
    assert "Logged out ada on 2 devices." in flask("users", "log-out", "ada").stdout
    assert [is_logged_in(browser) for browser in (client, another_client, bobs)] == [False, False, True]
    client.log_in(ada)
    assert is_logged_in(client)


def test_send_reset_emails_a_link(flask, client, another_client, ada, outbox):
    client.log_in(ada)
    for _ in range(10):
        another_client.post("/auth/reset", data={"email": "ada@example.com"})
    result = flask("users", "send-reset", "ADA")
    assert result.stdout == "An email is on its way to ada@example.com.\n"
    assert len(outbox()) == 11, "strangers can't use up an administrator's emails"
    assert (outbox[-1].subject, outbox[-1].recipients) == ("Reset your Flasky password", ["ada@example.com"])
    assert "By: an administrator of Flasky" in outbox[-1].body
    assert outbox.link().rpartition("/")[2] not in result.output
    assert is_logged_in(client), "the email alone changes nothing"
    line = db.session.scalar(select(AuditEvent).order_by(AuditEvent.id.desc()).limit(1))
    assert (line.action, line.user_id, line.detail) == ("reset_requested", ada.id, {"by": "command_line"})


@pytest.mark.parametrize("who", ["nobody", "nobody@example.com", "a\0da", "a@..", "", "42", "9" * 30, "²"])
def test_commands_report_an_unknown_user(flask, ada, who):
    for verb, (_, *others) in ((name, given) for name, given in COMMANDS["users"].items() if "ada" in given):
        result = flask("users", verb, who, *others)
        assert result.exit_code == 1
        assert f"Error: There is no account {who!r}." in result.stderr
    assert count(AuditEvent) == 0


def test_audit_events_of_commands_name_the_command_line(flask):
    flask("users", "create", typed=EVE)
    for verb in ("confirm", "deactivate", "activate", "log-out", "export", "cancel-deletion", "why", "show", "history"):
        flask("users", verb, "eve")
    flask("users", "delete", "eve", "--yes")
    flask("users", "cancel-deletion", "eve")
    lines = db.session.scalars(select(AuditEvent).order_by(AuditEvent.id)).all()
    actions = ["registered", "confirmed", "deactivated", "activated", "logged_out_everywhere", "exported"]
    actions += ["deletion_requested", "deletion_cancelled"]
    assert [line.action for line in lines] == actions
    assert {line.user_id for line in lines} == {User.find("eve").id}
    assert {(line.detail["by"], line.ip, line.user_agent) for line in lines} == {("command_line", "", "")}


# flask users rename, set-email


def test_rename_changes_the_username_and_tells_the_user(flask, ada, bob, outbox):
    assert flask("users", "rename", "ada", "Countess").stdout == "ada@example.com is now called Countess.\n"
    assert [email.recipients for email in outbox()] == [["ada@example.com"]]
    for name, problem in (("BOB", "Another account has this username"), ("1st", "Use at most 64 characters")):
        result = flask("users", "rename", "countess", name)
        assert (result.exit_code, result.stdout) == (1, "")
        assert problem in result.stderr
    assert flask("users", "show", "countess", "--json").exit_code == 0
    assert len(outbox()) == 1


def test_set_email_logs_out_and_tells_both_addresses(flask, client, ada, bob, outbox):
    client.log_in(ada)
    said = flask("users", "set-email", "ada", "countess@example.com").stdout
    assert said == "The email address of ada is now countess@example.com. Emails about the change are on their way.\n"
    assert {email.recipients[0] for email in outbox()} == {"ada@example.com", "countess@example.com"}
    assert not is_logged_in(client)
    for address in ("bob@example.com", "nobody"):
        result = flask("users", "set-email", "ada", address)
        assert (result.exit_code, result.stdout) == (1, "")
    assert User.find("ada").email == "countess@example.com"


# flask users log-out --all, delete, cancel-deletion, export, purge, cleanup


@pytest.mark.parametrize(("options", "typed"), [(["--yes"], None), ([], "y\n")])
def test_log_out_all_revokes_all_sessions_of_all_users(flask, client, another_client, ada, bob, options, typed):
    client.log_in(ada)
    another_client.log_in(bob)
    result = flask("users", "log-out", "--all", *options, typed=typed)
    assert result.exit_code == 0
    assert ("Log out all users?" in result.output) is (typed is not None)
    assert result.stdout.endswith("Logged out all users on 2 devices.\n")
    for browser in (client, another_client):
        page = browser.get("/account", follow_redirects=True)
        assert "You were logged out because an administrator logged you out on all devices." in page.text
    assert flask("users", "log-out", "--all", "--yes").stdout == "Logged out all users on 0 devices.\n"


@pytest.mark.parametrize("command", ASKING[:3], ids=" ".join)
@pytest.mark.parametrize("typed", ["n\n", "\n", ""])
def test_destructive_command_does_nothing_without_confirmation(flask, client, ada, outbox, command, typed):
    client.log_in(ada)
    result = flask(*command, typed=typed)
    assert result.exit_code == 1
    assert "Aborted!" in result.stderr
    assert ("No answer. Add --yes to confirm." in result.stderr) is (typed == "")
    assert is_logged_in(client)
    assert outbox() == []
    assert not User.find("ada").deletion_due_at


@pytest.mark.parametrize("arguments", [[], ["ada", "--all"], ["ada", "--all", "--yes"]])
def test_log_out_needs_a_user_or_all(flask, client, ada, arguments):
    client.log_in(ada)
    result = flask("users", "log-out", *arguments, typed="y\n")
    assert result.exit_code == 2
    assert "Name an account, or give --all." in result.stderr
    assert is_logged_in(client)


def test_delete_takes_14_days_and_can_be_cancelled(flask, client, ada, outbox, clock):
    client.log_in(ada)
    result = flask("users", "delete", "ADA@example.com", typed="y\n")
    assert "Delete ada <ada@example.com> in 14 days?" in result.output
    assert result.stdout.endswith("ada will be deleted in 14 days.\n")
    assert not is_logged_in(client)
    assert outbox()[0].subject.startswith("Your Flasky account will be deleted on ")
    assert "confirmed" in flask("users", "show", "ada").stdout
    assert "to be deleted, confirmed" in flask("users", "list").stdout
    assert flask("users", "purge").stdout == "Deleted 0 accounts.\n"
    assert flask("users", "cancel-deletion", "ada").stdout == "ada won't be deleted.\n"
    assert outbox()[1].subject == "Your Flasky account won't be deleted"
    clock.move(days=14)
    assert flask("users", "purge").stdout == "Deleted 0 accounts.\n"
    client.log_in(ada)
    assert is_logged_in(client)

    flask("users", "delete", "ada", "--yes")
    clock.move(days=14)
    assert flask("users", "purge").stdout == "Deleted 1 account.\n"
    assert User.find("ada") is None
    line = db.session.scalar(select(AuditEvent))
    assert (line.action, line.user_id, line.detail) == ("account_deleted", None, {"by": "command_line"})


@pytest.mark.parametrize(("options", "typed"), [(["--yes"], None), ([], "y\n")])
def test_delete_now_deletes_at_once(flask, client, ada, bob, outbox, options, typed):
    client.log_in(ada)
    result = flask("users", "delete", "ada", "--now", *options, typed=typed)
    assert ("Delete ada <ada@example.com> now?" in result.output) is (typed is not None)
    assert result.stdout.endswith("Deleted ada.\n")
    assert [email.recipients for email in outbox()] == [["ada@example.com"]]
    assert (count(OutboxEmail), db.session.scalars(select(User.username)).all()) == (0, ["bob"])
    assert not is_logged_in(client)
    assert [(line.action, line.detail) for line in db.session.scalars(select(AuditEvent))] == [
        ("account_deleted", {"by": "command_line"})
    ]


def test_export_writes_json(flask, client, ada, bob):
    client.log_in(ada)
    ada.username = "Ada"
    db.session.commit()
    held = json.loads(flask("users", "export", "ada").stdout)
    assert [row["username"] for row in held["users"]] == ["Ada"]
    assert [row["action"] for row in held["audit_events"]] == ["logged_in"]
    assert "bob" not in str(held)
    assert ada.password_hash not in str(held)


def test_cleanup_command_counts_what_it_deletes(flask, client, ada, bob, clock):
    client.log_in(ada)
    clock.move(days=8)
    lines = [line.split(maxsplit=1) for line in flask("users", "cleanup").stdout.splitlines()]
    gone = {name: int(number) for number, name in lines}
    assert {name for name, number in gone.items() if number} == {
        *("expired sessions", "unconfirmed accounts", "daily counts"),  # which are counted, not deleted
    }
    assert (gone["expired sessions"], gone["unconfirmed accounts"], count(User)) == (1, 1, 1)


# flask users why

MENDED = "To email a link to choose a new password: flask users send-reset {0}"


def why(flask, who):
    result = flask("users", "why", who)
    assert result.exit_code == 0
    return result.stdout.splitlines()


def test_why_says_that_a_user_can_log_in(flask, client, ada, clock):
    nothing = "ada can log in. They may have forgotten their password."
    assert why(flask, "ADA@example.com") == [nothing, MENDED.format("ada"), "No login is on record."]
    firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
    client.post("/auth/login", data={"login": "ada", "password": PASSWORD}, headers={"User-Agent": firefox})
    at = f"{clock.time:%Y-%m-%d %H:%M} UTC"
    assert why(flask, "ada") == [nothing, MENDED.format("ada"), f"Last login: {at} (password, Firefox on Linux)."]
    assert count(AuditEvent) == 1, "`why` records no event"


@pytest.mark.parametrize(
    ("change", "sentence", "mended"),
    [
        ({"deactivated_at": DAY}, "ada is deactivated. Run: flask users activate ada", ["activate"]),
        (
            {"deletion_due_at": DAY},
            "ada will be deleted on 2031-05-04. Run: flask users cancel-deletion ada",
            ["cancel-deletion"],
        ),
        ({"password_hash": None}, "ada has no password, and can log in only by an emailed link.", None),
        ({"confirmed": False}, "ada@example.com is not confirmed. Run: flask users confirm ada", ["confirm"]),
    ],
)
def test_why_names_an_obstacle_and_the_command_that_helps(flask, client, ada, change, sentence, mended):
    for name, value in change.items():
        setattr(ada, name, value)
    db.session.commit()
    said = why(flask, "ada")
    assert said[0] == sentence
    assert (MENDED.format("ada") in said) is ("deactivated" not in sentence), "a link would not work"
    if mended:
        assert flask("users", *mended, "ada").exit_code == 0
        assert why(flask, "ada")[0] == "ada can log in. They may have forgotten their password."
        client.log_in(ada)
        assert is_logged_in(client)


def test_why_names_all_obstacles(flask, bob):
    bob.deactivated_at = bob.deletion_due_at = DAY
    bob.password_hash = None
    db.session.commit()
    said = "\n".join(why(flask, "bob"))
    assert all(words in said for words in ("is deactivated", "2031-05-04", "is not confirmed", "has no password"))
    assert "can log in. They" not in said


def test_why_reports_the_confirmation_email(flask, client, bob, outbox, clock):
    assert why(flask, "bob")[1] == "No confirmation email to this address is on record."
    client.log_in(bob)
    client.post("/auth/confirm")
    at = f"{clock.time:%Y-%m-%d %H:%M} UTC"
    assert why(flask, "bob")[1] == f"The confirmation email is waiting, and will be tried again at {at}."
    outbox()
    assert why(flask, "bob")[1] == f"The mail server accepted the confirmation email at {at}."


@pytest.mark.parametrize("settings", [NO_MAIL_SERVER])
def test_why_reports_the_answer_of_the_mail_server(flask, client, bob, clock):
    client.log_in(bob)
    client.post("/auth/confirm")
    flask("mail", "worker", "--once")
    later = f"{clock.time + timedelta(seconds=30):%Y-%m-%d %H:%M} UTC"
    waits = why(flask, "bob")[1]
    assert waits.startswith(f"The confirmation email is waiting, and will be tried again at {later}. ")
    assert "Connection refused" in waits
    db.session.scalar(select(OutboxEmail)).done("failed", "550 5.1.1 no such user")
    db.session.commit()
    at = f"{clock.time:%Y-%m-%d %H:%M} UTC"
    assert why(flask, "bob")[1] == f"The mail server refused the confirmation email at {at}: 550 5.1.1 no such user"
    clock.move(hours=10)
    flask("mail", "retry", "--all")
    now = f"{clock.time:%Y-%m-%d %H:%M} UTC"
    assert why(flask, "bob")[1].startswith(f"The confirmation email is waiting, and will be tried again at {now}.")


def test_why_suggests_the_intended_email_address(flask, ada, bob):
    bob.email, ada.email = "bob@gmial.com", "ada@gmail.com"
    db.session.commit()
    assert "The email address may be a typo of bob@gmail.com." in why(flask, "bob")
    unknown = flask("users", "why", "ada@gmial.com")
    assert unknown.exit_code == 1
    assert "There is no account 'ada@gmial.com'. Is it ada@gmail.com?" in unknown.stderr
    assert "Is it" not in flask("users", "why", "eve@gmial.com").stderr


# Arguments that no database takes

TOO_LARGE = "9" * 20


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["mail", "retry", TOO_LARGE], 1, "The database refuses a value: "),
        (["mail", "drop", TOO_LARGE], 1, "The database refuses a value: "),
        (["users", "history", "ada", "--limit", TOO_LARGE], 1, "The database refuses a value: "),
        (["users", "set-role", "ada", "\udcff"], 1, r"There is no role '\udcff'."),
        (["users", "withdraw", "nonsense"], 1, "This isn't a valid email address."),
        (["mail", "bounces", "--maildir", ROOT / "docs"], 1, f"{ROOT / 'docs/cur'} can't be read: No such file"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_in_a_sentence(flask, ada, arguments, code, said):
    refused = flask(*map(str, arguments))
    assert refused.exit_code == code
    assert refused.stderr.splitlines()[-1].startswith(f"Error: {said}")
    assert "DATABASE_URL" not in refused.stderr
    assert flask("users", "show", "ada").exit_code == 0


@pytest.mark.parametrize(("kind", "text"), [(Decimal, "much"), (bytes, "x"), (timedelta, "a day"), (int, "1.5")])
def test_a_value_of_another_type_than_its_column_is_refused(kind, text):
    with pytest.raises(ValueError, match=text):
        profiles.reader(kind)(text)


# --help


@pytest.mark.parametrize("group", ["users", "jobs", "limits", "mail"])
def test_every_command_has_a_help_sentence(flask, group):
    listed = flask(group, "--help").stdout
    for name in COMMANDS[group]:
        said = flask(group, name, "--help")
        assert said.exit_code == 0
        assert re.search(rf"^  {name} +[A-Z]", listed, re.MULTILINE), "in the list"
        sentence = said.stdout.split("\n\n")[1].strip()
        assert re.match(r"[A-Z].*\.", sentence, re.DOTALL), name
    assert "--all" in flask("users", "log-out", "--help").stdout
    assert "--now" in flask("users", "delete", "--help").stdout


# flask mail


def test_mail_list_and_worker_deliver_a_waiting_email(flask, client, bob, outbox):
    assert flask("mail", "list").stdout == ""
    client.log_in(bob)
    client.post("/auth/confirm")
    waiting = flask("mail", "list").stdout
    assert waiting.split() == ["1", "waiting", "confirm", "bob@example.com", "0:00:00", "0", "attempts"]
    assert flask("mail", "worker", "--once").stdout == "1 email attempted.\n"
    assert outbox[0].recipients == ["bob@example.com"]
    assert flask("mail", "list").stdout == ""
    assert flask("mail", "list", "--all").stdout.split()[:4] == ["1", "sent", "confirm", "bob@example.com"]
    assert flask("mail", "worker", "--once").stdout == "0 emails attempted.\n"


@pytest.mark.parametrize("settings", [NO_MAIL_SERVER])
def test_mail_list_shows_the_error_of_a_failed_email_and_retry_sends_it(app, flask, client, bob, outbox, clock):
    client.log_in(bob)
    client.post("/auth/confirm")
    assert flask("mail", "worker", "--once").stdout == "1 email attempted.\n"
    waiting = flask("mail", "list").stdout
    assert "waiting" in waiting
    assert " 1 attempt " in waiting
    assert "refused" in waiting
    assert "No mail server runs at this address and port. Are MAIL_SERVER and MAIL_PORT right?" in waiting
    assert json.loads(flask("mail", "list", "--json").stdout)["cause"].startswith("No mail server runs")

    for _ in range(7):
        clock.move(days=1)
        flask("mail", "worker", "--once")
    failed = flask("mail", "list").stdout
    assert "failed" in failed
    assert "8 attempts" in failed
    assert "7 days" in failed
    assert "refused" in failed

    app.extensions["mail"].suppress = True  # the mail server works again
    assert flask("mail", "worker", "--once").stdout == "0 emails attempted.\n"
    assert flask("mail", "retry", "1").stdout == "1 email will be retried.\n"
    assert "0 attempts" in flask("mail", "list").stdout
    flask("mail", "worker", "--once")
    client.log_in(bob)
    assert client.get(outbox.link()).location == "/", "the link was issued at delivery"
    assert flask("mail", "list").stdout == ""


@pytest.mark.parametrize("settings", [NO_MAIL_SERVER])
def test_mail_retry_all_retries_unsent_emails(app, flask, client, another_client, ada, bob, clock):
    for person, browser in ((ada, client), (bob, another_client)):
        person.confirmed = False
        db.session.commit()
        browser.log_in(person)
        browser.post("/auth/confirm")
    for _ in range(2):  # a server that can't be reached is tried once per run
        assert flask("mail", "worker", "--once").stdout == "1 email attempted.\n"
    assert flask("mail", "worker", "--once").stdout == "0 emails attempted.\n", "the retry is not due yet"
    assert flask("mail", "retry", "--all").stdout == "2 emails will be retried.\n"
    app.extensions["mail"].suppress = True
    assert flask("mail", "worker", "--once").stdout == "2 emails attempted.\n"
    assert flask("mail", "retry", "--all").stdout == "0 emails will be retried.\n"


def test_mail_retry_skips_an_email_that_a_worker_is_sending(flask, client, bob, clock):
    client.log_in(bob)
    client.post("/auth/confirm")
    assert OutboxEmail.claim()
    flask("mail", "retry", "--all")
    assert flask("mail", "worker", "--once").stdout == "0 emails attempted.\n"
    clock.move(seconds=61)
    assert flask("mail", "worker", "--once").stdout == "1 email attempted.\n"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["1"], 1, "Email 1 is not waiting and has not failed."),
        ([], 2, "Give the number of an email, or --all."),
        (["1", "--all"], 2, "Give the number of an email, or --all."),
    ],
)
def test_mail_retry_reports_that_there_is_nothing_to_retry(flask, client, bob, outbox, arguments, code, words):
    client.log_in(bob)
    client.post("/auth/confirm")
    outbox()
    result = flask("mail", "retry", *arguments)
    assert result.exit_code == code
    assert words in result.stderr
    assert outbox() == outbox[:1]


# Configuration and database on stderr

ABOUT_A_USER = (
    "show history deactivate activate confirm send-reset reset-two-factor log-out cancel-deletion export why".split()
)
COMMANDS = {
    "users": dict.fromkeys(ABOUT_A_USER, ("ada",))
    | {"rename": ("ada", "countess"), "set-email": ("ada", "countess@example.com")}
    | {"set-role": ("ada", "moderator"), "import": (os.devnull,)}
    | dict.fromkeys(["trust-next-login", "delete"], ("ada", "--yes"))
    | dict.fromkeys(["create", "list", "stats", "purge", "cleanup", "blocks", "invitations"], ())
    | {"block": ("example.org", "--reason", "spam"), "unblock": ("example.org",)}
    | dict.fromkeys(["invite", "withdraw"], ("eve@example.org",)),
    "jobs": {"list": [], "run": []},
    "limits": {"show": [], "clear": []},
    "mail": dict.fromkeys(["list", "bounces"], ())
    | {"worker": ["--once"], "retry": ["--all"], "drop": None, "test": None},  # None: an email, a mail server
}
EACH = [
    (group, name, *given) for group, names in COMMANDS.items() for name, given in names.items() if given is not None
]
CHANGE_NOTHING = {"show", "history", "why", "list", "stats", "blocks", "invitations", "clear", "worker"}


def test_all_commands_are_tested(app):
    assert {group: set(names) for group, names in COMMANDS.items()} == {
        group: set(app.cli.commands[group].commands) for group in COMMANDS
    }


@on_sqlite
@pytest.mark.parametrize("command", EACH, ids=" ".join)
def test_commands_name_configuration_and_database_on_stderr(app, flask, ada, command):
    result = flask(*command, typed=EVE)
    assert result.exit_code == 0
    place = f"[testing: {app.config['SQLALCHEMY_DATABASE_URI']}]"
    said, *questions = result.stderr.splitlines()
    assert said == place
    assert bool(questions) is ("create" in command), "only it asks"
    assert place not in result.stdout


@on_sqlite
@pytest.mark.parametrize("command", EACH, ids=" ".join)
def test_no_command_reports_success_before_its_commit(app, flask, ada, command):
    event.listen(db.session, "before_commit", no_room)
    try:
        result = flask(*command, typed=EVE)
    finally:
        event.remove(db.session, "before_commit", no_room)
    if result.exit_code:
        assert result.stdout == ""
        assert "database or disk is full" in result.stderr
    else:
        assert command[1] in CHANGE_NOTHING


def no_room(session):
    """Fail as SQLite does on a full disk."""
    raise OperationalError("COMMIT", {}, sqlite3.OperationalError("database or disk is full"))


def test_commands_in_production_name_no_database(monkeypatch, databases):
    url = f"sqlite:///{databases('sqlite').template}"
    monkeypatch.setenv("DATABASE_URL", url)
    own = {"SECRET_KEY": secrets.token_hex(), "PUBLIC_URL": "https://example.com", "MAIL_SERVER": "mail.example.com"}
    production = create_app("production", SQLALCHEMY_DATABASE_URI=url, **own)
    result = production.test_cli_runner(catch_exceptions=False).invoke(args=["users", "list"])
    assert (result.exit_code, result.output) == (0, "")
    with production.app_context():
        db.engine.dispose()


def test_commands_hide_the_database_password():
    url = "postgresql+psycopg://flasky:lantern@db.example.com/flasky"  # there is no connection to it
    application = create_app("testing", SQLALCHEMY_DATABASE_URI=url)
    result = application.test_cli_runner(catch_exceptions=False).invoke(args=["mail", "retry"])
    assert "db.example.com/flasky" in result.stderr
    assert "lantern" not in result.output


# flask shell, flask test


def run_flask(*arguments, typed="", **environment):
    """Run `flask` in a new process without a terminal, with default settings."""
    alone = {"PATH": os.environ["PATH"], "PYTHON_DOTENV_DISABLED": "1", "FLASK_SKIP_DOTENV": "1"}
    alone |= {"FLASK_APP": "flasky.py", "FLASK_CONFIG": "testing"}
    return subprocess.run(
        [sys.executable, "-m", "flask", *arguments],
        cwd=ROOT, env=alone | environment, input=typed, capture_output=True, text=True, timeout=120,
        start_new_session=True,
    )  # fmt: skip


def test_shell_has_database_and_models():
    asked = "print(db.engine.name, *(m.__tablename__ for m in (User, UserSession, AuditEvent, OutboxEmail)))\n"
    shell = run_flask("shell", typed=asked)
    assert "sqlite users user_sessions audit_events outbox" in shell.stdout, shell.stderr


@pytest.fixture
def small_suite(tmp_path):
    path = tmp_path / "test_small.py"
    path.write_text("def test_good(): import app.clock\n\ndef test_bad(): assert not 'a lantern'\n")
    return str(path)


@pytest.mark.parametrize(("wanted", "code", "said"), [("bad", 1, "a lantern"), ("nothing_matches", 5, "2 deselected")])
def test_flask_test_passes_arguments_and_exit_code(small_suite, wanted, code, said):
    result = run_flask("test", "-q", "-p", "no:cacheprovider", small_suite, "-k", wanted)
    assert result.returncode == code, result.stderr
    assert said in result.stdout
    assert "Missing" not in result.stdout


@pytest.mark.extended
def test_flask_test_reports_coverage(small_suite, tmp_path):
    arguments = ("test", "--coverage", "-q", "-p", "no:cacheprovider", small_suite, "-k", "good")
    result = run_flask(*arguments, COVERAGE_FILE=str(tmp_path / "coverage"))
    assert result.returncode == 0, result.stderr
    assert "1 passed, 1 deselected" in result.stdout
    heading = next(line for line in result.stdout.splitlines() if line.startswith("Name"))
    assert heading.split() == ["Name", "Stmts", "Miss", "Branch", "BrPart", "Cover", "Missing"]
    assert "app/email/outbox.py" in result.stdout


def test_create_allows_reserved_usernames(flask):
    asked = ["--email", "ops@example.com", "--username", "admin", "--admin"]
    assert flask("users", "create", *asked, typed=f"{PASSWORD}\n{PASSWORD}\n").exit_code == 0
    assert User.find("admin").is_admin


def test_commands_report_a_database_without_tables(tmp_path):
    empty = create_app("testing", SQLALCHEMY_DATABASE_URI=f"sqlite:///{tmp_path}/empty.db")
    result = empty.test_cli_runner(catch_exceptions=False).invoke(args=["users", "list"])
    assert result.exit_code == 1
    assert "no such table: users" in result.stderr
    assert "Run: flask db upgrade" in result.stderr
    assert "Traceback" not in result.output
    with empty.app_context():
        db.engine.dispose()


DOWN = {
    "sqlite:////proc/nowhere/flasky.db": "Error: There is no file /proc/nowhere/flasky.db. If it was moved or deleted",
    "postgresql+psycopg://flasky@127.0.0.1:1/flasky": "Connection refused. Is PostgreSQL running, and can this machine",
}
OTHERS = [("roles",), ("fix-sequences",)]
OTHERS += [("db", name) for name in ("upgrade", "downgrade", "current", "check", "stamp")]
NEED_NO_DATABASE = [("mail", "bounces"), ("fix-sequences",)]


@pytest.fixture(scope="module", params=DOWN, ids=["sqlite", "postgresql"])
def without_database(request):
    """Return an application whose database can't be reached, and what its commands say."""
    return create_app("testing", SQLALCHEMY_DATABASE_URI=request.param), DOWN[request.param]


@pytest.mark.parametrize("command", [*EACH, *OTHERS], ids=" ".join)
def test_every_command_explains_that_the_database_is_down(without_database, command):
    app, words = without_database
    result = app.test_cli_runner(catch_exceptions=False).invoke(args=command, input=EVE)
    if result.exit_code or command not in NEED_NO_DATABASE:
        assert result.exit_code == 1
        assert words in result.stderr
        assert "sqlalche.me" not in result.stderr


def test_commands_start_no_delivery_thread(app, flask, bob):
    app.config["MAIL_DELIVERY"] = "thread"
    flask("users", "show", "bob")
    assert app.extensions["delivery"]._thread is None

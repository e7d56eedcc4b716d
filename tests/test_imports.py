"""`flask users import`: accounts of other applications, whose users log in with the passwords that they have."""

import csv
import json
import re
import sqlite3
import tracemalloc
from datetime import UTC, datetime
from importlib.util import find_spec
from unittest.mock import Mock

import argon2
import bcrypt
import pytest
from passlib import hash as passlib
from passlib.exc import MissingBackendError
from sqlalchemy import func, select
from support.clients import ROOT, on_sqlite
from support.postgresql import on_postgresql
from support.records import count, history, rows
from werkzeug.security import generate_password_hash

from app import signals
from app.accounts import account_deletion, cleanup, email_change
from app.extensions import db
from app.models import User
from app.security import hashing, imported_hashes

CAT = "cat"
SALT = "146585145368132386173505678016728509634"
LANTERNS = {"password": "lanterns in a row", "confirm_password": "lanterns in a row"}
KNOWN = {  # a hash of "cat" of each kind
    "werkzeug scrypt": generate_password_hash(CAT, "scrypt:1024:8:1"),
    "werkzeug pbkdf2": generate_password_hash(CAT, "pbkdf2:sha512:1000"),
    "argon2": argon2.PasswordHasher(1, 64, 1).hash(CAT),
    "argon2i": argon2.PasswordHasher(1, 64, 1, type=argon2.Type.I).hash(CAT),
    "bcrypt": bcrypt.hashpw(CAT.encode(), bcrypt.gensalt(4)).decode(),
    "bcrypt of PHP": bcrypt.hashpw(CAT.encode(), bcrypt.gensalt(4)).decode().replace("$2b$", "$2y$"),
    "bcrypt_sha256": passlib.bcrypt_sha256.using(rounds=4).hash(CAT),
    "pbkdf2_sha1": passlib.pbkdf2_sha1.using(rounds=1000).hash(CAT),
    "pbkdf2_sha256": passlib.pbkdf2_sha256.using(rounds=1000).hash(CAT),
    "pbkdf2_sha512": passlib.pbkdf2_sha512.using(rounds=1000).hash(CAT),
    "sha256_crypt": passlib.sha256_crypt.using(rounds=1000).hash(CAT),
    "sha512_crypt": passlib.sha512_crypt.using(rounds=1000).hash(CAT),
    "sha512_crypt, 5000 rounds": passlib.sha512_crypt.using(rounds=5000).hash(CAT),
}
SALT22, DIGEST = "x" * 22, "y" * 31
SLOW = [  # within the notation, and minutes or gigabytes of work
    "scrypt:1048576:8:1$salt$00",
    "scrypt:16384:8:999999$salt$00",
    "pbkdf2:sha256:900000000$salt$00",
    "pbkdf2_sha256$900000000$salt$AAAA",
    "scrypt$1048576$salt$8$1$AAAA",
    "argon2$argon2id$v=19$m=4194304,t=1,p=1$c2FsdHNhbHQ$AAAA",
    "$argon2id$v=19$m=65536,t=99999,p=1$c2FsdHNhbHQ$AAAA",
    f"$2b$31${SALT22}{DIGEST}",
    f"bcrypt_sha256$$2b$20${SALT22}{DIGEST}",
    f"$bcrypt-sha256$v=2,t=2b,r=31${SALT22}${DIGEST}",
    "$pbkdf2-sha512$900000000$salt$AAAA",
    "$6$rounds=999999999$salt$AAAA",
]
UNKNOWN = "md5$salt$00 cat 5f4dcc3b5aa765d61d8327deb882cf99 {SHA}x $1$s$x pbkdf2_sha256$10$salt plain$$cat $2b$04$"
DUMPS = {
    "django": ("importing", CAT, {}),
    "flask_security": ("coming-from-flask-security", "kätzchen", {"SECURITY_PASSWORD_SALT": SALT}),
    "flasky": ("coming-from-flasky", CAT, {}),
}


@pytest.fixture
def take(flask, tmp_path):
    """Return a function that imports rows, dictionaries or raw text, and returns what the command says and its code."""

    def run(content, *options, name="users.csv"):
        file = tmp_path / name
        if isinstance(content, bytes):
            file.write_bytes(content)
        elif name.endswith(".csv"):
            columns = list(dict.fromkeys(column for row in content for column in row))
            with file.open("w", newline="", encoding="utf-8") as opened:
                writer = csv.DictWriter(opened, columns)
                writer.writeheader()
                writer.writerows(content)
        else:
            file.write_text("".join(f"{json.dumps(row)}\n" for row in content))
        said = flask("users", "import", str(file), *options)
        return [*said.stdout.splitlines(), *re.findall("Error: .*", said.stderr)], said.exit_code

    return run


def person(name, **more):
    return {"email": f"{name}@example.com", "username": name, "confirmed": "1"} | more


def people(*names):
    return [person(name) for name in names]


# Passwords


@pytest.mark.parametrize("kind", KNOWN)
def test_a_password_of_another_application_logs_in_and_is_hashed_anew(client, take, kind):
    assert take([person("eve", password_hash=KNOWN[kind])]) == (["Imported: 1. Refused: 0."], 0)
    assert client.post("/auth/login", data={"login": "eve", "password": "dog"}).status_code == 422
    eve = User.find("eve")
    assert eve.password_hash == KNOWN[kind]
    assert client.post("/auth/login", data={"login": "eve@example.com", "password": CAT}).location == "/"
    db.session.expire_all()
    assert eve.password_hash.startswith("pbkdf2:sha256:1$")
    client.post("/auth/logout")
    assert client.post("/auth/login", data={"login": "eve", "password": CAT}).location == "/"


@pytest.mark.parametrize("dump", DUMPS)
def test_a_dump_is_imported_by_the_query_of_its_page(client, take, app, dump):
    """The tables and rows in tests/support/dumps were made by these applications themselves."""
    page, password, settings = DUMPS[dump]
    app.config.update(settings)
    source = sqlite3.connect(":memory:")
    source.row_factory = sqlite3.Row
    source.executescript((ROOT / f"tests/support/dumps/{dump}.sql").read_text())
    query = re.search(r"```sql\n(.*?)```", (ROOT / f"docs/{page}.md").read_text(), re.DOTALL)[1]
    exported = [dict(row) for row in source.execute(query)]
    said, code = take(exported)
    assert (said[0], code) == (f"Imported: {len(exported)}. Refused: 0.", 0)
    users = {user.id: user for user in db.session.scalars(select(User))}
    assert users.keys() == {row["id"] for row in exported}
    for row in exported:
        user = users[row["id"]]
        assert (user.username, user.confirmed) == (row["username"], bool(row["confirmed"]))
        assert (user.role_name, user.is_active) == (row["role"], not row.get("deactivated_at"))
        if user.confirmed:
            assert user.created_at == datetime.fromisoformat(row["created_at"]).replace(tzinfo=UTC)
        form = {"login": row["email"].upper(), "password": password}
        is_in = app.test_client().post("/auth/login", data=form).status_code == 302
        assert is_in is bool(user.is_active and row["password_hash"]), user
    assert [user.role_name for user in users.values()].count("administrator") == 1
    client.post("/auth/register", data=person("new", **LANTERNS))
    assert User.find("new").id == max(users) + 1


def test_a_hash_of_flask_security_needs_its_salt(client, take, app):
    app.config["SECURITY_PASSWORD_SALT"] = SALT
    hashed = re.search(r"'(\$argon2id.*?)'", (ROOT / "tests/support/dumps/flask_security.sql").read_text())[1]
    take([person("eve", password_hash=hashed)])
    right = {"login": "eve", "password": "kätzchen"}
    app.config["SECURITY_PASSWORD_SALT"] = "another"
    assert client.post("/auth/login", data=right).status_code == 422
    app.config["SECURITY_PASSWORD_SALT"] = SALT
    assert client.post("/auth/login", data=right).location == "/"


def test_bcrypt_reads_72_bytes_as_it_did(take, client):
    long = "cats " * 30
    take([person("eve", password_hash=bcrypt.hashpw(long.encode()[:72], bcrypt.gensalt(4)).decode())])
    assert client.post("/auth/login", data={"login": "eve", "password": long}).location == "/"


@on_sqlite
@pytest.mark.parametrize("stored", SLOW)
def test_a_hash_that_would_hold_up_a_worker_is_refused(take, stored):
    said, code = take([person("eve", password_hash=stored), person("ida")])
    assert said[0] == f"line 2: The password hash {stored[:12]!r}… would take too long to verify."
    assert (said[1], code, count(User)) == ("Imported: 1. Refused: 1.", 1, 1)


@on_sqlite
@pytest.mark.parametrize("stored", UNKNOWN.split(" "))
def test_an_unknown_hash_is_refused(take, stored):
    said, _ = take([person("eve", password_hash=stored)])
    assert said[0].startswith("line 2: The password hash ")
    assert said[0].endswith("is of an unknown kind.")


def test_a_hash_without_its_library_is_refused(take, monkeypatch):
    monkeypatch.setattr(imported_hashes, "find_spec", lambda name: None if name == "bcrypt" else find_spec(name))
    stored = [KNOWN["bcrypt"], KNOWN["argon2"], KNOWN["werkzeug pbkdf2"]]
    said, _ = take([person(f"eve{number}", password_hash=hashed) for number, hashed in enumerate(stored)])
    assert said == [
        f"line 2: Password hashes like {stored[0][:12]!r}… need bcrypt: see docs/importing.md.",
        "Imported: 2. Refused: 1.",
    ]


@pytest.mark.parametrize("gone", [ImportError("passlib"), MissingBackendError("bcrypt")])
def test_a_hash_whose_library_is_gone_looks_like_a_wrong_password(client, ada, monkeypatch, caplog, gone):
    ada.password_hash = KNOWN["bcrypt"]
    db.session.commit()
    monkeypatch.setattr("passlib.context.CryptContext.verify", Mock(side_effect=gone))
    forms = [{"login": login, "password": CAT} for login in ("ada", "nobody")]
    ours, unknown = (client.post("/auth/login", data=form) for form in forms)
    assert ours.status_code == unknown.status_code == 422
    assert caplog.messages[0].startswith("A password can't be verified: ")


@on_sqlite
@pytest.mark.parametrize("kind", [kind for kind in KNOWN if KNOWN[kind].startswith("$")])
def test_a_damaged_hash_never_verifies_and_never_raises(app, kind):
    for damaged in (KNOWN[kind][:-7], KNOWN[kind].replace("$", "$$"), "$"):
        assert not hashing.check_password(damaged, CAT)


# Rules


@pytest.mark.parametrize("name", ["users.csv", "users.jsonl"])
def test_each_line_is_checked_and_wrong_ones_do_not_stop_the_others(take, ada, name):
    lines = {
        "eve": person("eve"),
        "an address in use": {"email": "ADA@Example.com", "username": "other"},
        "a name in use": {"email": "other@example.com", "username": "Ada"},
        "an address of an earlier line": {"email": "Eve@EXAMPLE.com", "username": "other"},
        "no address": {"email": "eve", "username": "other"},
        "no name": {"email": "other@example.com", "username": "o t"},
        "nothing": {"confirmed": "1"},
        "a role": person("other", role="king"),
        "a word": person("other", confirmed="maybe"),
        "a date": person("other", created_at="yesterday"),
        "ida": person("ida", role="moderator"),
    }
    said, code = take(lines.values(), name=name)
    first = 2 if name == "users.csv" else 1
    said = [line.partition(" Recognized values")[0] for line in said]
    assert said == [
        f"line {first + 1}: ada@example.com belongs to the account ada <ada@example.com>",
        f"line {first + 2}: ada belongs to the account ada <ada@example.com>",
        f"line {first + 3}: eve@example.com belongs to line {first}",
        f"line {first + 4}: An email address must have an @-sign.",
        f"line {first + 5}: Use at most 64 characters: a-z, digits, dots, dashes, and underscores, starting with a-z.",
        f"line {first + 6}: There is no email and no username.",
        f"line {first + 7}: There is no role king.",
        f"line {first + 8}: 'maybe' is not a valid boolean.",
        f"line {first + 9}: Invalid isoformat string: 'yesterday'",
        "Imported: 2. Refused: 9.",
    ]
    assert (code, [user.username for user in User.query.order_by(User.id)]) == (1, ["ada", "eve", "ida"])


@pytest.mark.parametrize("column", ["password_version", "email_key", "two_factor_enabled_at", "town"])
def test_columns_that_a_file_cannot_set_are_refused(take, column):
    said, code = take([person("eve"), person("ida", **{column: "1"})])
    assert (said, code) == ([f"Error: Accounts have no column {column}. Leave it out."], 1)
    said, code = take([person("eve"), person("ida", **{column: "1"})], name="users.jsonl")
    assert said == [f"line 2: Accounts have no column {column}.", "Imported: 1. Refused: 1."]


def test_values_of_json_have_types(take):
    said, _ = take(
        [
            person("eve", confirmed=True, id=7, created_at="2020-01-02T03:04:05+01:00", role=None),
            person("ida", confirmed=1),
            person("ada", email=3),
            [1],
        ],
        name="users.json",
    )
    assert said[:3] == [
        "line 2: confirmed: 1 is not of the type bool.",
        "line 3: email: 3 is not of the type str.",
        "line 4: This is not a JSON object.",
    ]
    eve = User.find("eve")
    assert (eve.id, eve.confirmed, eve.created_at) == (7, True, datetime(2020, 1, 2, 2, 4, 5, tzinfo=UTC))


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"\xff\xfe", "users.csv", "can't be read: 'utf-8' codec can't decode"),
        (b'email,username\n"a', "users.csv", "can't be read: unexpected end of data"),
        (b"{]\n", "users.jsonl", "line 1: Expecting property name"),
        (b"email,username\na@example.com,a,b,c\n", "users.csv", "line 2: Accounts have no column after the last one"),
    ],
)
def test_unreadable_files_are_explained(take, content, name, message):
    said, code = take(content, name=name)
    assert message in "\n".join(said)
    assert (code, count(User)) == (1, 0)


def test_a_byte_order_mark_and_empty_lines_are_ignored(take):
    assert take("\ufeffemail,username\n\neve@example.com,eve\n".encode())[1] == 0
    assert take(b'\n{"email": "ida@example.com", "username": "ida"}\n\n', name="x")[1] == 0
    assert count(User) == 2


@pytest.mark.parametrize("option", ["--dry-run", "--strict"])
def test_dry_run_and_strict_leave_nothing_behind(take, ada, option, monkeypatch):
    monkeypatch.setattr("app.cli.imports.BATCH", 2)
    before = rows()
    said, code = take([*people("eve", "ida", "kim"), person("ada"), person("eve", email="x@example.com")], option)
    db.session.rollback()
    assert said == [
        "line 5: ada@example.com belongs to the account ada <ada@example.com>;"
        " ada belongs to the account ada <ada@example.com>",
        "line 6: eve belongs to the account eve <eve@example.com>",
        {"--dry-run": "Would import: 3.", "--strict": "Not imported, because of --strict: 3."}[option] + " Refused: 2.",
    ]
    assert (code, rows()) == (1, before)


def test_strict_imports_a_file_without_errors(take):
    assert take(people("eve", "ida"), "--strict") == (["Imported: 2. Refused: 0."], 0)
    assert count(User) == 2


def test_what_the_database_refuses_does_not_stop_the_others(take, ada):
    said, _ = take([person("eve"), person("ida", id=str(ada.id)), person("kim")])
    assert said[0].startswith("line 3: The database refused the account: ")
    assert said[1:] == ["Imported: 2. Refused: 1."]
    assert sorted(db.session.scalars(select(User.username))) == ["ada", "eve", "kim"]
    assert history() == ["imported"] * 2


def test_a_value_that_the_database_cannot_hold_does_not_stop_the_others(take):
    take(people("eve", "kim"))
    said, _ = take([person("max", password_hash="pbkdf2:sha256:1$\ud800$00"), person("ada")], name="users.json")
    assert said[0].startswith("line 1: The database refused the account: ")
    assert "pbkdf2" not in said[0]
    assert said[1:] == ["Imported: 1. Refused: 1."]


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_that_no_calendar_has_in_utc_does_not_stop_the_others(take, at):
    said, code = take([person("eve"), person("ida", created_at=at), person("kim")])
    assert said == ["line 3: date value out of range", "Imported: 2. Refused: 1."]
    assert code == 1


@pytest.mark.parametrize("number", [0, -1, 2**31 - 1, 2**63 - 1, 2**70])
def test_no_id_uses_up_the_numbers_of_later_accounts(take, client, number):
    said, _ = take([person("eve"), person("ida", id=str(number)), person("kim")])
    assert said == [f"line 3: id: {number} is not between 1 and 1000000000.", "Imported: 2. Refused: 1."]
    client.post("/auth/register", data=person("new", **LANTERNS))
    assert User.find("new")


@pytest.mark.extended
@on_postgresql
def test_the_ids_of_deleted_accounts_are_not_given_again(take, client, ada, bob):
    for name in ("ada", "bob"):
        account_deletion.purge(User.find(name), send_notice=False)
        db.session.commit()
    assert take([person("eve", id="1"), person("kim", role="nobody")])[1] == 1
    client.post("/auth/register", data=person("new", **LANTERNS))
    assert User.find("new").id == 3


def test_deeply_nested_json_does_not_stop_the_others(take):
    said, _ = take(b"[" * 200_000 + b'\n{"email": "eve@example.com", "username": "eve", "confirmed": true}', name="x")
    assert said[0].startswith("line 1: ")
    assert said[1:] == ["Imported: 1. Refused: 1."]


@pytest.mark.parametrize("name", ["users.csv", "users.json"])
@pytest.mark.parametrize("more", [{"role": "\x1b]0;owned\x07"}, {"\x1b]0;owned\x07": "1"}])
def test_a_file_sends_no_commands_to_the_terminal(take, name, more):
    said, code = take([person("eve", **more)], name=name)
    assert "]0;owned" in said[0]
    assert said[0].isprintable()
    assert code == 1


def test_an_address_that_a_user_had_recently_is_reserved(take, client, ada, outbox):
    email_change.request(ada, "new@example.com")
    db.session.commit()
    client.log_in(ada)
    client.get(outbox.link(0))
    said, _ = take([person("other", email="ada@example.com")])
    assert said[0] == "line 2: ada@example.com belongs to another account, which had it recently"


def test_a_file_can_be_imported_again_after_an_interruption(take):
    take(people("eve", "ida"))
    said, _ = take(people("eve", "ida", "kim"))
    assert said[-1] == "Imported: 1. Refused: 2."


def test_nobody_gets_an_email_and_no_signal_is_sent(take, outbox, client):
    sent = []

    def keep(*_, **__):
        sent.append(1)

    with signals.user_registered.connected_to(keep), signals.user_confirmed.connected_to(keep):
        take([person("eve"), person("ida", confirmed="0")])
    assert (outbox(), sent, history()) == ([], [], ["imported"] * 2)
    client.get("/auth/login")
    client.post("/auth/reset", data={"email": "eve@example.com"})
    client.post(outbox.link(), data=LANTERNS)
    client.post("/auth/login", data={"login": "eve", **LANTERNS})
    page = client.get("/auth/history").text
    assert "Account imported, by an administrator at the command line" in page


def test_unconfirmed_accounts_have_a_week_from_the_import(take, clock):
    said, _ = take([person("eve", confirmed="0", created_at="2015-01-01"), person("ida", created_at="2015-01-01")])
    assert said == [
        "Imported: 2. Refused: 0.",
        "Not confirmed: 1. Accounts that their users don't confirm in 7 days are deleted.",
    ]
    assert [user.created_at.year for user in User.query.order_by(User.id)] == [clock.time.year, 2015]
    list(cleanup.unconfirmed_accounts())
    assert count(User) == 2
    clock.move(days=7, seconds=1)
    list(cleanup.unconfirmed_accounts())
    assert db.session.scalars(select(User.username)).all() == ["ida"]


@on_sqlite
@pytest.mark.extended
def test_memory_does_not_grow_with_the_file(flask, take, tmp_path):
    """5,000 lines take as much as 1,000; ten batches are in neither."""

    def peak(first, last):
        tracemalloc.start()
        said, _ = take([person(f"user{n}", password_hash=KNOWN["werkzeug pbkdf2"]) for n in range(first, last)])
        assert said == [f"Imported: {last - first}. Refused: 0."]
        try:
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(0, 600)  # what is loaded once
    few, many = peak(1000, 2000), peak(2000, 7000)
    assert many < few + 5_000_000
    assert db.session.scalar(select(func.count(User.id))) == 6600

"""docs/backup.md on both databases: its commands back up and restore, and repair what going back in time does."""

import os
import re
import secrets
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask_migrate import upgrade
from sqlalchemy import make_url, select
from support.authenticators import set_up
from support.clients import PASSWORD, ROOT, Browser, on_sqlite
from support.machine import indented_lines
from support.migrations import DIRECTORY

from app import create_app
from app.accounts import passwords, personal_data
from app.extensions import db
from app.models import OutboxEmail, User, UserSession
from app.models.outbox_email import Status
from settings.connections import psycopg_url

pytestmark = [pytest.mark.extended, pytest.mark.xdist_group("backup")]

BIN = Path(sys.executable).parent
PAGE = (ROOT / "docs/backup.md").read_text("utf-8")
SERVER = indented_lines((ROOT / "docs/deploy.md").read_text("utf-8"))
NEW_PASSWORD = "another lantern in the rain"


def section(title):
    return indented_lines(PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0])


class Server:
    """A database on a server, and the commands of the page, with the paths of this machine."""

    def __init__(self, folder, kind):
        self.folder, self.kind = folder, kind
        (folder / "log").write_text("")
        (folder / "lib").mkdir()
        self.key = secrets.token_hex()
        self.environment = {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(folder), "SECRET_KEY": self.key}
        self.environment |= {"FLASK_CONFIG": "production", "PUBLIC_URL": "https://example.com", "MAIL_SERVER": "x"}
        self.environment |= {"PYTHON_DOTENV_DISABLED": "1", "FLASK_APP": str(ROOT / "flasky.py")}
        if hasattr(kind, "server"):
            self.environment["PATH"] = f"{kind.server.bin_path}:{self.environment['PATH']}"
            self.environment["PGHOST"] = host = make_url(kind.url).query["host"]
            self.url = f"postgresql://flasky@/flasky?host={host}"
            self.run([line for line in SERVER if line.startswith("runuser -u postgres")])
        else:
            self.url = f"sqlite:///{folder}/lib/app.db"
        self.environment["DATABASE_URL"] = self.url
        self.run([line for line in SERVER if line.startswith("install -d")])

    def run(self, lines):
        """Run those lines that concern this kind of database; return what they say."""
        said = ""
        for line in lines:
            if (SQLITE if hasattr(self.kind, "server") else POSTGRESQL).search(line) or line.startswith("systemctl"):
                continue
            user = re.match(r"runuser -u (\w+) -- ", line)
            line = re.sub(r"runuser -u \w+ -- ", "", line).replace(".venv/bin/", "")
            line = line.replace("-o flasky -g flasky ", "").replace("/var/lib/flasky", f"{self.folder}/lib")
            line = line.replace("/var/backups/flasky", f"{self.folder}/backups")
            line = line.replace("/run/postgresql", self.environment.get("PGHOST", ""))
            line = re.sub(r"^journalctl .* >", f"cat {self.folder}/log >", line)
            environment = self.environment | {"PGUSER": user[1] if user else "postgres"}
            ran = subprocess.run(
                ["sh", "-ec", line], cwd=self.folder, env=environment, capture_output=True, text=True, timeout=120
            )
            assert ran.returncode == 0, f"{line}\n{ran.stdout}{ran.stderr}"
            with (self.folder / "log").open("a") as log:
                log.write(ran.stderr)
            said += ran.stdout
        return said

    @contextmanager
    def site(self, **settings):
        app = create_app(
            "testing", SQLALCHEMY_DATABASE_URI=psycopg_url(self.url), **{"SECRET_KEY": self.key} | settings
        )
        app.test_client_class = Browser
        with app.app_context():
            yield app
            leave()


SQLITE = re.compile(r"sqlite3|app\.db")
POSTGRESQL = re.compile(r"pg_dump|pg_restore|runuser -u postgres|postgresql:")


@pytest.fixture
def server(database, tmp_path):
    server = Server(tmp_path, database)
    yield server
    if hasattr(database, "server"):
        server.run(["runuser -u postgres -- dropdb flasky", "runuser -u postgres -- dropuser flasky"])


def leave():
    """Close all connections, as a server does that is stopped."""
    db.session.remove()
    for engine in db.engines.values():
        engine.dispose()


def user(name):
    return db.session.scalar(select(User).where(User.username == name))


def waiting():
    return db.session.scalars(select(OutboxEmail.recipient).where(OutboxEmail.status == Status.WAITING)).all()


def arrives(client):
    return client.get("/account").status_code == 200


def begin(app, clock):
    """Create Bob, and Ada with an authenticator app; return the browser where she set it up, and the app."""
    upgrade(DIRECTORY)
    for name in ("ada", "bob"):
        db.session.add(User(email=f"{name}@example.com", username=name, password=PASSWORD, confirmed=True))
    db.session.commit()
    laptop = app.test_client()
    laptop.log_in(user("ada"))
    return laptop, set_up(laptop, clock)


def test_a_restored_site_is_repaired_by_the_commands_of_the_page(server, clock):
    with server.site() as app:
        (laptop, phone), stranger = begin(app, clock), app.test_client()
        stranger.post("/auth/reset", data={"email": "bob@example.com"})
        assert "bob@example.com" in waiting()
        leave()
        server.run(section("Back up"))

        server.run(["runuser -u flasky -- flask users delete --now --yes bob"])
        passwords.change(user("ada"), NEW_PASSWORD)
        db.session.add(User(email="eve@example.com", username="eve", password=PASSWORD, confirmed=True))
        db.session.commit()
        assert all(db.session.scalars(select(UserSession.revoked_at))), "her session was revoked"
        leave()

        restore = section("Restore")
        first = next(number for number, line in enumerate(restore) if ".venv/bin" in line)
        server.run(restore[:first])
        assert arrives(laptop), "the session is back"
        assert "bob@example.com" in waiting()
        leave()
        server.run([line for line in restore[first:] if "doctor" not in line])
        assert not arrives(laptop)
        assert waiting() == []
        assert (user("bob") is None, user("eve") is None) == (False, True)
        leave()
        server.run(section("What going back in time does"))
        assert user("bob") is None
        assert log_in(app, PASSWORD, code=phone.code()), "by the password of the backup"
        assert not log_in(app, NEW_PASSWORD, code=phone.code())


def log_in(app, password, **second):
    browser = app.test_client()
    browser.log_in(user("ada"), password)
    browser.post("/auth/two-factor/verify", data=second)
    return arrives(browser)


def test_one_account_comes_back_from_a_backup_while_the_site_runs(server, clock):
    with server.site() as app:
        laptop, phone = begin(app, clock)
        app.test_client().post("/auth/reset", data={"email": "ada@example.com"})
        before, kept = user("ada").id, rows_of(user("ada"))
        assert all(kept[name] for name in ("users", "audit_events", "authenticators", "recovery_codes"))
        leave()
        server.run(section("Back up"))
        server.run(["runuser -u flasky -- flask users delete --now --yes ada"])
        db.session.add(User(email="eve@example.com", username="eve", password=PASSWORD, confirmed=True))
        passwords.change(user("bob"), NEW_PASSWORD)
        db.session.commit()
        sent, others = waiting(), rows_of(user("bob"))
        leave()

        title = "Restore one account"
        (server.folder / "restore_user.py").write_text(
            re.search(rf"## {title}\n.*?```python\n(.*?)```", PAGE, re.DOTALL)[1]
        )
        server.environment["PYTHONPATH"] = str(ROOT)
        server.run(section(title))
        assert user("ada").id == before
        assert {name for name, rows in rows_of(user("ada")).items() if rows != kept[name]} == {
            "outbox",
            "user_sessions",
        }
        assert rows_of(user("bob")) == others
        assert waiting() == sent
        assert not arrives(laptop)
        leave()
        assert log_in(app, PASSWORD, code=phone.code())


def rows_of(user):
    """Return what each table has about a user."""
    found = {}
    for model, row in personal_data.registered.items():
        table = personal_data.table_of(model)
        found[table.name] = sorted(map(str, db.session.execute(select(table).where(row.condition(user)))))
    return found


@on_sqlite
def test_under_another_key_passwords_and_recovery_codes_log_in(server, clock):
    with server.site() as app:
        upgrade(DIRECTORY)
        db.session.add(User(email="ada@example.com", username="ada", password=PASSWORD, confirmed=True))
        db.session.commit()
        laptop = app.test_client()
        laptop.log_in(user("ada"))
        phone = set_up(laptop, clock)
        leave()
        server.run([*section("Back up"), *section("Restore")[:6]])
    server.key = server.environment["SECRET_KEY"] = secrets.token_hex()
    with server.site() as app:
        assert not log_in(app, PASSWORD, code=phone.code())
        assert log_in(app, PASSWORD, recovery_code=phone.codes[0])
        leave()
        [why, reset] = re.findall(r"`(flask users .*?)`", PAGE.partition("## Under another")[2])
        assert "encrypted with a key that is no longer set" in server.run([why])
        server.run([f"{reset} --yes"])
        assert log_in(app, PASSWORD)

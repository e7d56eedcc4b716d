"""Compare the times of answers for addresses with and without an account: `python tests/support/timings.py`.

With the real hash, on a file of SQLite, or with --postgresql on a server of its own. Known and unknown take turns, each
with an address that was never used before. The time is that of the application alone, without a network. The difference
is the median of those of the pairs, which meet the same moments of the machine, and stands with what it may be by
chance (95 %). All of it takes minutes; with --quick no flow gets more than LONGEST seconds. On a machine
that is busy with other things --cpu tells more: it counts what the application itself works, and no waiting.
"""

import gc
import sys
import tempfile
import time
from argparse import ArgumentParser
from math import sqrt
from pathlib import Path
from statistics import median
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent))

import conftest  # noqa: F401 (nobody's own settings are read)
from werkzeug.test import EnvironBuilder, run_wsgi_app

from app import create_app
from app.extensions import db
from app.models import User
from app.security.hashing import hash_password
from config import Config
from support.clients import PASSWORD
from support.databases import KINDS

WARM_UP = 10  # pairs that are not counted
LONGEST = 25  # seconds


class Flow(NamedTuple):
    """A form that tells nobody who has an account."""

    name: str
    path: str
    status: int  # of the answer
    pairs: int  # to be measured
    is_hidden: bool  # it tells nobody only with PREVENT_ENUMERATION
    fields: dict


FLOWS = [
    Flow("login", "/auth/login", 422, 200, False, {"login": "{}@example.com", "password": "wrong"}),
    Flow("reset", "/auth/reset", 302, 1000, False, {"email": "{}@example.com"}),
    Flow("magic link", "/auth/magic-link", 302, 1000, False, {"email": "{}@example.com"}),
    Flow(
        "registration, hidden", "/auth/register", 302, 200, True,
        {"email": "{}@example.com", "username": "new-{}", "password": PASSWORD, "confirm_password": PASSWORD},
    ),
    Flow(
        "change of address, hidden", "/auth/change-email", 302, 200, True,
        {"email": "{}@example.com", "password": PASSWORD},
    ),
]  # fmt: skip


class Application:
    """One with the real hash, many accounts, and somebody who is logged in."""

    def __init__(self, database_url, clock):
        self.clock = clock
        self.app = create_app("testing", SQLALCHEMY_DATABASE_URI=database_url, PASSWORD_HASH=Config.PASSWORD_HASH)
        self.numbers = iter(range(10**6))
        with self.app.app_context():
            self.password_hash = hash_password(PASSWORD)
        self.add_accounts(["asker"])
        browser = self.app.test_client()
        browser.post("/auth/login", data={"login": "asker", "password": PASSWORD})
        self.cookie = f"session={browser.get_cookie('session').value}"

    def add_accounts(self, names):
        with self.app.app_context():
            for name in names:
                person = User(email=f"{name}@example.com", username=name, confirmed=True)
                person.password_hash = self.password_hash
                db.session.add(person)
            db.session.commit()

    def names(self, pairs):
        """Pairs of a name that has an account and one that has none, all of one length."""
        names = [f"person{next(self.numbers):06}" for _ in range(2 * pairs)]
        self.add_accounts(names[::2])
        return zip(names[::2], names[1::2], strict=True)

    def seconds(self, flow, name):
        """Send the form with a name, and say how long the answer took."""
        form = {field: value.format(name) for field, value in flow.fields.items()}
        headers = {"Cookie": self.cookie} if flow.path == "/auth/change-email" else {}
        environ = EnvironBuilder(flow.path, method="POST", data=form, headers=headers).get_environ()
        gc.collect()
        begun = self.clock()
        _, status, _ = run_wsgi_app(self.app, environ, buffered=True)
        seconds = self.clock() - begun
        assert status.startswith(str(flow.status)), f"{flow.name}: {status}"
        return seconds


def measure(application, flow, is_quick):
    """Return pairs of seconds: for a known name, for an unknown one."""
    application.app.config["PREVENT_ENUMERATION"] = flow.is_hidden
    measured, deadline = [], None
    for number, pair in enumerate(application.names(WARM_UP + flow.pairs)):
        if number == WARM_UP:
            gc.freeze()
            deadline = time.monotonic() + LONGEST
        order = 1 if number % 2 else -1
        seconds = [application.seconds(flow, name) for name in pair[::order]][::order]
        if deadline:
            measured.append(seconds)
            if time.monotonic() > deadline and is_quick:
                break
    return measured


def row(flow, measured):
    """One line of the table. The bounds of the difference are those of a sign test."""
    known, unknown = (median(column) for column in zip(*measured, strict=True))
    differences = sorted(known - unknown for known, unknown in measured)
    reach = round(0.98 * sqrt(len(differences)))
    middle = len(differences) // 2
    low, high = differences[max(0, middle - reach)], differences[min(len(differences) - 1, middle + reach)]
    shares = [f"{100 * seconds / unknown:+.1f}" for seconds in (median(differences), low, high)]
    return (
        f"{flow.name:26}{len(measured):5}{1000 * known:12.2f}{1000 * unknown:12.2f}"
        f"{shares[0]:>8} %   ({shares[1]} to {shares[2]})"
    )


def main():
    parser = ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--postgresql", action="store_true", help="on a server, not on a file of SQLite")
    parser.add_argument("--quick", action="store_true", help="give no flow more than LONGEST seconds")
    parser.add_argument("--cpu", action="store_true", help="count the work of the application alone, and no waiting")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        database = KINDS["postgresql" if wanted.postgresql else "sqlite"](Path(folder))
        try:
            application = Application(
                database.make(Path(folder)), time.thread_time if wanted.cpu else time.perf_counter
            )
            gc.disable()
            print(f"{'flow':26}{'pairs':>5}{'known ms':>12}{'unknown ms':>12}{'difference':>13}")
            for flow in FLOWS:
                print(row(flow, measure(application, flow, wanted.quick)), flush=True)
            with application.app.app_context():
                db.engine.dispose()
        finally:
            database.stop()


if __name__ == "__main__":
    main()

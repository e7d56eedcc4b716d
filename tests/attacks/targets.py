"""What is attacked, and who attacks: a stranger, who has browsers, networks and mailboxes, and no key to anything.

A target has people, is served, and has its emails delivered; nothing else is asked of it.
"""

from contextlib import ExitStack, closing
from itertools import count
from pathlib import Path
from sqlite3 import connect
from typing import NamedTuple

import naive
from support.clients import PASSWORD
from support.ledger import Ledger
from support.serving import Browser, Site
from werkzeug.security import generate_password_hash

from app import create_app
from app.extensions import db
from app.models import User
from config import Config

PROCESSES = 4
CHEAP = "pbkdf2:sha256:1"
POST_TAKES = 0.02  # seconds, of the mail server
HERE = Path(__file__).parent


class Outcome(NamedTuple):
    """A row of the table."""

    what: str
    tried: int
    through: int
    may: int = 0  # so many are meant to get through
    told: str = ""

    @property
    def is_hole(self):
        return self.through > self.may


class Stranger(Browser):
    """A browser that nobody knows. The proxy names its network, a new one each unless it is given."""

    numbers = count(1)

    def __init__(self, site, network=None, **headers):
        super().__init__(site)
        number = next(self.numbers)
        self.cookies = {}
        self.network = network or f"198.18.{number // 256}.{number % 256}"
        self.headers = {"X-Forwarded-For": self.network} | headers

    def saying(self, **headers):
        """Return a copy that says other headers, written with underscores."""
        other = self.copy()
        other.headers = self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        return other

    def is_in(self):
        return self.get("/account").status == 200


class Target:
    """Use it by `with`: it has a site with PROCESSES processes, one with the real hash, one that verifies devices."""

    def __init__(self, folder, sink):
        self.folder, self.sink = folder, sink
        sink.pause = POST_TAKES

    def __enter__(self):
        with ExitStack() as self.running:  # if one does not start, the others end
            self.start()
            self.running = self.running.pop_all()
        return self

    def __exit__(self, *_):
        self.running.close()

    def serve(self, wsgi, processes=PROCESSES, name="site", **settings):
        folder = self.folder / f"{wsgi.partition(':')[0]}-{name}"
        folder.mkdir()
        site = Site(folder, self.url, self.sink, wsgi, processes, **settings)
        self.running.callback(site.stop)
        return site.start()

    def member(self, name):
        """Have an account, and return a browser that is logged in to it."""
        self.add([name])
        browser = Stranger(self.site)
        assert browser.log_in(name).status == 302
        assert browser.is_in()
        return browser

    def emails_to(self, name):
        self.settle()
        return [email for email in self.sink.received if email.recipient.lower() == f"{name}@example.com"]

    def link_to(self, name, page):
        """Have a link sent, and take it out of the mailbox."""
        self.settle()  # what comes next is it
        Stranger(self.site).submit(page, email=f"{name}@example.com")
        return self.emails_to(name)[-1].link


class Ours(Target):
    """The application in production, on a database of databases.KINDS."""

    real_hash = Config.PASSWORD_HASH

    def __init__(self, database, folder, sink):
        super().__init__(folder, sink)
        self.database, self.url = database, database.make(folder)

    def start(self):
        self.app = create_app("testing", SQLALCHEMY_DATABASE_URI=self.url)
        self.running.callback(self._clear)
        self.site = self.serve("cheap:app")
        key = self.site.environment["SECRET_KEY"]  # one for all: each may deliver the emails of the others
        self.site_with_real_hash = self.staging = self.serve("flasky:app", 1, SECRET_KEY=key)
        self.site_with_device_codes = self.serve("cheap:app", 1, "device-codes", SECRET_KEY=key, VERIFY_NEW_DEVICES="1")

    def add(self, names, password=PASSWORD, method=CHEAP):
        hashed = password and generate_password_hash(password, method)
        people = [
            User(email=f"{name}@example.com", username=name, password_hash=hashed, confirmed=True) for name in names
        ]
        with self.app.app_context():
            db.session.add_all(people)
            db.session.commit()

    def settle(self):
        with self.app.app_context():
            Ledger().settled(self.sink)

    def counts(self):
        """How many counts there are of the limits. A process that waited for half a second has its own, and says so."""
        return 1 + self.site.log.read_text().count("counts for itself")

    def _clear(self):
        with self.app.app_context():
            self.database.clear()
            for engine in db.engines.values():
                engine.dispose()


class Naive(Target):
    """The one that does it wrong, on a file of its own."""

    real_hash = "scrypt:4096:8:1"

    def __init__(self, folder, sink):
        super().__init__(folder, sink)
        self.url = f"sqlite:///{folder / 'naive.db'}"

    def start(self):
        with closing(connect(self._file())) as connection:
            connection.executescript(naive.TABLES)
        server = f"--config /dev/null --worker-class gthread --threads 8 --chdir {HERE}"
        self.site = self.serve("naive:app", GUNICORN_CMD_ARGS=server)
        self.site_with_real_hash = self.site_with_device_codes = self.staging = self.site

    def add(self, names, password=PASSWORD, method=CHEAP):
        hashed = generate_password_hash(password or PASSWORD, method)
        with closing(connect(self._file())) as connection, connection:
            connection.executemany(naive.ADD, [(f"{name}@example.com", name, hashed) for name in names])

    def settle(self):
        """Its emails have arrived before it answers."""

    def counts(self):
        return 1

    def _file(self):
        return self.url.removeprefix("sqlite:///")

"""The fixtures: an application on a fresh database, its people, its outbox, its clock, and clients that use it."""

import contextvars
import gc
import logging
import os
import re
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flask_mail import email_dispatched

ROOT = Path(__file__).parent.parent

pytest_plugins = ["support.browsing"]
pytest.register_assert_rewrite("support")  # its assertions explain themselves, too

# Nobody's own settings reach the tests.
os.environ["PYTHON_DOTENV_DISABLED"] = os.environ["FLASK_SKIP_DOTENV"] = "1"
for line in (ROOT / ".env.example").read_text().splitlines():
    os.environ.pop(line.partition("=")[0].lstrip("#"), None)

from support.applications import SharedApps, are_shared
from support.authenticators import set_up
from support.clients import PASSWORD, Browser
from support.compiled import compile_once
from support.databases import KINDS, is_needless_repetition, patient
from support.ours import make_optional, owners_fields
from support.waiting import PATIENCE

from app import create_app, templating
from app.auth.registration_forms import RegistrationForm
from app.email import delivery
from app.extensions import db
from app.models import User
from app.web.request_log import Json, Plain

templating.Environment.compile = compile_once


def pytest_collection_modifyitems(config, items):
    """Repeat nothing on PostgreSQL that can't differ there, unless `make test-postgresql` asks for all of it."""
    if not config.getoption("--postgresql"):
        config.hook.pytest_deselected(items=[item for item in items if is_needless_repetition(item)])
        items[:] = [item for item in items if not is_needless_repetition(item)]


def pytest_collection_finish():
    """What is loaded stays: looking through all of it for garbage, again and again, is an eighth of the time."""
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)


@pytest.fixture(scope="session")
def databases(tmp_path_factory):
    """The kinds of database that have been asked for, each started once."""
    started = {}

    def start(kind):
        if kind not in started:
            started[kind] = KINDS[kind](tmp_path_factory.mktemp("database"))
        return started[kind]

    yield start
    for database in started.values():
        database.stop()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.extended)])
def database(request, databases):
    """An empty database with all its tables: SQLite in `make test`, PostgreSQL, too, in `make test-all`."""
    return databases(request.param)


@pytest.fixture(autouse=True)
def quiet():
    """An application that is not under test writes a log; it writes none for the tests after it.

    The level is set, not restored: an application of a whole module is made before the first test of it.
    """
    root = logging.getLogger()
    root.setLevel(logging.WARNING)
    yield
    root.setLevel(logging.WARNING)
    for handler in list(root.handlers):
        if isinstance(handler.formatter, Json | Plain):
            root.removeHandler(handler)


@pytest.fixture
def settings():
    """Settings of the application that differ from config.Testing. Override it, or parametrize it."""
    return {}


@pytest.fixture
def more():
    """Settings that a module adds to its own `settings`. Parametrize it."""
    return {}


@pytest.fixture
def make_app(tmp_path):
    """Make an application on a database, to be used within its context, and clean up after it."""

    @contextmanager
    def make(name, database, settings):
        app = create_app(name, **patient(database.make(tmp_path)) | settings)
        prepare(app)
        with use(app, database):
            yield app

    return make


def prepare(app):
    app.test_client_class = Browser


@contextmanager
def use(app, database):
    """Enter the application's context, and clean up after it."""
    with app.app_context():
        yield
        app.extensions["delivery"].stop(wait=PATIENCE)  # its threads hold connections
        db.session.remove()
        database.clear()
        for engine in db.engines.values():
            engine.dispose()


@pytest.fixture(scope="session")
def shared_apps(tmp_path_factory):
    """The applications that tests share."""

    def create(url, settings):
        return create_app("testing", **patient(url) | settings)

    return SharedApps(create, prepare, tmp_path_factory.mktemp("shared"))


@pytest.fixture
def own_app():
    """Ask for this to add routes, hooks or blueprints, which the application that tests share refuses."""


@pytest.fixture
def app(request, database, settings):
    """An application in its context: a shared one, unless the test asks for its own or has settings that need it."""
    if "own_app" in request.fixturenames or not are_shared(settings):
        with request.getfixturevalue("make_app")("testing", database, settings) as app:
            yield app
    else:
        app = request.getfixturevalue("shared_apps").fresh(database, settings)
        with use(app, database):
            yield app


@pytest.fixture
def client(app):
    return app.test_client()


@pytest.fixture
def another_client(app):
    """A second browser."""
    return app.test_client()


@pytest.fixture
def flask(app):
    """Return a function that runs a command in a context of its own, apart from the test's user and session."""

    def run(*arguments, typed=None):
        invoke = app.test_cli_runner(catch_exceptions=False).invoke
        result = contextvars.Context().run(invoke, args=arguments, input=typed)
        db.session.rollback()
        return result

    return run


@pytest.fixture
def browser_at(app):
    """Return a function that makes a browser with an IP address."""

    def make(ip="192.0.2.1"):
        client = app.test_client()
        client.environ_base["REMOTE_ADDR"] = ip
        return client

    return make


@pytest.fixture
def ada(app):
    """A person who has confirmed her address."""
    return _person("ada", confirmed=True)


@pytest.fixture
def bob(app):
    """A person who has not."""
    return _person("bob", confirmed=False)


def _person(name, confirmed):
    user = User(email=f"{name}@example.com", username=name, password=PASSWORD, confirmed=confirmed)
    db.session.add(user)
    db.session.commit()
    return user


class Emails(list):
    """The emails that have been sent. Call it to have what waits delivered first."""

    def __call__(self):
        delivery.deliver()
        return self

    def link(self, number=-1):
        """The link in an email, as a path."""
        return re.search(r"https?://[^/\s]+(/\S+)", self()[number].body)[1]


@pytest.fixture
def outbox(app):
    sent = Emails()

    def keep(_, message):
        sent.append(message)

    with email_dispatched.connected_to(keep, app):
        yield sent


class Clock:
    """What time it is for the application. It stands still until it is moved."""

    def __init__(self):
        self.time = datetime.now(UTC)

    def move(self, **delta):
        self.time += timedelta(**delta)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("app.clock.now", lambda: clock.time)
    return clock


@pytest.fixture
def own_fields():
    """Ask for this to test the registration fields of an application as they are: required, also after SSO."""


@pytest.fixture(autouse=True)
def no_own_fields(request, monkeypatch):
    """The registration fields of an application are optional, and not asked after SSO, where our tests send none."""
    make, asked = RegistrationForm.__init__, "own_fields" in request.fixturenames

    def with_optional_fields(form, *args, **kwargs):
        make(form, *args, **kwargs)
        make_optional(form)

    if owners_fields() and not asked:
        monkeypatch.setattr(RegistrationForm, "__init__", with_optional_fields)
        monkeypatch.setattr(RegistrationForm, "asks_more", lambda form: False)


@pytest.fixture(autouse=True)
def ask_for_our_fields_only(request, monkeypatch):
    """No test of ours expects another field after a login at a provider."""
    if "own_fields" not in request.fixturenames:
        monkeypatch.setattr(RegistrationForm, "asks_more", lambda form: False)


@pytest.fixture
def issuer(monkeypatch):
    """An issuer of accounts elsewhere. It may take its time: the machine may be busy with other tests."""
    from support.issuer import Issuer  # which makes keys

    for timeout in ("oidc.TIMEOUT", "oidc.USERINFO_TIMEOUT", "oidc.discovery.REFRESH_TIMEOUT"):
        monkeypatch.setattr(f"app.security.{timeout}", PATIENCE)
    issuer = Issuer()
    yield issuer
    issuer.stop()


@pytest.fixture
def phone(app, ada, clock):
    """Ada's phone, with an authenticator app for her account. Nobody is logged in; no browser of the test is known."""
    browser = app.test_client()
    browser.log_in(ada)
    phone = set_up(browser, clock)
    browser.post("/auth/logout")
    return phone


@pytest.fixture
def administrator(client, ada, clock):
    """Ada's browser: she is an administrator with two-factor authentication, and has just logged in."""
    ada.is_admin = True
    db.session.commit()
    client.log_in(ada)
    set_up(client, clock)
    return client


def pytest_addoption(parser):
    parser.addoption("--screenshots", metavar="DIR", help="leave a picture of every page in DIR")
    parser.addoption("--postgresql", action="store_true", help="repeat every test on PostgreSQL")
    parser.addoption("--english", action="store_true", help="show the pages of tests/browser/test_tour.py in English")

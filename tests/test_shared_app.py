"""The application that tests share: what one test does to it is gone before the next."""

from datetime import timedelta

import pytest
from flask import Blueprint
from jinja2 import DictLoader
from sqlalchemy import event
from support.applications import are_plain
from support.clients import PASSWORD, on_sqlite
from support.records import rows

from app import signals
from app.extensions import db
from app.models import RateLimitCounter, User
from app.security.rate_limits import counters

pytestmark = on_sqlite


@pytest.fixture
def next_test(shared_apps, database, settings):
    """Return a function that returns the application as the next test gets it, in place of the one of this test."""

    def begin(settings=settings):
        db.session.remove()
        for engine in db.engines.values():
            engine.dispose()
        return shared_apps.fresh(database, settings)

    return begin


def test_tests_share_an_application(app, next_test):
    assert next_test() is app


def test_tests_that_see_pages_with_other_settings_share_an_application(app, client, next_test):
    app.config["APP_NAME"] = "Orchard"
    assert "Orchard" in client.get("/auth/login", headers={"Accept-Language": "de"}).text
    assert next_test() is app
    page = app.test_client().get("/auth/login", headers={"Accept-Language": "de"}).text
    assert "Orchard" not in page
    assert app.config["APP_NAME"] in page


def test_own_app_is_not_shared(own_app, app, shared_apps, database):
    app.add_url_rule("/rose", "rose", lambda: "red")
    assert app.test_client().get("/rose").text == "red"
    assert shared_apps.fresh(database, {}) is not app


@pytest.mark.parametrize("settings", [{"APP_NAME": "Garden"}])
def test_tests_with_the_same_settings_of_the_start_share_an_application(app, next_test):
    app.config["APP_NAME"] = "Orchard"
    assert next_test({"APP_NAME": "Garden"}) is app
    assert app.config["APP_NAME"] == "Garden"


@pytest.mark.parametrize("settings", [{"APP_NAME": "Garden"}])
@pytest.mark.parametrize("others", [{}, {"APP_NAME": "Orchard"}, {"APP_NAME": "Garden", "USERNAMES": "off"}])
def test_tests_with_other_settings_of_the_start_share_none(app, next_test, others):
    assert next_test(others) is not app
    assert app.config["APP_NAME"] == "Garden"


@pytest.mark.parametrize("settings", [{"APP_NAME": "Garden", "OWNERS": [object()]}])
def test_a_setting_with_a_life_of_its_own_is_not_shared(app, settings, next_test):
    assert app.config["OWNERS"] is settings["OWNERS"]
    assert next_test({"APP_NAME": "Garden"}) is not app
    assert are_plain({"APP_NAME": ["Garden", {"a": None}], "AFTER": timedelta(hours=1)})


@pytest.mark.parametrize("settings", [{"PREVENT_ENUMERATION": True}])
def test_settings_that_requests_read_are_reset(app, next_test):
    assert app.config["PREVENT_ENUMERATION"]
    assert next_test({}) is app
    assert not app.config["PREVENT_ENUMERATION"]


def test_settings_rows_counters_emails_and_caches_are_reset(app, client, ada, next_test):
    client.log_in(ada, "wrong")
    client.post("/auth/reset", data={"email": ada.email})
    client.get("/", base_url="http://elsewhere.example")
    assert RateLimitCounter.query.count() > 0
    before, settings = dict(app.extensions), dict(app.config)
    app.config.update(APP_NAME="Garden", PREVENT_ENUMERATION=True, GARDEN=1)
    app.config["OIDC_PROVIDERS"]["x"] = 1
    app.extensions["mail"].suppress = False
    app.extensions["assets"]["app.css"] = "red"
    app.extensions["delivery"].stopped.set()
    app.extensions["garden"] = 1
    counters.shared_counters().storage = None
    app.testing = False
    del app.config["PORT"]
    assert next_test() is app
    del settings["OIDC_PROVIDERS"]
    assert {name: app.config[name] for name in settings} == settings
    assert app.config["OIDC_PROVIDERS"] == {}
    assert "GARDEN" not in app.config
    assert set(before) - set(app.extensions) == {"refused_hosts"}
    assert "garden" not in app.extensions
    assert app.extensions["assets"] == {}
    assert app.extensions["mail"].suppress
    assert not app.extensions["delivery"].stopped.is_set()
    assert counters.shared_counters().storage
    assert [name for name, found in rows().items() if found] == ["roles"]


def test_a_browser_of_the_next_test_is_a_stranger(app, client, ada, next_test):
    client.log_in(ada)
    assert client.get("/account").status_code == 200
    app = next_test()
    db.session.add(User(email="ada@example.com", username="ada", password=PASSWORD, confirmed=True))
    db.session.commit()
    assert client.get("/account").status_code == 302, "the old session has no row"
    assert app.test_client().get("/account").status_code == 302


SETUP = {
    "route": lambda app: app.add_url_rule("/rose", "rose", lambda: "red"),
    "hook": lambda app: app.before_request(lambda: "red"),
    "blueprint": lambda app: app.register_blueprint(Blueprint("a_test_garden", __name__)),
    "error page": lambda app: app.register_error_handler(404, lambda _: "red"),
}


@pytest.mark.parametrize("change", SETUP)
def test_what_precedes_the_first_request_is_refused(app, change):
    with pytest.raises(AssertionError, match="can no longer be called"):
        SETUP[change](app)


def _wrap(app):
    app.wsgi_app = lambda *call, inner=app.wsgi_app: inner(*call)


def _warn(app):
    app.test_client().get("/", headers={"X-Forwarded-For": "192.0.2.9"})


HEARD = []
CHANGES = {
    "view": lambda app: app.view_functions.update({"main.index": lambda: "red"}),
    "middleware": _wrap,
    "state of a middleware": _warn,
    "templates": lambda app: setattr(app.jinja_env, "loader", DictLoader({})),
    "variable of templates": lambda app: app.jinja_env.globals.update(rose="red"),
    "attribute": lambda app: setattr(app, "rose", "red"),
    "listener": lambda app: event.listen(db.engine, "before_cursor_execute", HEARD.append),
    "listener of the pool": lambda app: event.listen(db.engines["rate_limits"], "checkout", HEARD.append),
    "receiver": lambda app: signals.user_logged_in.connect(HEARD.append, app, weak=False),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_next_test_gets_another_application_after_other_changes(app, next_test, change):
    CHANGES[change](app)
    assert next_test() is not app

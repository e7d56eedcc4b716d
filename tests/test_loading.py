"""The user of a page is loaded by one short query, and an owner's model does not notice."""

import pytest
from flask_login import current_user
from sqlalchemy import event, select
from sqlalchemy.orm import with_loader_criteria
from sqlalchemy.pool import NullPool

from app.extensions import db
from app.models import User
from settings.derived import complete


@pytest.fixture
def seen(own_app, app, client, ada):
    """Return what a page shows of the user, who is logged in."""

    def read():
        return client.get("/seen").text

    @app.get("/seen")
    def show():
        return f"{current_user.is_authenticated and current_user.username} {getattr(current_user, 'greeting', '')}"

    client.log_in(ada)
    return read


def test_a_constructor_is_for_new_users(seen, monkeypatch):
    def refuse(*_, **__):
        raise TypeError("A new user needs more than this.")

    monkeypatch.setattr(User, "__init__", refuse)
    assert seen() == "ada "


def test_a_reconstructor_runs(seen):
    def greet(user, context):
        user.greeting = f"Hello, {user.username} ({user.role.name})!"

    event.listen(User, "load", greet)
    try:
        assert seen() == "ada Hello, ada (user)!"
    finally:
        event.remove(User, "load", greet)


def test_criteria_of_an_applications_queries_apply(seen):
    """As for accounts of another tenant."""

    def leave_out(query):
        query.statement = query.statement.options(with_loader_criteria(User, User.username != "ada"))

    assert seen() == "ada "
    event.listen(db.session.session_factory, "do_orm_execute", leave_out)
    try:
        assert seen() == "False "
    finally:
        event.remove(db.session.session_factory, "do_orm_execute", leave_out)


@pytest.mark.parametrize("url", ["sqlite:////tmp/x.db", "postgresql+psycopg://h/x"])
def test_all_engines_connect_as_the_first_one_does(app, url, tmp_path):
    own = {"connect_args": {"sslmode": "verify-full"}, "pool_pre_ping": True, "poolclass": NullPool}
    settings = {**app.config, "SQLALCHEMY_DATABASE_URI": url, "SQLALCHEMY_ENGINE_OPTIONS": own, "SQLALCHEMY_BINDS": {}}
    complete(settings, str(tmp_path))
    for options in settings["SQLALCHEMY_BINDS"].values():
        assert options["connect_args"].items() >= own["connect_args"].items()
        assert (options["pool_pre_ping"], options["poolclass"]) == (True, NullPool)
        assert not options.keys() & {"max_overflow", "pool_timeout"}, "this pool has no such limits"


def test_a_loaded_user_is_in_the_session(own_app, app, client, ada):
    @app.get("/found")
    def found():
        return str(db.session.scalar(select(User).filter_by(username="ada")) is current_user._get_current_object())

    client.log_in(ada)
    assert client.get("/found").text == "True"


def test_what_a_hook_has_changed_before_stays(own_app, app, client, ada):
    @app.url_value_preprocessor
    def move(endpoint, values):
        if endpoint == "zone":
            User.query.filter_by(username="ada").one().time_zone = "Europe/Berlin"

    @app.get("/zone")
    def zone():
        db.session.commit()
        return current_user.time_zone

    client.log_in(ada)
    assert client.get("/zone").text == "Europe/Berlin"

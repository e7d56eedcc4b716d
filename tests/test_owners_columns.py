"""Rules of an application's own in our tables: what breaks one is said in the log, and is nobody's address or name."""

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Column, String
from support.clients import PASSWORD

from app.accounts import registration
from app.extensions import db
from app.models import User

FORM = {"email": "eve@example.com", "username": "eve", "password": PASSWORD, "confirm_password": PASSWORD}


def alter_users(change):
    with db.engine.begin() as connection:
        operations = Operations(MigrationContext.configure(connection))
        with operations.batch_alter_table("users") as users:
            change(users)


@pytest.fixture(params=["plan", "is_paid"])
def rule(request, app):
    """A rule of the owner's that no new account keeps: a column that is NOT NULL, or a CHECK. It goes with the test."""
    if request.param == "plan":
        alter_users(lambda users: users.add_column(Column("plan", String(9), nullable=False)))
    else:
        alter_users(lambda users: users.add_column(Column("plan", String(9), server_default="free")))
        alter_users(lambda users: users.create_check_constraint("is_paid", "plan = 'paid'"))
    yield request.param
    db.session.remove()
    if request.param == "is_paid":
        alter_users(lambda users: users.drop_constraint("is_paid", type_="check"))
    alter_users(lambda users: users.drop_column("plan"))


@pytest.mark.parametrize("settings", [{}, {"PREVENT_ENUMERATION": True}])
def test_registering_against_an_owners_rule_is_an_error_that_names_the_rule(app, client, rule, caplog):
    app.config["PROPAGATE_EXCEPTIONS"] = False
    answer = client.post("/auth/register", data=FORM)
    assert answer.status_code == 500
    assert "Somebody had" not in answer.text
    assert rule in caplog.text
    assert "pbkdf2" not in caplog.text, "the row with its hash is not in the log"
    assert User.find("eve") is None


def test_the_command_line_names_the_rule(app, rule):
    words = f"{PASSWORD}\n{PASSWORD}\n"
    create = ["users", "create", "--email", "eve@example.com", "--username", "eve"]
    made = app.test_cli_runner().invoke(args=create, input=words)
    assert made.exit_code == 1
    assert rule in made.output


def test_services_name_the_rule(app, rule):
    with pytest.raises(registration.Refused, match=rule):
        registration.register("eve@example.com", "eve", PASSWORD)
    db.session.rollback()
    with pytest.raises(registration.Refused, match=rule):
        registration.join("eve@example.com", "eve", confirmed=True)


@pytest.mark.parametrize("taken", [{"email": "ADA@example.com"}, {"username": "ADA"}])
def test_an_address_or_a_name_that_somebody_has_is_taken_still(ada, taken):
    new = {"email": "eve@example.com", "username": "eve", "password": PASSWORD} | taken
    with pytest.raises(registration.Taken):
        registration.register(**new)

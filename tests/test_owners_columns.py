"""Constraints that an application adds to `users`: a violation is an error that names the constraint, never "taken"."""

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Column, String
from support.clients import PASSWORD
from support.registration import FORM

from app.accounts import email_ownership, registration
from app.accounts.registration import NewAccount
from app.extensions import db
from app.models import User

CONSTRAINTS = {  # a column's options, and a constraint; each is violated by every account after Bob's
    "not null": ({"nullable": False}, None),
    "unique": ({"server_default": "free"}, ("plan_unique", "unique", ["plan"])),
    "check": ({"server_default": "free"}, ("plan_paid", "check", "plan = 'paid' OR username = 'bob'")),
}


@pytest.fixture(params=CONSTRAINTS)
def constraint(request, app, bob):
    """A constraint of an application's own, which goes with the test."""
    options, named = CONSTRAINTS[request.param]
    if not named:  # a table with rows takes no such column
        db.session.delete(bob)
        db.session.commit()
    alter_users(lambda users: users.add_column(Column("plan", String(9), **options)))
    if named:
        name, kind, rule = named
        alter_users(lambda users: getattr(users, f"create_{kind}_constraint")(name, rule))
    yield
    db.session.remove()
    if named:
        alter_users(lambda users: users.drop_constraint(name, type_=kind))
    alter_users(lambda users: users.drop_column("plan"))


def alter_users(change):
    db.session.remove()
    with db.engine.begin() as connection:
        operations = Operations(MigrationContext.configure(connection))
        with operations.batch_alter_table("users") as users:
            change(users)


@pytest.mark.parametrize("settings", [{}, {"PREVENT_ENUMERATION": True}])
def test_registering_against_an_owners_constraint_is_an_error_that_names_it(app, client, constraint, caplog):
    app.config["PROPAGATE_EXCEPTIONS"] = False
    answer = client.post("/auth/register", data=FORM)
    assert answer.status_code == 500
    assert "is taken" not in answer.text
    assert "The database refused a new account" in caplog.text
    assert "plan" in caplog.text
    assert "pbkdf2" not in caplog.text, "the row with its hash is not in the log"
    assert User.find("eve") is None


def test_the_command_line_names_an_owners_constraint(app, constraint):
    create = ["users", "create", "--email", "eve@example.com", "--username", "eve"]
    made = app.test_cli_runner().invoke(args=create, input=f"{PASSWORD}\n{PASSWORD}\n")
    assert made.exit_code == 1
    assert "plan" in made.output


@pytest.mark.parametrize("create", [registration.create, registration.create_concealed])
def test_creating_an_account_against_an_owners_constraint_names_it(app, constraint, create):
    with pytest.raises(registration.ConstraintViolated, match="plan"):
        create(NewAccount("eve@example.com", "eve", PASSWORD))


@pytest.mark.parametrize("taken", [{"email": "ADA@example.com"}, {"username": "ADA"}])
def test_an_email_address_or_username_of_another_account_is_taken(ada, taken):
    with pytest.raises(registration.Taken):
        registration.create(NewAccount(**{"email": "eve@example.com", "username": "eve", "password": PASSWORD} | taken))


def test_a_profile_sets_no_column_of_ours_but_the_language_and_the_time_zone(flask):
    ours = {column.name for column in User.__table__.columns} & {
        *email_ownership.KEPT,
        *email_ownership.CLEARED_COLUMNS,
    }
    create = ("users", "create", "--email", "eve@example.com", "--username", "eve", "--no-input")
    for name in ours - {"language", "time_zone"}:
        made = flask(*create, "--profile", f"{name}=1")
        assert (made.exit_code, f"Accounts have no column '{name}' that can be set" in made.stderr) == (2, True), name
    assert User.find("eve") is None
    assert flask(*create, "--profile", "time_zone=Europe/Berlin").exit_code == 0
    assert User.find("eve").time_zone == "Europe/Berlin"

"""Migrations and models agree, up, down and up again."""

from datetime import UTC, datetime

import pytest
from alembic.script import ScriptDirectory
from flask_migrate import check, downgrade, upgrade
from sqlalchemy import MetaData, inspect, select, text
from support.clients import on_sqlite
from support.migrations import DIRECTORY, fill, values
from support.ours import is_ours

from app.accounts import credentials, two_factor
from app.email.templates import Email
from app.extensions import db
from app.models import AuditAction, AuditEvent, OutboxEmail, Passkey, PasskeyRequirement, RemovedCredential, Role, User

BEFORE_THE_FIRST_RELEASE = {"7d1c2a9e4b60", "9b3f5d2c7a18"}  # rename tables and columns


@pytest.mark.extended
@pytest.mark.parametrize(("database", "people"), [("sqlite", 100), ("postgresql", 2_000)], indirect=["database"])
def test_migrations_run_up_down_and_up_again(app, people):
    """With so many people, and rows of a tenth of them in every other table.

    Each step down and up again keeps all that it does not make; rows whose parent was rebuilt would be missed.
    """
    fill(people)
    check(DIRECTORY)
    before = filled = values()
    revisions = [step.revision for step in ScriptDirectory(DIRECTORY).walk_revisions()]
    for down in revisions[1:]:
        downgrade(DIRECTORY, revision=down)
        schema = inspect(db.engine)
        kept = {name: {column["name"] for column in schema.get_columns(name)} for name in schema.get_table_names()}
        kept = {name: columns & before[name].keys() for name, columns in kept.items() if name in before}
        upgrade(DIRECTORY)
        after = values()
        for name, columns in kept.items():
            assert {column: before[name][column] for column in columns} == {
                column: after[name][column] for column in columns
            }, name
        before = after
    downgrade(DIRECTORY, revision="base")
    assert inspect(db.engine).get_table_names() == ["alembic_version"]
    upgrade(DIRECTORY)
    check(DIRECTORY)
    assert db.session.scalars(select(User)).all() == [], "nobody has an account that was not asked for"
    fill(people)
    assert values() == filled


@pytest.mark.extended
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_ids_of_history_and_outbox_have_64_bits(app):
    for table in ("audit_events", "outbox"):
        db.session.execute(text(f"SELECT setval('{table}_id_seq', {2**40})"))
    event = AuditEvent(action=AuditAction.LOGGED_IN)
    email = OutboxEmail(name=Email.ACCOUNT_DELETED, recipient="ada@example.com", message_id="x")
    db.session.add_all([event, email])
    db.session.commit()
    assert (event.id, email.id) == (2**40 + 1, 2**40 + 1)


@pytest.mark.extended
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_migrations_have_no_statement_timeout_but_later_connections_do(app):
    upgrade(DIRECTORY)
    with db.engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW statement_timeout").scalar() == "5s"


@on_sqlite
def test_older_code_runs_on_migrated_tables(app):
    """For a moment it does: the database comes first. No migration takes away or asks for what that code knows not."""
    steps = [step.revision for step in ScriptDirectory(DIRECTORY).walk_revisions()]
    downgrade(DIRECTORY, revision="base")
    before = {}
    for revision in reversed(steps):
        upgrade(DIRECTORY, revision=revision)
        schema = inspect(db.engine)
        after = {name: {made["name"]: made for made in schema.get_columns(name)} for name in schema.get_table_names()}
        for name, columns in before.items() if revision not in BEFORE_THE_FIRST_RELEASE else ():
            assert columns.keys() <= after.get(name, {}).keys(), (revision, name)
            for new in after[name].keys() - columns.keys():
                assert after[name][new]["nullable"] or after[name][new]["default"] is not None, (revision, name, new)
        before = after
        db.engine.dispose()


def test_accounts_with_two_factor_by_a_passkey_require_one_after_the_upgrade(app, ada, bob):
    """What the code of before had on stays on, and "This wasn't me" still restores what an attacker removed before."""
    since = datetime(2026, 1, 1, tzinfo=UTC)

    def passkey(user, event_id):
        keys = {"credential_id": f"{user.username}'s", "public_key": "x", "sign_count": 0}
        return Passkey(user_id=user.id, name="x", event_id=event_id, created_at=since, **keys)

    robbed = User(email="eve@example.com", username="eve", confirmed=True)
    ada.two_factor_enabled_at = since
    db.session.add(robbed)
    db.session.flush()
    db.session.add_all([passkey(ada, 3), passkey(bob, 4), removed := passkey(robbed, 5)])
    db.session.flush()
    db.session.add(RemovedCredential.keep(removed, event_id=7))
    db.session.delete(removed)
    db.session.commit()
    downgrade(DIRECTORY, revision="7d1c2a9e4b60")
    upgrade(DIRECTORY)
    required = [(row.user_id, row.event_id) for row in db.session.scalars(select(PasskeyRequirement))]
    assert required == [(ada.id, 3)], "bob's was not on"
    assert two_factor.was_on(robbed, before=7)
    assert not two_factor.was_on(robbed, before=5)
    credentials.roll_back(robbed, since=7)
    two_factor.follow_factors(robbed)
    assert two_factor.is_on(robbed)
    assert two_factor.passkey_state(robbed) == (True, True)


def test_administrators_keep_their_rights_as_a_role(app, ada, bob):
    ada.is_admin = True
    bob.role = db.session.get(Role, "moderator")
    db.session.commit()
    downgrade(DIRECTORY, revision="e37b63fbd631")
    was = "SELECT username, is_admin FROM users ORDER BY username"
    assert [(name, bool(is_admin)) for name, is_admin in db.session.execute(text(was))] == [
        ("ada", True),
        ("bob", False),
    ]
    db.session.remove()
    upgrade(DIRECTORY)
    roles = select(User.username, User.role_name).order_by(User.username)
    assert db.session.execute(roles).all() == [("ada", "administrator"), ("bob", "user")]


def test_constraints_of_models_are_in_the_database(app):
    tables = MetaData()
    tables.reflect(db.engine)
    for table in db.metadata.sorted_tables:
        made = tables.tables[table.name]
        assert {column.name: column.nullable for column in made.columns} == {
            column.name: column.nullable for column in table.columns
        }
        assert {key.ondelete for key in made.foreign_keys} == {key.ondelete for key in table.foreign_keys}


def test_deleting_a_user_deletes_rows_but_keeps_history(app, client, ada, outbox):
    client.log_in(ada)
    db.session.delete(db.session.get(User, ada.id))
    db.session.commit()
    ours = [mapper.local_table for mapper in db.Model.registry.mappers if is_ours(mapper.class_)]
    left = {table.name: len(db.session.execute(select(table)).all()) for table in ours}
    kept = {"audit_events": 1, "roles": left["roles"], "rate_limit_counters": left["rate_limit_counters"]}
    assert left == dict.fromkeys(left, 0) | kept, "counters name nobody"

"""The migrations and the models say the same, up, down and up again."""

from datetime import UTC, datetime

from clients import ROOT
from flask_migrate import check, downgrade, upgrade
from sqlalchemy import MetaData, insert, inspect, select

from app.extensions import db
from app.models import User

DIRECTORY = str(ROOT / "migrations")


def test_up_down_and_up_again(app, ada):
    """A row in every table, so that a rebuilt table that takes its children with it would be seen."""
    for table in db.metadata.sorted_tables:
        if table.name != "users":
            values = {column.name: _any(column) for column in table.columns if column.name != "id"}
            db.session.execute(insert(table).values(values | {"user_id": ada.id}))
    db.session.commit()
    check(DIRECTORY)
    before = {table.name: db.session.execute(select(table)).all() for table in db.metadata.sorted_tables}
    assert all(len(rows) == 1 for rows in before.values())
    db.session.remove()

    upgrade(DIRECTORY)
    assert {table.name: db.session.execute(select(table)).all() for table in db.metadata.sorted_tables} == before
    db.session.remove()
    downgrade(DIRECTORY, revision="base")
    assert inspect(db.engine).get_table_names() == ["alembic_version"]
    upgrade(DIRECTORY)
    check(DIRECTORY)


def test_the_database_holds_what_the_models_promise(app):
    tables = MetaData()
    tables.reflect(db.engine)
    for table in db.metadata.sorted_tables:
        made = tables.tables[table.name]
        assert {column.name: column.nullable for column in made.columns} == {
            column.name: column.nullable for column in table.columns
        }
        assert {key.ondelete for key in made.foreign_keys} == {key.ondelete for key in table.foreign_keys}


def test_rows_go_with_their_person_but_history_stays(app, client, ada, letters):
    client.sign_in(ada)
    db.session.delete(db.session.get(User, ada.id))
    db.session.commit()
    left = {table.name: len(db.session.execute(select(table)).all()) for table in db.metadata.sorted_tables}
    assert left == {"users": 0, "user_sessions": 0, "events": 1, "outbox": 0}


def _any(column):
    """Some value that a column takes."""
    kind = dict if column.name in {"detail", "details"} else column.type.python_type
    return {int: 1, bool: False, str: "x", dict: {}}.get(kind, datetime.now(UTC))

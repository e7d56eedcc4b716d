"""The migrations and the models say the same, up, down and up again."""

import hashlib
from datetime import UTC, datetime

from alembic.script import ScriptDirectory
from clients import ROOT
from flask_migrate import check, downgrade, upgrade
from sqlalchemy import MetaData, insert, inspect, select

from app.extensions import db
from app.models import User

DIRECTORY = str(ROOT / "migrations")


PEOPLE = 10_000


def test_up_down_and_up_again(app, database):
    """With ten thousand people and a row of theirs in every other table.

    Each step down and up again keeps every row of what it does not make; rows whose parent was rebuilt would be missed.
    """
    fill()
    before = sums()
    check(DIRECTORY)
    revisions = [step.revision for step in ScriptDirectory(DIRECTORY).walk_revisions()]
    for down in revisions[1:]:
        downgrade(DIRECTORY, revision=down)
        upgrade(DIRECTORY)
        assert sums() == before
    downgrade(DIRECTORY, revision="base")
    assert inspect(db.engine).get_table_names() == ["alembic_version"]
    upgrade(DIRECTORY)
    check(DIRECTORY)
    fill()
    assert sums() == before


def fill():
    """The same rows each time."""
    for table in db.metadata.sorted_tables:
        rows = [{column.name: _value(column, number) for column in table.columns} for number in range(1, PEOPLE + 1)]
        db.session.execute(insert(table), rows)
    db.session.commit()


def sums():
    """Of each table, how many rows it has and the hash of all that stands in them."""
    found = {}
    for table in db.metadata.sorted_tables:
        rows = [tuple(row) for row in db.session.execute(select(table).order_by(table.c.id))]
        found[table.name] = (len(rows), hashlib.sha256(repr(rows).encode()).hexdigest())
    db.session.remove()
    return found


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


def _value(column, number):
    """A value for a column of the row with this number."""
    if column.name in {"id", "user_id"}:
        return str(number) if column.type.python_type is str else number
    if column.name in {"detail", "details"}:
        return {"number": number}
    values = {
        int: number,
        bool: number % 2 == 0,
        str: f"{number}@{column.name}"[: getattr(column.type, "length", None)],
    }
    return values.get(column.type.python_type, datetime(2026, 1, 1, tzinfo=UTC))

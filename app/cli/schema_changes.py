# mypy: ignore-errors
"""What the databases forget while a migration changes tables, and what is done about it."""

from contextlib import contextmanager

from alembic.ddl.base import AddColumn
from sqlalchemy import Enum, Table, event, text
from sqlalchemy.dialects.postgresql import CreateEnumType

COPY = "_alembic_tmp_"  # what Alembic calls a table that is made anew

HAS_AUTOINCREMENT = text("SELECT 1 FROM sqlite_master WHERE name = :name AND sql LIKE '%AUTOINCREMENT%'")
KEEP_COUNT = text("INSERT INTO sqlite_sequence (name, seq) SELECT :copy, seq FROM sqlite_sequence WHERE name = :name")

HAS_TYPE = text("SELECT 1 FROM pg_type WHERE typname = :name AND pg_type_is_visible(oid)")
USED_ENUMS = """
    SELECT t.typname FROM pg_type t WHERE t.typtype = 'e' AND pg_type_is_visible(t.oid) AND {} EXISTS (
        SELECT 1 FROM pg_attribute a WHERE a.atttypid IN (t.oid, t.typarray) AND NOT a.attisdropped)
"""


def has_autoincrement(connection, name):
    return connection.scalar(HAS_AUTOINCREMENT, {"name": name}) is not None


@event.listens_for(Table, "before_create")
def _keep_autoincrement(table, connection, **_):
    """SQLite can alter little: Alembic makes the table anew, from what is reflected, and AUTOINCREMENT is not."""
    if connection.dialect.name == "sqlite" and (name := _copied(table)) and has_autoincrement(connection, name):
        table.dialect_options["sqlite"]["autoincrement"] = True


@event.listens_for(Table, "after_create")
def _keep_count(table, connection, **_):
    """No id is used a second time, those of deleted rows included."""
    if connection.dialect.name == "sqlite" and (name := _copied(table)) and has_autoincrement(connection, name):
        connection.execute(KEEP_COUNT, {"copy": table.name, "name": name})


def _copied(table):
    return table.name.removeprefix(COPY) if table.name.startswith(COPY) else None


@contextmanager
def enums_made_and_dropped(connection):
    """PostgreSQL: a column's enum type is made with the column, if it is not there. Yield a function for each step.

    It drops the types that no column has any more, of those that one had before.
    """
    if connection.dialect.name != "postgresql":
        yield lambda **_: None
        return
    event.listen(connection, "before_execute", _make_enum, retval=True)
    used = set(connection.scalars(text(USED_ENUMS.format(""))))
    connection.rollback()  # Alembic begins the transaction

    def drop_unused(**_):
        for name in used & set(connection.scalars(text(USED_ENUMS.format("NOT")))):
            quoted = connection.dialect.identifier_preparer.quote(name)
            connection.exec_driver_sql(f"DROP TYPE {quoted}")
        used.clear()
        used.update(connection.scalars(text(USED_ENUMS.format(""))))

    yield drop_unused
    event.remove(connection, "before_execute", _make_enum)


def _make_enum(connection, statement, multiparams, params, options):
    if isinstance(statement, CreateEnumType) and connection.scalar(HAS_TYPE, {"name": statement.element.name}):
        statement = text("SELECT 1")
    if isinstance(statement, AddColumn) and isinstance(statement.column.type, Enum):
        statement.column.type.create(connection, checkfirst=True)
    return statement, multiparams, params

"""What migrations need: AUTOINCREMENT is kept in SQLite, enum types and indexes are made with care in PostgreSQL."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from alembic import op
from alembic.ddl.base import AddColumn
from sqlalchemy import Connection, Enum, Table, event, text
from sqlalchemy.dialects.postgresql import CreateEnumType

COPY = "_alembic_tmp_"  # Alembic's prefix for a table that it recreates

HAS_AUTOINCREMENT = text("SELECT 1 FROM sqlite_master WHERE name = :name AND sql LIKE '%AUTOINCREMENT%'")
KEEP_COUNT = text("INSERT INTO sqlite_sequence (name, seq) SELECT :copy, seq FROM sqlite_sequence WHERE name = :name")

HAS_TYPE = text("SELECT 1 FROM pg_type WHERE typname = :name AND pg_type_is_visible(oid)")
USED_ENUMS = """
    SELECT t.typname FROM pg_type t WHERE t.typtype = 'e' AND pg_type_is_visible(t.oid) AND {} EXISTS (
        SELECT 1 FROM pg_attribute a WHERE a.atttypid IN (t.oid, t.typarray) AND NOT a.attisdropped)
"""


def create_index_concurrently(name: str, table: str, columns: list[Any], **options: Any) -> None:
    """Create an index while the site reads and writes the table. Give it a migration of its own.

    It ends the transaction of the migration. An index that a killed run left behind is replaced.
    """
    if op.get_context().dialect.name != "postgresql":
        op.create_index(name, table, columns, **options)
        return
    with op.get_context().autocommit_block():
        op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)
        op.create_index(name, table, columns, postgresql_concurrently=True, **options)


def has_autoincrement(connection: Connection, name: str) -> bool:
    return connection.scalar(HAS_AUTOINCREMENT, {"name": name}) is not None


@event.listens_for(Table, "before_create")
def _keep_autoincrement(table: Table, connection: Connection, **_: Any) -> None:
    """Recreate a table with its AUTOINCREMENT, which reflection does not report."""
    if connection.dialect.name == "sqlite" and (name := _copied(table)) and has_autoincrement(connection, name):
        table.dialect_options["sqlite"]["autoincrement"] = True


@event.listens_for(Table, "after_create")
def _keep_count(table: Table, connection: Connection, **_: Any) -> None:
    """Copy the counter of a recreated table, so that SQLite does not reuse the ids of deleted rows."""
    if connection.dialect.name == "sqlite" and (name := _copied(table)) and has_autoincrement(connection, name):
        connection.execute(KEEP_COUNT, {"copy": table.name, "name": name})


def _copied(table: Table) -> str | None:
    return table.name.removeprefix(COPY) if table.name.startswith(COPY) else None


@contextmanager
def managed_enums(connection: Connection) -> Iterator[Callable[..., None]]:
    """Create enum types with their columns in PostgreSQL, and yield a function that drops unused types after a step."""
    if connection.dialect.name != "postgresql":
        yield lambda **_: None
        return
    event.listen(connection, "before_execute", _create_enum, retval=True)
    used = set(connection.scalars(text(USED_ENUMS.format(""))))
    connection.rollback()  # Alembic begins the transaction

    def drop_unused(**_: Any) -> None:
        for name in used & set(connection.scalars(text(USED_ENUMS.format("NOT")))):
            quoted = connection.dialect.identifier_preparer.quote(name)
            connection.exec_driver_sql(f"DROP TYPE {quoted}")
        used.clear()
        used.update(connection.scalars(text(USED_ENUMS.format(""))))

    yield drop_unused
    event.remove(connection, "before_execute", _create_enum)


def _create_enum(connection: Connection, statement: Any, multiparams: Any, params: Any, options: Any) -> Any:
    if isinstance(statement, CreateEnumType) and connection.scalar(HAS_TYPE, {"name": statement.element.name}):
        statement = text("SELECT 1")
    if isinstance(statement, AddColumn) and isinstance(statement.column.type, Enum):
        statement.column.type.create(connection, checkfirst=True)
    return statement, multiparams, params

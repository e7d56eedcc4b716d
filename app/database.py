"""The base class and column types of models, and the preparation of connections to SQLite and PostgreSQL."""

import select
import sqlite3
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Engine, Pool, event
from sqlalchemy.exc import DisconnectionError, IntegrityError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapper, registry
from sqlalchemy.pool import ConnectionPoolEntry

from app import metrics

# For tables that grow with every request. SQLite autoincrements only INTEGER, which has 64 bits there.
WideId = sa.BigInteger().with_variant(sa.Integer, "sqlite")


class UtcDateTime(sa.TypeDecorator[datetime]):
    """A timezone-aware datetime in UTC. SQLite stores no time zone, so reading adds it. Naive datetimes are refused."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True
    python_type = datetime

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        return value and _aware(value).astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        return value and (value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC))


def _aware(value: datetime) -> datetime:
    if value.utcoffset() is None:
        raise ValueError(f"{value!r} has no time zone. Use clock.now(), or datetime(..., tzinfo=UTC).")
    return value


class Base(DeclarativeBase):
    """The base class of models. Migrations need the names of constraints; ids are never reused."""

    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    registry = registry(type_annotation_map={datetime: UtcDateTime}, metadata=metadata)
    __table_args__: Any = {"sqlite_autoincrement": True}


def violated_constraint(error: IntegrityError) -> str:
    """Return the database's message about the violated constraint, without the row, which may contain a hash."""
    diagnosis = getattr(error.orig, "diag", None)
    if diagnosis is None:
        return str(error.orig)
    advice = ". The sequence of its ids is behind: run flask fix-sequences" if _is_id_taken(error) else ""
    return f"{diagnosis.message_primary} ({diagnosis.constraint_name or diagnosis.column_name}){advice}"


def _is_id_taken(error: IntegrityError) -> bool:
    """Return whether PostgreSQL gave a new row the id of another one, as after a copy of rows without sequences."""
    diagnosis = getattr(error.orig, "diag", None)
    if diagnosis is None or diagnosis.constraint_name != f"pk_{diagnosis.table_name}":
        return False
    table = Base.metadata.tables.get(diagnosis.table_name)
    return table is not None and table.autoincrement_column is not None


def is_duplicate(error: IntegrityError, *columns: str) -> bool:
    """Return whether the unique constraint of these columns was violated.

    Args:
        columns: with their table, such as "users.email_key". The default is any unique constraint or foreign key,
            which fail if another request was faster; but not a number that PostgreSQL chose.
    """
    rule = violated_constraint(error)
    if _is_id_taken(error):
        return False
    if not columns:
        return getattr(error.orig, "sqlstate", None) == "23505" or rule.startswith("UNIQUE") or is_orphan(error)
    names = {name for column in columns for name in (column, f"uq_{column.replace('.', '_')}")}
    diagnosis = getattr(error.orig, "diag", None)
    return (diagnosis.constraint_name if diagnosis else rule.removeprefix("UNIQUE constraint failed: ")) in names


def is_orphan(error: IntegrityError) -> bool:
    """Return whether a foreign key was violated, as by a row about an account that another request has deleted."""
    return getattr(error.orig, "sqlstate", None) == "23503" or str(error.orig).startswith("FOREIGN KEY")


@event.listens_for(Mapper, "mapper_configured")
def _refuse_naive(mapper: Mapper[Any], model: type[Any]) -> None:
    """Refuse a naive datetime on assignment, not on the later flush, so that the traceback shows the mistake."""
    for attribute in mapper.column_attrs:
        if isinstance(attribute.columns[0].type, UtcDateTime):
            event.listen(getattr(model, attribute.key), "set", _check_assigned)


def _check_assigned(instance: object, value: object, *_: object) -> None:
    if isinstance(value, datetime):
        _aware(value)


@event.listens_for(Engine, "connect")
def _prepare_sqlite(connection: object, record: object) -> None:
    if isinstance(connection, sqlite3.Connection):
        # The connection in autocommit mode is for rate limits: a power failure may lose the latest counts.
        synchronous = "NORMAL" if connection.isolation_level is None else "FULL"
        for pragma in ("foreign_keys=ON", "journal_mode=WAL", f"synchronous={synchronous}"):
            connection.execute(f"PRAGMA {pragma}").close()


@event.listens_for(Pool, "checkout")
def _refuse_closed_connection(connection: Any, record: object, fairy: object) -> None:
    """Refuse a pooled connection that the server has closed, which is readable then.

    After a restart of PostgreSQL this is as reliable as SQLAlchemy's pre-ping, and saves its round trip.
    """
    if not isinstance(connection, sqlite3.Connection) and (connection.closed or _is_readable(connection.fileno())):
        raise DisconnectionError


@event.listens_for(Pool, "checkout")
def _count_checkout(connection: object, record: ConnectionPoolEntry, fairy: object) -> None:
    if record.record_info is not None:
        record.record_info["is_counted"] = True
        metrics.connections.inc()


@event.listens_for(Pool, "checkin")
def _count_checkin(connection: object, record: ConnectionPoolEntry) -> None:
    if record.record_info and record.record_info.pop("is_counted", False):  # unless it was lost before
        metrics.connections.dec()


def _is_readable(socket: int) -> bool:
    if not hasattr(select, "poll"):  # Windows, where select() accepts any socket
        return bool(select.select([socket], [], [], 0)[0])
    poll = select.poll()
    poll.register(socket, select.POLLIN)
    return bool(poll.poll(0))


@event.listens_for(Engine, "handle_error")
def _disconnect_from_standby(context: sa.ExceptionContext) -> OperationalError | None:
    """Treat a server that became a read-only standby as disconnected, so that the next connection finds the primary."""
    error = context.original_exception
    if getattr(error, "sqlstate", None) != "25006":  # read_only_sql_transaction
        return None
    context.is_disconnect = True
    return OperationalError(context.statement, None, error, hide_parameters=True, connection_invalidated=True)

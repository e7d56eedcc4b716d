"""What every table has in common, and what SQLite must be told."""

import select
import sqlite3
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    DateTime,
    Dialect,
    Engine,
    ExceptionContext,
    Integer,
    MetaData,
    Pool,
    TypeDecorator,
    event,
)
from sqlalchemy.exc import DisconnectionError, IntegrityError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapper, registry

# For tables that get a row with everything that anybody does. SQLite counts by INTEGER alone, which has 64 bits there.
WideId = BigInteger().with_variant(Integer, "sqlite")


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC, aware on both sides. SQLite keeps no time zone: it is put back on reading.

    A naive datetime is refused with a ValueError: which moment it means is anybody's guess.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value and _aware(value).astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value and (value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC))


def _aware(value: datetime) -> datetime:
    if value.utcoffset() is None:
        raise ValueError(f"{value!r} has no time zone. Use clock.now(), or datetime(..., tzinfo=UTC).")
    return value


class Base(DeclarativeBase):
    """Every constraint has a name, so that a migration can speak of it. No id is ever used a second time."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    registry = registry(type_annotation_map={datetime: UtcDateTime}, metadata=metadata)
    __table_args__: Any = {"sqlite_autoincrement": True}


def broken_rule(error: IntegrityError) -> str:
    """Return which rule of the database a row breaks, in its own words, without the row: that may hold a hash."""
    diagnosis = getattr(error.orig, "diag", None)
    if diagnosis is None:
        return str(error.orig)
    return f"{diagnosis.message_primary} ({diagnosis.constraint_name or diagnosis.column_name})"


def is_duplicate(error: IntegrityError, *columns: str) -> bool:
    """Say whether the broken rule is that these columns of a table, such as "users.email_key", have no value twice.

    Without columns: whether it is any such rule, or a foreign key, as when another request was faster.
    """
    rule = broken_rule(error)
    if not columns:
        state = getattr(error.orig, "sqlstate", None)
        return state in {"23505", "23503"} if state else rule.startswith(("UNIQUE", "FOREIGN KEY"))
    names = {name for column in columns for name in (column, f"uq_{column.replace('.', '_')}")}
    diagnosis = getattr(error.orig, "diag", None)
    return (diagnosis.constraint_name if diagnosis else rule.removeprefix("UNIQUE constraint failed: ")) in names


@event.listens_for(Mapper, "mapper_configured")
def _refuse_naive(mapper: Mapper[Any], model: type[Any]) -> None:
    """Refuse a naive datetime when it is assigned, where the mistake is, and not only when it is written."""
    for attribute in mapper.column_attrs:
        if isinstance(attribute.columns[0].type, UtcDateTime):
            event.listen(getattr(model, attribute.key), "set", _check_assigned)


def _check_assigned(instance: object, value: object, *_: object) -> None:
    if isinstance(value, datetime):
        _aware(value)


@event.listens_for(Engine, "connect")
def _prepare_sqlite(connection: object, record: object) -> None:
    if isinstance(connection, sqlite3.Connection):
        # Without transactions it is for counts, of which the last may be lost when the power fails.
        synchronous = "NORMAL" if connection.isolation_level is None else "FULL"
        for pragma in ("foreign_keys=ON", "journal_mode=WAL", f"synchronous={synchronous}"):
            connection.execute(f"PRAGMA {pragma}").close()


@event.listens_for(Pool, "checkout")
def _leave_who_hung_up(connection: Any, record: object, fairy: object) -> None:
    """Take no connection that the server has ended meanwhile: it has said so, or closed, so there is something to read.

    As sure as SQLAlchemy's pre-ping after a restart of PostgreSQL, and without its round trip.
    """
    if isinstance(connection, sqlite3.Connection):
        return
    if connection.closed:
        raise DisconnectionError
    if _has_something_to_read(connection.fileno()):
        raise DisconnectionError


def _has_something_to_read(socket: int) -> bool:
    if not hasattr(select, "poll"):  # on Windows, where select() has no limit that a server reaches
        return bool(select.select([socket], [], [], 0)[0])
    looking = select.poll()
    looking.register(socket, select.POLLIN)
    return bool(looking.poll(0))


@event.listens_for(Engine, "handle_error")
def _leave_a_follower(context: ExceptionContext) -> OperationalError | None:
    """A server that takes no writes, since another leads by now, is left as if it had hung up."""
    error = context.original_exception
    if getattr(error, "sqlstate", None) != "25006":  # read_only_sql_transaction
        return None
    context.is_disconnect = True
    return OperationalError(context.statement, None, error, hide_parameters=True, connection_invalidated=True)

"""Control how a request uses database connections: in autocommit mode, released for a while, or a second one."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, func, inspect, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, make_transient_to_detached
from sqlalchemy.orm.attributes import set_committed_value
from sqlalchemy.orm.util import identity_key

from app.extensions import Model, db

log = logging.getLogger(__name__)

Row = TypeVar("Row", bound=Model)


def reading_connection() -> Connection:
    """Return a connection for a query outside the session's transaction.

    On PostgreSQL its pool is in autocommit mode, which saves two round trips and the switch to this mode.
    """
    return (db.engines["lookups"] if db.engine.dialect.name == "postgresql" else db.engine).connect()


def partly_loaded(session: Session, model: type[Row], names: Sequence[str], values: Sequence[Any]) -> Row:
    """Return the object of a row of which only these columns were read, for session.add().

    The others are loaded together when one of them is asked for.

    Args:
        names: the primary key, a single column, comes first.
    """
    known: Row | None = session.identity_map.get(identity_key(model, values[0]))
    if known:
        for name, value in zip(names, values, strict=True) if known not in session.dirty else ():
            set_committed_value(known, name, value)
        return known
    instance = cast(Row, inspect(model).class_manager.new_instance())  # without __init__(), as SQLAlchemy does
    vars(instance).update(zip(names, values, strict=True))
    make_transient_to_detached(instance)  # expires what is not in its __dict__
    return instance


def tell_loaded(*instances: Model) -> None:
    """Call what waits for the loading of these objects, such as reconstructors, as SQLAlchemy does."""
    for instance in instances:
        state = inspect(instance)
        state.manager.dispatch.load(state, None)


def is_only_for_the_orm(session: Session, model: type[Model]) -> bool:
    """Return whether an application has subclasses of this model, or adds criteria to the session's queries."""
    return inspect(model).polymorphic_on is not None or bool(session.dispatch.do_orm_execute)


def close_session(_: BaseException | None) -> None:
    """Close the session at the end of a request. A lost connection must not break a finished response."""
    try:
        db.session.remove()
    except DBAPIError as error:
        log.error("Database: %s", error.orig)
        db.session.registry.clear()  # a broken session can't be closed; the pool reclaims its connection


@contextmanager
def released_connection() -> Iterator[None]:
    """Return this request's connection to the pool during the block, unless the request has written something.

    Loaded objects keep their values, and what waits for the commit still does.
    """
    session = db.session()
    loaded, info = list(session), dict(session.info)
    if session.deleted or not session.in_transaction() or _has_written(session):
        yield
        return
    session.close()
    try:
        yield
    finally:
        session.info.update(info)
        session.add_all(loaded)


@contextmanager
def counting_connection() -> Iterator[Connection]:
    """Yield a connection in autocommit mode for counters, which must survive a rollback of this request.

    SQLite has one write lock: while this request's transaction holds it, the session's connection is used.
    """
    session = db.session()
    if db.engine.dialect.name == "sqlite" and session.in_transaction() and _has_written(session):
        yield session.connection()
        return
    with db.engines["rate_limits"].connect() as connection:
        yield connection


def _has_written(session: Session) -> bool:
    connection = session.connection()
    if connection.dialect.name == "sqlite":
        return bool(getattr(connection.connection.dbapi_connection, "in_transaction", True))
    return connection.scalar(select(func.pg_current_xact_id_if_assigned())) is not None

"""Control how a request uses database connections: in autocommit mode, released for a while, or a second one."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.extensions import db

log = logging.getLogger(__name__)

View = TypeVar("View", bound=Callable[..., Any])


def only_reads(view: View) -> View:
    """Mark a view that changes no rows, so that its queries need no transaction."""
    view.only_reads = True  # type: ignore[attr-defined]
    return view


def read_without_transaction() -> None:
    """Run the following queries of this request in autocommit mode, which saves two round trips to PostgreSQL."""
    if db.engine.dialect.name == "postgresql":
        db.session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})


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

    Loaded objects keep their values.
    """
    session = db.session()
    loaded = list(session)
    if session.deleted or not session.in_transaction() or _has_written(session):
        yield
        return
    session.close()
    try:
        yield
    finally:
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

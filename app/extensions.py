"""The extensions, unbound. create_app() binds them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import flask_login
from flask import Flask, current_app
from flask_mail import Mail
from flask_sqlalchemy import SQLAlchemy
from flask_wtf import CSRFProtect
from sqlalchemy import Connection, CursorResult, Delete, Insert, Update, func, select, text
from sqlalchemy.orm import Session

from app.database import Base
from app.signals import SignalingSession

View = TypeVar("View", bound=Callable[..., Any])


class LoginManager(flask_login.LoginManager):
    """Flask-Login without its remember cookie: "Keep me logged in" is a permanent session cookie and a row that lasts.

    Its own init_app() also registers an after_request hook for that cookie. The hook reads the session on every
    response, so that even static files and probes would carry `Vary: Cookie`.
    """

    def init_app(self, app: Flask, add_context_processor: bool = True) -> None:
        app.login_manager = self  # type: ignore[attr-defined]
        if add_context_processor:
            app.context_processor(lambda: {"current_user": flask_login.current_user})


csrf = CSRFProtect()
db = SQLAlchemy(model_class=Base, session_options={"class_": SignalingSession})
login_manager = LoginManager()
login_manager.session_protection = None  # phones change networks; a session is a row, which can be ended
mail = Mail()

# The class that tables are made from; a type checker can't see what Flask-SQLAlchemy makes of Base.
if TYPE_CHECKING:
    Model = Base
else:
    Model = db.Model


def rows_changed(statement: Delete | Insert | Update) -> int:
    """Execute a statement and return how many rows it concerned: what decides between two who want the same."""
    return cast("CursorResult[object]", db.session.execute(statement)).rowcount


def migrations() -> tuple[str, str]:
    """Return at which migration the database is, and the newest that there is; of several, all of them."""
    found = db.session.scalars(text("SELECT version_num FROM alembic_version ORDER BY version_num")).all()
    newest, _ = migration_files(current_app.extensions["migrate"].directory)
    return ", ".join(found), ", ".join(newest)


def migration_files(directory: str) -> tuple[list[str], frozenset[str]]:
    """Return the newest migrations of a directory, and all of them. A running server sees those that are added."""
    return _migration_files(directory, Path(directory, "versions").stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _migration_files(directory: str, modified: int) -> tuple[list[str], frozenset[str]]:
    from alembic.script import ScriptDirectory  # costs as much as a small application: only when needed

    script = ScriptDirectory(directory)
    return sorted(script.get_heads()), frozenset(step.revision for step in script.walk_revisions())


def only_reads(view: View) -> View:
    """Mark a view that changes no row, so that its queries need no transaction."""
    view.only_reads = True  # type: ignore[attr-defined]
    return view


def read_without_transaction() -> None:
    """Ask what follows in this request without a transaction: on PostgreSQL that is two round trips less."""
    if db.engine.dialect.name == "postgresql":
        db.session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})


@contextmanager
def connection_given_back() -> Iterator[None]:
    """Hold no connection meanwhile, if nothing has been written. What was loaded stays as it was."""
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
    """Lend a connection on which each statement is a transaction of its own.

    SQLite has one lock for writing: if this request's transaction holds it, the connection is that one's.
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

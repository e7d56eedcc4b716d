"""The Flask extensions, which create_app() binds to an application."""

from typing import TYPE_CHECKING, Any, ClassVar, cast

import flask_login
from flask import Flask
from flask_mail import Mail
from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.query import Query
from flask_wtf import CSRFProtect
from sqlalchemy import CursorResult, Delete, Insert, Update
from sqlalchemy.dialects import postgresql, sqlite

from app.database import Base
from app.signals import SignalingSession


class LoginManager(flask_login.LoginManager):
    """Flask-Login without its remember cookie: "Keep me logged in" makes the session cookie permanent.

    Flask-Login's init_app() also registers an after_request hook for that cookie, which reads the session on every
    response. Even static files and probes would get `Vary: Cookie`.
    """

    def init_app(self, app: Flask, add_context_processor: bool = True) -> None:
        app.login_manager = self  # type: ignore[attr-defined]
        # page_context() of app/auth/account_state.py passes `current_user` to templates.


csrf = CSRFProtect()
db = SQLAlchemy(model_class=Base, session_options={"class_": SignalingSession})
login_manager = LoginManager()
login_manager.session_protection = None  # phones change networks; a session is a row that can be revoked
mail = Mail()

# The base class of models. A type checker can't follow how Flask-SQLAlchemy derives it from Base.
if TYPE_CHECKING:

    class Model(Base):
        __abstract__ = True
        query: ClassVar[Query]
else:
    Model = db.Model


def insert_into(model: "type[Model]") -> Any:
    """Return an INSERT of the database's dialect, which has ON CONFLICT."""
    return {"sqlite": sqlite.insert, "postgresql": postgresql.insert}[db.engine.dialect.name](model)


def rows_changed(statement: Delete | Insert | Update) -> int:
    """Execute a statement and return the number of changed rows, which decides between concurrent requests."""
    return cast("CursorResult[object]", db.session.execute(statement)).rowcount

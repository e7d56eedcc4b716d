"""The extensions, unbound. create_app() binds them."""

from typing import TYPE_CHECKING, cast

from flask_bootstrap import Bootstrap5
from flask_login import LoginManager
from flask_mail import Mail
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from flask_wtf import CSRFProtect
from sqlalchemy import CursorResult, Delete, Insert, Update

from app.database import Base

bootstrap = Bootstrap5()
csrf = CSRFProtect()
db = SQLAlchemy(model_class=Base)
login_manager = LoginManager()
login_manager.session_protection = None  # phones change networks; a session is a row, which can be ended
mail = Mail()
migrate = Migrate()

# The class that tables are made from; a type checker can't see what Flask-SQLAlchemy makes of Base.
if TYPE_CHECKING:
    Model = Base
else:
    Model = db.Model


def rows_changed(statement: Delete | Insert | Update) -> int:
    """Execute a statement and return how many rows it concerned: what decides between two who want the same."""
    return cast("CursorResult[object]", db.session.execute(statement)).rowcount

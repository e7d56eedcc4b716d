"""What machines ask: is the process alive, is it of use? They get a word, no session and no cookie."""

import logging
from functools import cache

from flask import current_app
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from app.extensions import db
from app.main.views import bp

log = logging.getLogger(__name__)


@bp.route("/healthz")
def healthz():
    return _word("ok", 200)


@bp.route("/readyz")
def readyz():
    try:
        found = db.session.scalar(text("SELECT version_num FROM alembic_version"))
    except SQLAlchemyError as error:
        log.error("Not ready: %s", type(error).__name__)
        return _word("not ready", 503)
    if found != _head(current_app.extensions["migrate"].directory):
        log.error("Not ready: the database is at migration %s. Run: flask db upgrade", found)
        return _word("not ready", 503)
    return _word("ready", 200)


@cache
def _head(directory):
    """The newest migration."""
    from alembic.script import ScriptDirectory

    return ScriptDirectory(directory).get_current_head()


def _word(word, status):
    return f"{word}\n", status, {"Content-Type": "text/plain; charset=utf-8"}

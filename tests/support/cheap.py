"""The application in production, as gunicorn loads it for the tests that must be fast: `gunicorn cheap:app`.

It differs from `flasky:app` in this and in nothing else:
- passwords are hashed with one round, not for a fifth of a second;
- an answer says which process gave it;
- if the file that KILL_AT_COMMIT names is there, the next commit takes it away and kills the process with SIGKILL:
  before the database hears of the commit if the file says "before", once it is done if it says "after".
"""

import os
import signal
from pathlib import Path

from sqlalchemy import Engine, event
from sqlalchemy.orm import Session

from app import create_app

app = create_app("production", PASSWORD_HASH="pbkdf2:sha256:1")
order = Path(os.environ.get("KILL_AT_COMMIT") or "/nowhere")


@app.after_request
def say_who(response):
    response.headers["X-Process"] = os.getpid()
    return response


@event.listens_for(Engine, "commit")  # all is written, and the database is asked to commit next
def _before_commit(connection):
    _die("before")


@event.listens_for(Session, "after_commit")
def _after_commit(session):
    _die("after")


def _die(moment):
    if order.exists() and order.read_text() == moment:
        order.unlink()
        os.kill(os.getpid(), signal.SIGKILL)

# mypy: ignore-errors
"""What machines ask: is the process alive, is it of use? They get a word, no session and no cookie."""

import logging

from flask import abort, current_app, jsonify, request
from sqlalchemy.exc import SQLAlchemyError

from app import schema
from app.main.views import bp
from app.security import signing
from app.security.token_purposes import TokenPurpose
from app.web.proxies import IS_TRUSTED

log = logging.getLogger(__name__)


@bp.route("/healthz")
def healthz():
    return _word("ok", 200)


@bp.route("/healthz/<question>")
def arrived(question):
    """What is left of a request of `flask doctor` when it has passed all proxies. There is no such page for others."""
    if not signing.verify(question, TokenPurpose.DOCTOR):
        abort(404)
    return jsonify(
        forwarded_for=request.headers.get("X-Forwarded-For", ""),
        ip=request.remote_addr,
        is_secure=request.is_secure,
        host=request.host,
        is_proxy_trusted=request.environ[IS_TRUSTED],
    )


@bp.route("/readyz")
def readyz():
    try:
        problem = schema.problem()
    except SQLAlchemyError as error:
        problem = f"{type(error).__name__}. Is DATABASE_URL right, and does the database run?"
    if problem is None:
        return _word("ready", 200)
    log.error("Not ready: %s", problem)  # strangers learn nothing of it
    is_developer = current_app.config["CONFIG_NAME"] == "development"
    return _word(f"not ready\n{problem}" if is_developer else "not ready", 503)


def _word(word, status):
    return f"{word}\n", status, {"Content-Type": "text/plain; charset=utf-8"}

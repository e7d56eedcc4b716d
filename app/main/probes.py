"""Health checks for load balancers and monitoring. They use no session and set no cookie."""

import logging
import os

from flask import abort, current_app, jsonify, request
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import SQLAlchemyError

from app import schema
from app.accounts.jobs import in_words
from app.doctor import database_errors, disks
from app.main.views import bp
from app.security import signing
from app.security.token_purposes import TokenPurpose
from app.web.hosts import IS_TRUSTED

log = logging.getLogger(__name__)


@bp.route("/healthz")
def healthz() -> ResponseReturnValue:
    return _plain_text("ok", 200)


@bp.route("/healthz/<challenge>")
def arrived(challenge: str) -> ResponseReturnValue:
    """Tell `flask doctor` how its request arrived through all proxies. Other visitors get 404."""
    if not signing.verify(challenge, TokenPurpose.DOCTOR):
        abort(404)
    return jsonify(
        forwarded_for=request.headers.get("X-Forwarded-For", ""),
        ip=request.remote_addr,
        is_secure=request.is_secure,
        host=request.host,
        is_proxy_trusted=request.environ[IS_TRUSTED],
        has_own_configuration="GUNICORN_CONF" in os.environ or "gunicorn" not in os.environ.get("SERVER_SOFTWARE", ""),
    )


@bp.route("/readyz")
def readyz() -> ResponseReturnValue:
    try:
        problem = schema.problem(was_ready="was_ready" in current_app.extensions) or disks.unwritable_database()
    except SQLAlchemyError as error:
        problem = database_errors.explain(error)
    except Exception as error:  # of a file in migrations/, or of that folder
        problem = f"The migrations can't be read: {in_words(error)}. Run: flask db heads"
    if problem is None:
        current_app.extensions["was_ready"] = True
        return _plain_text("ready", 200)
    log.error("Not ready: %s", problem)  # the response is public
    is_developer = current_app.config["CONFIG_NAME"] == "development"
    return _plain_text(f"not ready\n{problem}" if is_developer else "not ready", 503)


def _plain_text(text: str, status: int) -> ResponseReturnValue:
    return f"{text}\n", status, {"Content-Type": "text/plain; charset=utf-8"}

"""What machines ask: is the process alive, is it of use? They get a word, no session and no cookie."""

import logging

from flask import abort, jsonify, request
from sqlalchemy.exc import SQLAlchemyError

from app import tokens
from app.extensions import migrations
from app.main.proxies import IS_TRUSTED
from app.main.views import bp

log = logging.getLogger(__name__)


@bp.route("/healthz")
def healthz():
    return _word("ok", 200)


@bp.route("/healthz/<question>")
def arrived(question):
    """What is left of a request of `flask doctor` when it has passed all proxies. There is no such page for others."""
    if not tokens.read("doctor", question):
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
        found, newest = migrations()
    except SQLAlchemyError as error:
        log.error("Not ready: %s", type(error).__name__)
        return _word("not ready", 503)
    if found != newest:
        log.error("Not ready: the database is at migration %s. Run: flask db upgrade", found)
        return _word("not ready", 503)
    return _word("ready", 200)


def _word(word, status):
    return f"{word}\n", status, {"Content-Type": "text/plain; charset=utf-8"}

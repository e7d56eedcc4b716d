"""Log one line per request and per event, with the request's id and without secrets; as JSON in production."""

import json
import logging
import re
import secrets
import time
from typing import TextIO, cast

from flask import Flask, Response, has_request_context, request
from flask.logging import default_handler, wsgi_errors_stream

from app import clock
from app.request_state import state

TOKEN = re.compile(r"eyJ[\w.-]+")  # a JWS
MAX_LOGGED = 500  # characters of a path

requests = logging.getLogger("request")


class Json(logging.Formatter):
    """Formats a record as a JSON object in one line, so that no field can forge another line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {"at": clock.now().isoformat(), "level": record.levelname, "logger": record.name}
        line |= {"message": record.getMessage()} | getattr(record, "fields", {})
        if has_request_context() and state.request_id:
            line["request_id"] = state.request_id
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return TOKEN.sub("<token>", json.dumps(line, default=str))


class Plain(logging.Formatter):
    """Formats a record for a terminal, with control characters escaped."""

    def format(self, record: logging.LogRecord) -> str:
        fields = " ".join(f"{name}={value}" for name, value in getattr(record, "fields", {}).items())
        line = re.sub(r"\x1b\[[\d;]*m", "", record.getMessage())  # Werkzeug's colours
        line = re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", lambda found: repr(found[0])[1:-1], line)
        text = f"{clock.now():%H:%M:%S} {record.name} {line} {fields}".rstrip()
        text = f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text
        return TOKEN.sub("<token>", text)


def init_app(app: Flask) -> None:
    """Log to the server's error stream, which is stderr, as process managers expect."""
    handler = logging.StreamHandler(cast(TextIO, wsgi_errors_stream))
    handler.setFormatter(Json() if app.config["CONFIG_NAME"] == "production" else Plain())
    root = logging.getLogger()
    if not app.testing and not any(isinstance(known.formatter, Json | Plain) for known in root.handlers):
        root.addHandler(handler)
        root.setLevel(logging.INFO)
        app.logger.removeHandler(default_handler)
    app.before_request(_start)
    app.after_request(_finish)


def _start() -> None:
    state.request_id, state.began_at = secrets.token_hex(8), time.perf_counter()


def _finish(response: Response) -> Response:
    """Log the request, without its query and without the token in its path."""
    milliseconds = round((time.perf_counter() - state.began_at) * 1000) if state.began_at else None
    path = TOKEN.sub("<token>", request.path[:MAX_LOGGED])
    fields = {"ms": milliseconds, "ip": request.remote_addr}
    requests.info("%s %s %s", request.method, path, response.status_code, extra={"fields": fields})
    response.headers["X-Request-ID"] = state.request_id
    return response

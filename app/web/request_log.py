"""Log one line per request and per event, with an id and without secrets; as JSON in production (docs/logs.md).

The fields of a line are named as in the Elastic Common Schema: `log.info("...", extra={"event.action": "..."})`.
"""

import logging
import re
import sys
import time

from flask import Flask, Response, has_app_context
from flask.logging import default_handler

from app import clock, metrics
from app.request_state import current_request, current_state, new_id, state
from app.security import origin
from settings import log_format
from settings.log_format import TOKEN

REPEAT_AFTER = 60  # seconds
MAX_REMEMBERED = 1000  # messages
FACTS = {"request", "security", "email", "app"}  # loggers with a line for each event; "app" has those of status 500

requests = logging.getLogger("request")


class Json(log_format.Json):
    """Adds the id of the request, command, email or job, and the user who is logged in."""

    def format(self, record: logging.LogRecord) -> str:
        if has_app_context():
            state = current_state()
            record.__dict__.setdefault("trace.id", state.request_id)
            record.__dict__.setdefault("user.id", state.user_id and str(state.user_id))
        return super().format(record)


class Plain(logging.Formatter):
    """Formats a record for a terminal, with control characters escaped."""

    def format(self, record: logging.LogRecord) -> str:
        fields = " ".join(f"{name}={value}" for name, value in vars(record).items() if "." in name and value)
        line = re.sub(r"\x1b\[[\d;]*m", "", record.getMessage())  # Werkzeug's colours
        line = f"{clock.now():%H:%M:%S} {record.name} {line} {fields}".rstrip()
        line = re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", lambda found: repr(found[0])[1:-1], line)
        text = f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line
        return TOKEN.sub("<token>", text)


class Repetitions(logging.Filter):
    """Passes a message once a minute, and counts the others, so that a failing service does not flood the log."""

    def __init__(self) -> None:
        super().__init__()
        self.last: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name in FACTS:
            return True
        key, now = (record.name, record.getMessage()), time.monotonic()
        at, dropped = self.last.get(key, (-REPEAT_AFTER, 0))
        if now - at < REPEAT_AFTER:
            self.last[key] = at, dropped + 1
            return False
        if len(self.last) >= MAX_REMEMBERED:
            self.last.clear()
        self.last[key] = now, 0
        record.__dict__["labels.repetitions"] = dropped or None
        return True


def init_app(app: Flask) -> None:
    """Log to stderr, as process managers expect."""
    handler = logging.StreamHandler()  # stderr
    is_for_programs = app.config["CONFIG_NAME"] == "production" and not sys.stderr.isatty()
    handler.setFormatter(Json() if is_for_programs else Plain())
    handler.addFilter(Repetitions())
    root = logging.getLogger()
    if not app.testing and not any(isinstance(known.formatter, Json | Plain) for known in root.handlers):
        root.addHandler(handler)
        root.setLevel(logging.INFO)
        app.logger.removeHandler(default_handler)
    logging.getLogger("alembic.runtime.plugins").setLevel(logging.WARNING)
    logging.getLogger("alembic.runtime.migration").addFilter(_is_step)
    app.before_request(_start)
    app.after_request(_finish)
    app.jinja_env.globals["request_id"] = lambda: state.request_id


def _is_step(record: logging.LogRecord) -> bool:
    """Return whether Alembic tells that a migration runs."""
    return record.msg.startswith("Running")


def _start() -> None:
    state = current_state()
    state.request_id, state.began_at, state.user_id, state.reason = new_id(), time.perf_counter(), None, ""


def _finish(response: Response) -> Response:
    """Log the request, without its query and without the token in its path."""
    request, state = current_request(), current_state()
    path, method = origin.path_for_log(), request.method
    seconds = time.perf_counter() - state.began_at if state.began_at else None
    fields = {
        "http.request.method": method,
        "http.response.status_code": response.status_code,
        "url.path": path,
        "client.ip": request.remote_addr,
        "event.duration": None if seconds is None else round(seconds * 1e9),
        "event.reason": state.reason or None,
    }
    endpoint = request.endpoint or "none"
    metrics.requests.labels(endpoint, response.status_code).inc()
    metrics.duration.labels(endpoint).observe(seconds or 0)
    requests.info("%s %s %s", method, path, response.status_code, extra=fields)
    response.headers["X-Request-ID"] = state.request_id
    return response

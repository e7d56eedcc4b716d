"""Format the lines of the log, of the application and of gunicorn, in the Elastic Common Schema: docs/logs.md."""

import logging
import re
from datetime import UTC
from typing import Any

from pythonjsonlogger.json import JsonFormatter

TOKEN = re.compile(r"eyJ[\w.-]+")  # a JWS
FIELDS = {  # of a line, by the attribute of Python's LogRecord
    "levelname": "log.level",
    "name": "log.logger",
    "message": "message",
    "process": "process.pid",
    "threadName": "process.thread.name",
    "exc_info": "error.stack_trace",
}


class Json(JsonFormatter):
    """Formats a record as a JSON object in one line of ASCII, so that no field can forge another line."""

    def __init__(self) -> None:
        super().__init__([name for name in FIELDS if name != "exc_info"], rename_fields=FIELDS, timestamp="@timestamp")

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        at = log_data.pop("@timestamp").astimezone(UTC).isoformat(timespec="milliseconds")
        log_data["log.level"] = log_data["log.level"].lower()
        fields = {name: value for name, value in log_data.items() if value not in (None, "")}
        return {"@timestamp": at.replace("+00:00", "Z"), **fields, "ecs.version": "8.17"}

    def format(self, record: logging.LogRecord) -> str:
        return TOKEN.sub("<token>", super().format(record))

"""Name in the log what the application or the browser refuses on a page, and how to allow it."""

import logging
import re
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from flask import Flask, Response, current_app, request
from flask.typing import ResponseReturnValue

from app.dev.mailbox import bp
from app.extensions import csrf

CLASSES_IN_CSS, CLASSES_IN_HTML = re.compile(r"\.([a-z][\w-]*)"), re.compile(r'class="([^"]+)"')
MAX_REPORTED = 200  # characters of a URL

log = logging.getLogger(__name__)


def explain_refusals(app: Flask) -> None:
    app.after_request(_explain)


@bp.post("/csp-report")
@csrf.exempt
def csp_report() -> ResponseReturnValue:
    """Log what the browser refused because of the Content-Security-Policy."""
    try:
        found = request.get_json(force=True, silent=True)
    except RecursionError:  # deeply nested JSON, which no browser sends
        found = None
    report = found.get("csp-report") if isinstance(found, dict) else {}
    report = report if isinstance(report, dict) else {}
    page, blocked, directive = (
        str(report.get(key))[:MAX_REPORTED] for key in ("document-uri", "blocked-uri", "effective-directive")
    )
    origin, name = re.match("https?://[^/]+", blocked), re.sub("-(elem|attr)$", "", directive).replace("-", "_")
    remedy = f'Allow it: @csp({name}="{origin[0]}")' if origin else "Move it to a file in app/static."
    if name == "form_action" and blocked.startswith(request.host_url):  # Chromium does not tell where to
        remedy = "It redirects to another site. Allow that one: @csp(form_action=...)"
    sentence = f"{page}: the browser refused {blocked} because of the policy's {directive}. {remedy}"
    log.warning("".join(filter(str.isprintable, sentence)))
    return "", 204


def _explain(response: Response) -> Response:
    if request.blueprint == bp.name:
        return response
    folder = urlsplit(current_app.config["PUBLIC_URL"]).path
    response.headers["Content-Security-Policy"] += f"; report-uri {folder}/dev/csp-report"
    if response.status_code == 413:
        log.warning("%s %s was refused as too large. %s", request.method, request.path, _remedy())
    if response.mimetype == "text/html" and not response.is_streamed and not current_app.config["FULL_BOOTSTRAP"]:
        used = " ".join(CLASSES_IN_HTML.findall(response.get_data(as_text=True))).split()
        if missing := sorted(_left_out(str(current_app.static_folder)).intersection(used)):
            log.warning("%s uses parts of Bootstrap that need FULL_BOOTSTRAP=1: %s", request.path, " ".join(missing))
    return response


def _remedy() -> str:
    if (request.content_length or 0) > (allowed := request.max_content_length or 0):
        sizes = f"It has {request.content_length} bytes, and {allowed} are allowed"
        return f"{sizes}: raise MAX_CONTENT_LENGTH, or decorate the view with @max_content_length()."
    return "MAX_FORM_PARTS limits the number of fields, and app/web/request_size.py (LONGER_FIELDS) their length."


@lru_cache
def _left_out(folder: str) -> set[str]:
    """Return the classes of Bootstrap that the reduced file does not have."""
    full, reduced, own = (
        set(CLASSES_IN_CSS.findall(Path(folder, f"{name}.css").read_text("utf-8")))
        for name in ("bootstrap-full", "bootstrap", "app")
    )
    return full - reduced - own

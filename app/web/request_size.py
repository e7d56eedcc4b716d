"""Limit the size of a request before other code reads it.

The cost of much code grows faster than its input: Unicode normalization, password strength, some regular expressions.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from flask import Flask, Request, abort, current_app
from flask.typing import ResponseReturnValue
from werkzeug.routing import IntegerConverter

from app.request_state import current_request
from app.web import errors

MAX_PATH = 4096  # bytes; gunicorn accepts 8190 for method, path and query
MAX_QUERY = 16 * 1024  # bytes
MAX_HEADER = 8192  # bytes of one header; gunicorn accepts 8190
SHORTER_HEADERS = dict.fromkeys(  # bytes of those of which each item is parsed; browsers send 150
    ("HTTP_ACCEPT", "HTTP_ACCEPT_ENCODING", "HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH", "HTTP_RANGE"), 1024
)
MAX_NUMBER = 2**31 - 1  # of `<int:id>` in a URL: PostgreSQL's INTEGER can't hold a larger one
MAX_WIDE_NUMBER = 2**63 - 1  # of `<wide_int:id>`, for a column with database.WideId
MAX_NAME = 128  # characters of a field's name
MAX_FIELD = 16 * 1024  # characters of a field's value; forms have lower limits, with error messages
LONGER_FIELDS = {"credential": 64 * 1024}  # a passkey's signed JSON; an application can add its own long fields
View = TypeVar("View", bound=Callable[..., Any])

FORMS = {"application/x-www-form-urlencoded", "multipart/form-data"}


def max_content_length(size: int) -> Callable[[View], View]:
    """Accept larger requests in a view, such as uploads, than MAX_CONTENT_LENGTH. `size` is in bytes.

    A form that does not declare its length, which no browser sends, can't be larger than MAX_FORM_MEMORY_SIZE.
    """

    def mark(view: View) -> View:
        view.max_content_length = size  # type: ignore[attr-defined]
        return view

    return mark


def init_app(app: Flask) -> None:
    for name, largest in {"int": MAX_NUMBER, "wide_int": MAX_WIDE_NUMBER}.items():
        app.url_map.converters[name] = partial(IntegerConverter, max=largest)  # type: ignore[assignment]
    app.before_request(check_lengths)


def check_lengths() -> ResponseReturnValue | None:
    """Refuse a request that is longer than any page needs, with status 413, 414 or 431."""
    request = current_request()
    view = current_app.view_functions.get(request.endpoint or "")
    allowed = getattr(view, "max_content_length", current_app.config["MAX_CONTENT_LENGTH"])
    is_form = request.mimetype in FORMS
    if is_form and request.content_length is None:  # it has to be read to count its fields
        allowed = min(allowed, request.max_form_memory_size or allowed)
    request.max_content_length = allowed
    if _has_long_header(request):
        abort(431)
    if _has_long_query(request):
        abort(414)
    if len(request.path.encode()) > MAX_PATH:
        return errors.invalid_link() if "token" in (request.view_args or {}) else abort(414)
    if is_form and _has_long_form(request):
        abort(413)
    return None


def _has_long_header(request: Request) -> bool:
    names = [
        name
        for name, value in request.environ.items()
        if name[:5] == "HTTP_" and len(value) > SHORTER_HEADERS.get(name, MAX_HEADER)
    ]
    for name in names:  # the error page reads some of them
        del request.environ[name]
    return bool(names)


def _has_long_query(request: Request) -> bool:
    query = request.query_string
    is_long = len(query) > MAX_QUERY or query.count(b"&") >= current_app.config["MAX_FORM_PARTS"]
    if is_long:
        request.query_string = b""  # the error page reads it
    return is_long


def _has_long_form(request: Request) -> bool:
    """Count the fields before parsing them, because 64 KiB can hold 32,000 of them; then check their lengths."""
    if (request.content_length or 0) <= (request.max_form_memory_size or 0):
        data = request.get_data()
        is_cut = request.content_length is None and len(data) >= (request.max_content_length or math.inf)
        if is_cut or data.count(_separator(request)) > current_app.config["MAX_FORM_PARTS"]:
            return True
    return any(
        len(name or "") > MAX_NAME or len(value) > LONGER_FIELDS.get(name, MAX_FIELD)
        for name, value in request.form.items(multi=True)
    )


def _separator(request: Request) -> bytes:
    """Return the separator of two fields. In multipart forms it includes the boundary, which uploads don't contain."""
    if request.mimetype == "multipart/form-data":
        return b"\r\n--" + request.mimetype_params.get("boundary", "").encode("latin-1", "replace")
    return b"&"

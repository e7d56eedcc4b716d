"""Static files, served under names that hold the hash of what is in them, so that a browser keeps them for a year."""

import hashlib
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from flask import Flask, Response, abort, current_app, request, url_for

ENDPOINTS = ("static", "bootstrap.static")
HASHED = re.compile(r"(.+)\.([0-9a-f]{12})(\.\w+)")
YEAR = 365 * 24 * 3600  # seconds


def asset_url(filename: str, endpoint: str = "static") -> str:
    """Return the address of a static file, of the application's own or of the blueprint that `endpoint` names.

    It is worked out once, but for a developer, who changes files: six times a page it takes a third of the page's time.
    """
    known, key = current_app.extensions["asset_urls"], (endpoint, filename, request.script_root)
    if key not in known or current_app.debug:
        name, dot, extension = filename.rpartition(".")
        known[key] = url_for(endpoint, filename=f"{name}.{_hash(endpoint, filename)}{dot}{extension}")
    return cast(str, known[key])


def init_app(app: Flask) -> None:
    app.extensions["asset_urls"] = {}
    app.jinja_env.globals["asset_url"] = asset_url
    for endpoint in ENDPOINTS:
        app.view_functions[endpoint] = _keep_if_hashed(app.view_functions[endpoint])


def _keep_if_hashed(view: Callable[..., Any]) -> Callable[..., Any]:
    def serve(filename: str) -> Response:
        hashed = HASHED.fullmatch(filename)
        if not hashed:
            return cast(Response, view(filename=filename))
        filename = hashed[1] + hashed[3]
        if hashed[2] != _hash(request.endpoint or "", filename):
            abort(404)  # of another release: a browser must not keep this one under that name
        response = cast(Response, view(filename=filename))
        response.headers["Cache-Control"] = f"public, max-age={YEAR}, immutable"
        return response

    return serve


def _hash(endpoint: str, filename: str) -> str:
    owner = current_app.blueprints.get(endpoint.rpartition(".")[0], current_app)
    folder = Path(owner.static_folder or "").resolve()
    path = Path(folder, filename).resolve()
    if not (path.is_relative_to(folder) and path.is_file()):
        abort(404)
    return _hash_of(path, path.stat().st_mtime_ns)


@lru_cache
def _hash_of(path: Path, modified: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]

# mypy: ignore-errors
"""Static files: few, compressed, and named by the hash of what is in them, so that a browser keeps them for a year."""

import gzip
import hashlib
import mimetypes
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, cast

from flask import Flask, Response, abort, current_app, request, url_for

BUNDLES = {  # several files that go as one: a browser waits for each
    "site.css": (("bootstrap.static", "css/bootstrap.min.css"), ("static", "app.css")),
    "site.js": (("static", "app.js"), ("static", "webauthn.js"), ("static", "passkeys.js")),
}
ENDPOINTS = ("static", "bootstrap.static")
HASHED = re.compile(r"(.+)\.([0-9a-f]{12})(\.\w+)")
NEEDS_SCRIPTS = re.compile(  # rules of Bootstrap that are of no use without its scripts, which are not here
    rb"(?<=[{}])(?:\.(?:(?:bs-)?(?:popover|tooltip)|carousel|collapsing|drop(?:down|up)|modal|offcanvas|toast)[^{},]*,?)+"
    rb"\{[^{}]*\}"
)
YEAR = 365 * 24 * 3600  # seconds


class Asset(NamedTuple):
    """What goes to a browser under one name."""

    hash: str
    body: bytes


def asset_url(filename: str) -> str:
    """Return the address of one of the application's static files, or of a bundle.

    It is worked out once, but for a developer, who changes files: else it takes a third of a page's time.
    """
    known, key = current_app.extensions["asset_urls"], (filename, request.script_root)
    if key not in known or current_app.debug:
        name, dot, extension = filename.rpartition(".")
        known[key] = url_for("static", filename=f"{name}.{_asset('static', filename).hash}{dot}{extension}")
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
        asset = _asset(request.endpoint or "", filename)
        if hashed[2] != asset.hash:
            abort(404)  # of another release: a browser must not keep this one under that name
        is_compressed = request.accept_encodings.quality("gzip") > 0
        response = Response(_compressed(asset.body) if is_compressed else asset.body)
        response.content_type = mimetypes.guess_type(filename)[0] or "application/octet-stream"
        response.headers["Cache-Control"] = f"public, max-age={YEAR}, immutable"
        response.vary.add("Accept-Encoding")
        if is_compressed:
            response.content_encoding = "gzip"
        return response

    return serve


def _asset(endpoint: str, filename: str) -> Asset:
    parts = BUNDLES.get(filename, ((endpoint, filename),)) if endpoint == "static" else ((endpoint, filename),)
    paths = tuple(_path(*part) for part in parts)
    return _load(paths, tuple(path.stat().st_mtime_ns for path in paths))


def _path(endpoint: str, filename: str) -> Path:
    owner = current_app.blueprints.get(endpoint.rpartition(".")[0], current_app)
    folder = Path(owner.static_folder or "").resolve()
    path = Path(folder, filename).resolve()
    if not (path.is_relative_to(folder) and path.is_file()):
        abort(404)
    return path


@lru_cache
def _load(paths: tuple[Path, ...], modified: tuple[int, ...]) -> Asset:
    parts = [path.read_bytes() for path in paths]
    if len(parts) > 1 and paths[0].suffix == ".css":
        parts[0] = NEEDS_SCRIPTS.sub(b"", parts[0])  # Bootstrap's
        # Comments, one of which names a map we lack, and line breaks.
        parts = [re.sub(rb"/\*.*?\*/|\n\s*", b"", part, flags=re.DOTALL) for part in parts]
    body = b"\n".join(parts)
    return Asset(hashlib.sha256(body).hexdigest()[:12], body)


@lru_cache
def _compressed(body: bytes) -> bytes:
    return gzip.compress(body, 9, mtime=0)

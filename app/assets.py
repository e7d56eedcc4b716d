"""Static files, linked under the hash of what is in them, so that a browser may keep them."""

import hashlib
from functools import lru_cache
from pathlib import Path

from flask import Flask, current_app, url_for


def asset_url(filename: str, endpoint: str = "static") -> str:
    """Return the address of a static file, of the application's own or of the blueprint that `endpoint` names."""
    owner = current_app.blueprints.get(endpoint.rpartition(".")[0], current_app)
    path = Path(owner.static_folder or "", filename)
    return url_for(endpoint, filename=filename, v=_hash(path, path.stat().st_mtime_ns))


@lru_cache
def _hash(path: Path, modified: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def init_app(app: Flask) -> None:
    app.jinja_env.globals["asset_url"] = asset_url

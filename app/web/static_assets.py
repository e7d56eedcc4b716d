"""Serve static files compressed, at URLs with the hash of their content, so that browsers can cache them for a year.

Flask's own `/static/` serves the same files without a hash; browsers revalidate those at each request.
"""

import gzip
import hashlib
import mimetypes
from contextlib import suppress
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from flask import Flask, Response, abort, current_app, request, url_for

from settings.brand import Brand

BUNDLES = {  # files that are sent as one, to save requests
    "site.css": ("bootstrap.css", "app.css"),
    "site.js": ("app.js", "webauthn.js", "passkeys.js"),
}
ENDPOINTS = ("static", "asset")
YEAR = 365 * 24 * 3600  # seconds


class Asset(NamedTuple):
    """A file or bundle."""

    digest: str
    body: bytes


def init_app(app: Flask) -> None:
    app.extensions["assets"] = {}
    app.add_url_rule("/assets/<digest>/<path:filename>", "asset", send_asset)
    app.jinja_env.globals["asset_url"] = asset_url


def asset_url(filename: str) -> str:
    """Return the URL of a file in app/static or of a bundle, which changes with the content."""
    return url_for("asset", digest=_asset(filename).digest, filename=filename)


def send_asset(digest: str, filename: str) -> Response:
    """Send a file or bundle; abort with 404 if the hash belongs to another release."""
    asset = _asset(filename)
    if digest != asset.digest:
        abort(404)
    is_compressed = request.accept_encodings.quality("gzip") > 0
    response = Response(_compressed(asset.body) if is_compressed else asset.body)
    response.content_type = mimetypes.guess_type(filename)[0] or "application/octet-stream"
    response.headers["Cache-Control"] = f"public, max-age={YEAR}, immutable"
    response.vary.add("Accept-Encoding")
    if is_compressed:
        response.content_encoding = "gzip"
    return response


def _asset(filename: str) -> Asset:
    """Return an asset, which is read once, or at each request in debug mode."""
    assets: dict[str, Asset] = current_app.extensions["assets"]
    if filename not in assets or current_app.debug:
        body = b"\n".join(_path(name).read_bytes() for name in BUNDLES.get(filename, (filename,)))
        if filename == "site.css":
            body += _brand_rules(current_app.config["BRAND"])
        assets[filename] = Asset(hashlib.sha256(body).hexdigest()[:12], body)
    return assets[filename]


def _brand_rules(brand: Brand) -> bytes:
    """Return the colors of the brand as custom properties. Browsers without light-dark() show the light ones."""
    light, dark = asdict(brand.light), asdict(brand.dark)
    plain = _rule(light)
    by_scheme = _rule({name: f"light-dark({light[name]},{dark[name]})" for name in light})
    return f"{plain}@supports (color:light-dark(#000,#fff)){{{by_scheme}}}\n".encode()


def _rule(colors: dict[str, str]) -> str:
    declared = (f"--{name.replace('_', '-')}:{color}" for name, color in colors.items())
    return f":root{{{';'.join(declared)}}}"


def _path(filename: str) -> Path:
    folder = Path(current_app.static_folder or "").resolve()
    with suppress(OSError, ValueError):  # the name is too long or contains NUL
        path = Path(folder, filename).resolve()
        # Only under its own name: each other spelling, such as x/../app.css, would be cached once more.
        if path.is_relative_to(folder) and path.relative_to(folder).as_posix() == filename and path.is_file():
            return path
    return abort(404)


@lru_cache
def _compressed(body: bytes) -> bytes:
    return gzip.compress(body, 9, mtime=0)

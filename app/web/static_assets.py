"""Serve static files compressed, at URLs with the hash of their content, so that browsers can cache them for a year.

The stylesheet and the icon follow the owner's brand.

Flask's own `/static/` serves the same files without a hash; browsers revalidate those at each request.
"""

import gzip
import hashlib
import json
import mimetypes
import re
from contextlib import suppress
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from flask import Flask, Response, abort, current_app, request
from flask_babel import gettext

from app import languages
from app.switches import is_on
from app.templating import fill_in
from settings.brand import Brand, Palette

TEXT = re.compile(r'\b(?:_|gettext)\("([^"]+)"\)')
COMMENT = re.compile(rb"^ *//.*\n", re.MULTILINE)  # a line of its own
PASSKEY_SCRIPTS = ("webauthn.js", "passkeys.js")
BUNDLES = {  # files that are sent as one, to save requests
    "site.css": ("bootstrap.css", "app.css"),
    "site.js": ("app.js", *PASSKEY_SCRIPTS),
    "altcha.css": ("altcha/widget.css", "captcha.css"),
    "altcha.js": ("altcha/widget.js", "captcha.js"),
}
WITH_FULL_BOOTSTRAP = BUNDLES | {
    "site.css": ("bootstrap-full.css", "app.css"),
    "site.js": ("bootstrap-full.js", *BUNDLES["site.js"]),
}
SAFE = " !'()*,-./:;=?@_~"  # within a quoted data: URL
ENDPOINTS = ("static", "asset")
YEAR = 365 * 24 * 3600  # seconds


class Asset(NamedTuple):
    """A file or bundle."""

    digest: str
    body: bytes


def init_app(app: Flask) -> None:
    app.extensions["assets"] = {}
    app.add_url_rule("/assets/<digest>/<path:filename>", "asset", send_asset)
    app.jinja_env.globals.update(asset_url=asset_url, public_asset_url=public_asset_url)
    fill_in(app, "asset_url", "public_asset_url")


def asset_url(filename: str) -> str:
    """Return the URL of a file in app/static or of a bundle, which changes with the content and with the language."""
    if filename == "site.js" and languages.has_catalog(languages.current()):
        filename = f"{languages.current()}/{filename}"
    path = urlsplit(current_app.config["PUBLIC_URL"]).path
    return f"{path}/assets/{_asset(filename).digest}/{quote(filename)}"  # also while no request is answered


def public_asset_url(filename: str) -> str:
    """Return the whole URL of a file, for other sites and emails."""
    public: str = current_app.config["PUBLIC_URL"]
    return public + asset_url(filename).removeprefix(urlsplit(public).path)


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
        body = _body(filename, current_app.config["BRAND"])
        assets[filename] = Asset(hashlib.sha256(body).hexdigest()[:12], body)
    return assets[filename]


def _body(filename: str, brand: Brand) -> bytes:
    if filename == "favicon.svg":
        return _logo(brand.light).encode()
    language, _slash, script = filename.partition("/")
    if script == "site.js" and language in current_app.config["LANGUAGES"]:
        return _translations(language) + _body(script, brand)
    bundles = WITH_FULL_BOOTSTRAP if current_app.config["FULL_BOOTSTRAP"] else BUNDLES
    off = () if is_on("passkey") or filename not in bundles else PASSKEY_SCRIPTS
    files = b"\n".join(_path(name).read_bytes() for name in bundles.get(filename, (filename,)) if name not in off)
    files = COMMENT.sub(b"", files) if filename == "site.js" else files
    return files + _brand_rules(brand).encode() if filename == "site.css" else files


def _translations(language: str) -> bytes:
    """Return a script with the texts of all scripts in a language, as _() of app.js finds them."""
    scripts = {name for files in BUNDLES.values() for name in files if name.endswith(".js")}
    texts = {text for name in scripts for text in TEXT.findall(_path(name).read_text("utf-8"))}
    with languages.speaking(language):
        translated = {text: gettext(text) for text in sorted(texts)}
    return f"globalThis.translations={json.dumps(translated, ensure_ascii=False)};\n".encode()


def _brand_rules(brand: Brand) -> str:
    """Return the colors and the logo as custom properties. Browsers without light-dark() show the light ones."""
    light, dark = asdict(brand.light), asdict(brand.dark)
    by_scheme = _rule({name: f"light-dark({light[name]},{dark[name]})" for name in light})
    logo, dark_logo = (_rule({"logo": f'url("data:image/svg+xml,{quote(_logo(scheme), SAFE)}")'}) for scheme in brand)
    return (
        f":root{_rule(light)}:root{logo}"
        f"@supports (color:light-dark(#000,#fff)){{:root{by_scheme}:root[data-theme=dark]{dark_logo}"
        f"@media (prefers-color-scheme:dark){{:root:not([data-theme=light]){dark_logo}}}}}\n"
    )


def _rule(properties: dict[str, str]) -> str:
    declared = (f"--{name.replace('_', '-')}:{value}" for name, value in properties.items())
    return f"{{{';'.join(declared)}}}"


def _logo(palette: Palette) -> str:
    """Return app/static/logo.svg with the accent as its `currentColor`, which an image can't inherit from the page."""
    return _path("logo.svg").read_text("utf-8").strip().replace("currentColor", palette.accent)


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

"""The files that browsers, phones, search engines and security researchers look for at fixed addresses.

They use neither the session nor the database.
"""

from datetime import timedelta
from pathlib import Path

from flask import Flask, Response, current_app, jsonify, send_from_directory, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import NotFound

from app import clock
from app.web.errors import error_page
from app.web.static_assets import asset_url

ENDPOINTS = ("favicon", "manifest", "robots", "security_txt")
DAY = 24 * 3600  # seconds
SECURITY_TXT_LIFETIME = timedelta(days=180)  # RFC 9116, section 2.5.5: less than a year
# Personal pages say `noindex` themselves. Links in emails are private, so no crawler should even request them.
ROBOTS = """User-agent: *
{allowed}Disallow: {root}/auth/
"""
ALLOWED = ("auth.login", "auth.register", "auth.request_reset")


def favicon() -> ResponseReturnValue:
    return _kept(send_from_directory(Path(current_app.static_folder or "") / "icons", "favicon.ico"))


def manifest() -> ResponseReturnValue:
    """Describe the site to phones that put it on the home screen (W3C, Web Application Manifest)."""
    name, colors = current_app.config["APP_NAME"], current_app.config["BRAND"].light
    home = url_for("main.index")
    response = jsonify(
        name=name, short_name=name, id=home, start_url=home, scope=home, display="minimal-ui",
        theme_color=colors.surface, background_color=colors.page,
        icons=[_icon("icon-192.png", 192), _icon("icon-512.png", 512), _icon("maskable-512.png", 512, "maskable")],
    )  # fmt: skip
    response.content_type = "application/manifest+json"
    return _kept(response)


def robots() -> ResponseReturnValue:
    pages = [url_for(endpoint) for endpoint in ALLOWED if endpoint in current_app.view_functions]
    allowed = "".join(f"Allow: {page}$\n" for page in pages)
    return _text(ROBOTS.format(root=url_for("main.index").rstrip("/"), allowed=allowed))


def security_txt() -> ResponseReturnValue:
    """Say where to report a vulnerability (RFC 9116): to SUPPORT_EMAIL, if there is one."""
    if not current_app.config["SUPPORT_EMAIL"]:
        return error_page(NotFound(), asks_nothing=True)
    expires = (clock.now() + SECURITY_TXT_LIFETIME).strftime("%Y-%m-%dT00:00:00Z")
    canonical = f"{current_app.config['PUBLIC_URL']}/.well-known/security.txt"
    contact = f"Contact: mailto:{current_app.config['SUPPORT_EMAIL']}"
    return _text(f"{contact}\nExpires: {expires}\nPreferred-Languages: en\nCanonical: {canonical}\n")


def init_app(app: Flask) -> None:
    app.add_url_rule("/favicon.ico", "favicon", favicon)
    app.add_url_rule("/manifest.webmanifest", "manifest", manifest)
    app.add_url_rule("/robots.txt", "robots", robots)
    app.add_url_rule("/.well-known/security.txt", "security_txt", security_txt)


def _icon(filename: str, size: int, purpose: str = "any") -> dict[str, str]:
    return {"src": asset_url(f"icons/{filename}"), "sizes": f"{size}x{size}", "type": "image/png", "purpose": purpose}


def _text(content: str) -> ResponseReturnValue:
    return _kept(Response(content, content_type="text/plain; charset=utf-8"))


def _kept(response: Response) -> ResponseReturnValue:
    """Let browsers and proxies keep a file for a day."""
    response.headers["Cache-Control"] = f"public, max-age={DAY}"
    return response

"""Settings that follow from other settings."""

import secrets
from collections.abc import Mapping
from email.utils import quote
from pathlib import Path
from typing import Any
from urllib.parse import quote as url_quote
from urllib.parse import urlsplit

from settings.brand import brand
from settings.connections import engine_options, lookup_engine, rate_limit_engine, redis_options
from settings.domains import domain_of_host, parse_sender


def complete(settings: dict[str, Any], instance_path: str) -> None:
    """Set the settings that follow from others, and the defaults of development."""
    if settings["CONFIG_NAME"] == "development" and not settings["SECRET_KEY"]:
        settings["SECRET_KEY"] = stored_secret(Path(instance_path) / "secret_key")
    settings["SQLALCHEMY_DATABASE_URI"] = settings["SQLALCHEMY_DATABASE_URI"] or "sqlite:///app.db"
    settings["PUBLIC_URL"] = settings["PUBLIC_URL"] or f"http://localhost:{settings['PORT']}"
    settings["SESSION_COOKIE_PATH"] = urlsplit(settings["PUBLIC_URL"]).path or "/"
    for cookie in (
        f"{name}_COOKIE_NAME" for name in ("SESSION", "DEVICE", "APPEARANCE", "LANGUAGE", "METHOD", "OFFER")
    ):
        settings[cookie] = own_cookie_name(settings[cookie], settings["PUBLIC_URL"])
    settings["BRAND"] = brand(settings["ACCENT_COLOR"])
    settings["MAIL_DEFAULT_SENDER"] = _default_sender(settings)
    settings["MAIL_SUPPRESS_SEND"] = not settings["MAIL_SERVER"]
    url = settings["SQLALCHEMY_DATABASE_URI"]
    options = settings.setdefault("SQLALCHEMY_ENGINE_OPTIONS", engine_options(url))
    engines = {"rate_limits": rate_limit_engine(url, options), "lookups": lookup_engine(url, options)}
    settings["SQLALCHEMY_BINDS"] = engines | settings.get("SQLALCHEMY_BINDS", {})
    settings["REDIS_OPTIONS"] = redis_options() if settings["REDIS_URL"] else {}


def stored_secret(path: Path) -> str:
    """Return the secret from a file that only its owner can read, which is created at first use."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or not path.read_text():
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex())
    return path.read_text()


def own_cookie_name(name: str, public_url: str) -> str:
    """Return the name of a cookie that only the instance at `public_url` uses.

    Browsers send a host's cookies to all of its ports, where other instances may run, so the name contains an explicit
    port and the path. The prefix `__Host-` requires the path /; other paths get `__Secure-`.
    """
    public = urlsplit(public_url)
    port = public.port if public.port != {"http": 80, "https": 443}[public.scheme] else None
    path = path_in_cookie_name(public.path)
    if path:
        name = name.replace("__Host-", "__Secure-")
    return "-".join(str(part) for part in (name, port, path) if part)


def path_in_cookie_name(path: str) -> str:
    """Return a path in characters that are valid in the name of a cookie, different for each path."""
    return url_quote(path.strip("/"), safe="/").replace(".", "%2E").replace("/", ".")


def sender_address(settings: Mapping[str, Any]) -> str:
    """Return MAIL_SENDER, or no-reply@ the host in PUBLIC_URL."""
    host = urlsplit(settings["PUBLIC_URL"]).hostname or "localhost"
    return settings["MAIL_SENDER"] or f"no-reply@{domain_of_host(host)}"


def _default_sender(settings: Mapping[str, Any]) -> str:
    """Return the From header of emails."""
    name, address = "", sender_address(settings)
    if settings["MAIL_SENDER"]:
        name, address = parse_sender(address, settings["EMAIL_SPECIAL_DOMAINS"])
    return f'"{quote(name or settings["APP_NAME"])}" <{address}>'

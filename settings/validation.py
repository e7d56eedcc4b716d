"""Validate the settings, with one sentence for each problem and its remedy."""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from settings import brand, languages, mail
from settings.derived import sender_address
from settings.domains import parse_sender
from settings.entropy import is_guessable

PUBLIC_URL = re.compile(r"https?://([\w.-]+|\[[0-9a-f:]+\])(:\d+)?(/[^?#\s]*)?", re.ASCII)
RANGE_URL = re.compile(r"(https://[\w.-]+|http://(localhost|127\.[\d.]+|\[::1\]))(:\d+)?(/[^?#\s]*)?/", re.ASCII)

CHOICES = {
    "CAPTCHA": ("off", "recaptcha", "altcha"),
    "CONFIRMATION": ("required", "later", "off"),
    "MAIL_DELIVERY": ("thread", "worker", "off"),
    "TWO_FACTOR_REQUIRED_FOR": ("nobody", "admins", "everybody"),
    "USERNAMES": ("required", "off"),
}
LOGIN_METHODS = {"password", "magic_link", "passkey"}
RANGES = {"PORT": (1, 65535), "MAIL_PORT": (1, 65535), "PASSWORD_MIN_LENGTH": (8, 128)}

DRIVERS = {"sqlite", "sqlite+pysqlite", "postgresql+psycopg"}
DATABASE_REMEDY = "Write postgresql://user:password@host/name, or sqlite:////path/app.db"

# Parts of published keys: Django's prefix for new projects, and the key in Flask's documentation.
PUBLISHED_KEYS = ("django-insecure-", "192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf")


def problems(settings: Mapping[str, Any]) -> Iterator[str]:
    """Yield the problems that prevent a start in every configuration."""
    for name, words in CHOICES.items():
        if settings[name] not in words:
            yield f"{name}: write {', '.join(words[:-1])} or {words[-1]}."
    for name, (least, most) in RANGES.items():
        if not least <= settings[name] <= most:
            yield f"{name}: write a number from {least} to {most}."
    yield from _switch_problems(settings)
    for network in settings["TRUSTED_PROXY_NETWORKS"]:
        if not _is_network(network):
            yield f"TRUSTED_PROXY_NETWORKS has {network!r}: write networks such as 10.0.0.0/8, or addresses."
    if settings["SQLALCHEMY_DATABASE_URI"]:
        yield from _database_problems(str(settings["SQLALCHEMY_DATABASE_URI"]))
    if settings["PUBLIC_URL"] and not _is_public_url(settings["PUBLIC_URL"]):
        yield "PUBLIC_URL: write an address as http://localhost:5000 or https://example.com/path"
    for name in ("APP_NAME", "MAIL_SENDER"):
        if not settings[name].isprintable():
            yield f"{name}: it has a line break or another control character. Write it in one line."
    yield from brand.problems(settings)
    yield from languages.problems(settings)
    if settings["MAIL_SENDER"] or settings["MAIL_SERVER"]:
        yield from _sender_problems(settings)
    yield from mail.oauth_problems(settings)
    for name, provider in settings["OIDC_PROVIDERS"].items():
        for part in provider.missing:
            yield f"OIDC_{name.upper()}_{part} is missing. {name.capitalize()}'s console, or its administrator, has it."
    keys = [settings["RECAPTCHA_PUBLIC_KEY"], settings["RECAPTCHA_PRIVATE_KEY"]]
    if settings["CAPTCHA"] == "recaptcha" and not all(keys):
        yield "CAPTCHA=recaptcha needs RECAPTCHA_PUBLIC_KEY and RECAPTCHA_PRIVATE_KEY. The CAPTCHA's console has both."
    elif settings["CAPTCHA"] != "recaptcha" and any(keys):
        yield "RECAPTCHA_PUBLIC_KEY and RECAPTCHA_PRIVATE_KEY need CAPTCHA=recaptcha. Write it, or remove the keys."
    if settings["PWNED_PASSWORDS_URL"] and not RANGE_URL.fullmatch(settings["PWNED_PASSWORDS_URL"]):
        yield "PWNED_PASSWORDS_URL: write https://api.pwnedpasswords.com/range/ or a mirror's https URL ending with /."
    if settings["REDIS_URL"] and not _is_redis_url(settings["REDIS_URL"]):
        yield "REDIS_URL: write redis://host:6379/0, rediss:// for TLS, or redis+unix:///path/to/socket."


def production_problems(settings: Mapping[str, Any]) -> Iterator[str]:
    """Yield the problems that prevent a start only in production: missing or unsafe settings."""
    if _is_unsafe(settings["SECRET_KEY"]):
        command = "python -c 'import secrets; print(secrets.token_hex())'"
        yield f"SECRET_KEY is missing, under 32 bytes, or easy to guess. Make one: {command}"
    if any(map(_is_unsafe, settings["SECRET_KEY_FALLBACKS"])):
        yield "SECRET_KEY_FALLBACKS holds a key that is under 32 bytes or easy to guess. Remove it."
    if settings["METRICS_TOKEN"] and _is_unsafe(settings["METRICS_TOKEN"]):
        command = "python -c 'import secrets; print(secrets.token_hex())'"
        yield f"METRICS_TOKEN is under 32 bytes or easy to guess. Make one: {command}"
    if not settings["PUBLIC_URL"] or settings["PUBLIC_URL"].startswith("http://"):
        yield "PUBLIC_URL is missing or not https. Write the address that people type: https://example.com"
    if not settings["SQLALCHEMY_DATABASE_URI"]:
        yield f"DATABASE_URL is missing. {DATABASE_REMEDY}"
    if not settings["MAIL_SERVER"]:
        yield "MAIL_SERVER is missing. Write the host name of your mail server."
    for name, provider in settings["OIDC_PROVIDERS"].items():
        if provider.issuer and not provider.issuer.startswith("https://"):
            yield f"OIDC_{name.upper()}_ISSUER is not https. Write the issuer from the provider's metadata."
    if settings.get("DEBUG"):
        yield "Debug mode is on. Remove FLASK_DEBUG: its error pages let attackers run code."


def _switch_problems(settings: Mapping[str, Any]) -> Iterator[str]:
    methods = set(settings["LOGIN_METHODS"])
    if isinstance(settings["LOGIN_METHODS"], str):
        yield "LOGIN_METHODS is text, as in .env. In Python, write a list, such as ['magic_link', 'passkey']."
    elif not methods <= LOGIN_METHODS and methods != {"none"}:
        yield "LOGIN_METHODS: write some of password, magic_link and passkey; or none, for SSO only."
    has_mock_provider = settings.get("MAILBOX") and settings["MOCK_PROVIDER"]
    if methods == {"none"} and not settings["OIDC_PROVIDERS"] and not has_mock_provider:
        yield "LOGIN_METHODS is none, but OIDC_PROVIDERS is empty, so nobody could log in. Add a provider or a method."
    if settings["PREVENT_ENUMERATION"] and settings["CONFIRMATION"] != "required":
        yield "PREVENT_ENUMERATION=1 needs confirmed addresses. Remove CONFIRMATION, or write CONFIRMATION=required."
    if settings["VERIFY_NEW_DEVICES"] and settings["CONFIRMATION"] == "off":
        yield "VERIFY_NEW_DEVICES=1 needs confirmed addresses, but CONFIRMATION is off. Change one of the two."
    if not settings["TWO_FACTOR"] and settings["TWO_FACTOR_REQUIRED_FOR"] != "nobody":
        yield "TWO_FACTOR is 0, so TWO_FACTOR_REQUIRED_FOR can only be nobody. Change one of the two."


def _is_network(text: str) -> bool:
    with suppress(ValueError):
        return bool(ip_network(text))
    return False


def _database_problems(text: str) -> Iterator[str]:
    """Yield the problem of a database URL, without quoting the URL, because it holds a password."""
    try:
        url = make_url(text)
        if url.drivername in DRIVERS:
            _, options = url.get_dialect()().create_connect_args(url)
            if not url.drivername.startswith("sqlite"):
                _check_conninfo(dict(options))
        else:
            yield f"DATABASE_URL begins with {url.drivername}://, which is not supported. {DATABASE_REMEDY}"
    except (SQLAlchemyError, ValueError):
        yield f"DATABASE_URL is not the address of a database. {DATABASE_REMEDY}"


def _check_conninfo(options: dict[str, Any]) -> None:
    """Raise ValueError if psycopg does not know an option, or if a port is out of range."""
    from psycopg import Error, conninfo  # importing it takes 90 ms

    try:
        conninfo.make_conninfo(**options)
    except Error as error:
        raise ValueError(str(error)) from error
    if any(port and int(port) not in range(1, 65536) for port in str(options.get("port", "")).split(",")):
        raise ValueError("port")


def _is_public_url(text: str) -> bool:
    with suppress(ValueError):
        return bool(PUBLIC_URL.fullmatch(text)) and urlsplit(text).port != 0
    return False


def _sender_problems(settings: Mapping[str, Any]) -> Iterator[str]:
    try:
        parse_sender(sender_address(settings), settings["EMAIL_SPECIAL_DOMAINS"])
    except ValueError as error:
        example = "Write one address: no-reply@example.com, or with a name: Garden <no-reply@example.com>."
        if settings["MAIL_SENDER"]:
            yield f"MAIL_SENDER is not an address that can send email. {error} {example}"
        elif PUBLIC_URL.fullmatch(settings["PUBLIC_URL"]):
            yield f"MAIL_SENDER is missing, and PUBLIC_URL's host can't be the domain of an address. {example}"


def _is_redis_url(text: str) -> bool:
    with suppress(ValueError):
        return urlsplit(text).scheme in {"redis", "rediss", "redis+unix"} and urlsplit(text).port != 0
    return False


def _is_unsafe(key: str) -> bool:
    """Return whether an attacker could guess a key. A key with spaces or commas could not become a fallback."""
    is_published = any(known in key for known in PUBLISHED_KEYS)
    return bool(re.search(r"[\s,]", key)) or len(key.encode()) < 32 or is_published or is_guessable(key)

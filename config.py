"""Every setting, its default, and who would change it and why.

Settings come from the environment, and from a file `.env` beside this one (see `.env.example`).
"""

import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import quote
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote as url_quote
from urllib.parse import urlsplit

import click
import idna
from dotenv import dotenv_values, find_dotenv, load_dotenv
from email_validator import validate_email
from flask import current_app
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

T = TypeVar("T", bool, int, str)

PROJECT = Path(__file__).resolve().parent

GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
DOMAIN = re.compile(r"([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]*[a-z0-9])")
LABEL = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
MAX_DOMAIN = 254  # characters

TRUE, FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}
defaults: dict[str, bool | int | str] = {}
misread: list[str] = []


class ConfigError(Exception):
    """The settings do not allow a start; the message says which, and the remedy."""


def env(name: str, default: T) -> T:
    """Read one setting from the environment, as the type of its default. What can't be read is refused at start."""
    defaults[name] = default
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    if isinstance(default, bool):
        if text.lower() not in TRUE | FALSE:
            misread.append(f"{name} is {text!r}: write 1 or 0.")
        return text.lower() in TRUE
    if isinstance(default, int):
        if not (text.isascii() and text.isdigit()):
            misread.append(f"{name} is {text!r}: write a whole number.")
            return default
        return int(text)
    return text


def psycopg_url(url: str) -> str:
    """Let `postgres://` and `postgresql://` mean psycopg 3."""
    scheme, _, rest = url.partition("://")
    return f"postgresql+psycopg://{rest}" if scheme.lower() in {"postgres", "postgresql"} else url


def split(text: str) -> tuple[str, ...]:
    """Read several words, separated by spaces or commas."""
    return tuple(text.replace(",", " ").split())


@dataclass(frozen=True)
class Provider:
    """An OpenID Connect provider, as the settings OIDC_<NAME>_… describe it. docs/providers.md has examples."""

    name: str
    label: str  # on its button
    issuer: str  # `{tenantid}` in it stands for the `tid` that the token names, as Microsoft does it
    client_id: str
    client_secret: str = field(repr=False)
    verified_claim: str = "email_verified"  # the claim that says that the address was verified there
    also_true: tuple[str, ...] = ()  # texts that this claim may be instead of true
    domains: tuple[str, ...] = ()  # of the addresses that its word counts for; empty: all
    hosts_domains: bool = False  # its word counts for the domain of the claim `hd`, too
    tenants: tuple[str, ...] = ()  # whose users may log in; empty: all
    audiences: tuple[str, ...] = ()  # that an ID token may name beside the client ID, as Zitadel's does
    two_factor: bool = True  # False: it asks for one itself
    scope: str = "openid email profile"
    response_mode: str = ""  # form_post: the provider's page posts to the callback
    token_auth: str = ""  # client_secret_basic or client_secret_post; empty: what the provider's metadata names
    signing_key: str = field(default="", repr=False)  # PEM: signs a client secret for each request, as Apple demands
    key_id: str = ""  # of that key
    team_id: str = ""  # whose key it is


MICROSOFT = "https://login.microsoftonline.com/"

KNOWN_PROVIDERS: dict[str, dict[str, Any]] = {
    # Of other addresses than these Google says "verified" too, but may have asked years ago
    # (developers.google.com/identity/gsi/web/guides/verify-google-id-token).
    "google": {
        "issuer": "https://accounts.google.com",
        "domains": ("gmail.com", "googlemail.com"),
        "hosts_domains": True,
    },
    # The administrator of a tenant can write any address into `email`; `xms_edov` says that its domain is the tenant's.
    "microsoft": {"issuer": f"{MICROSOFT}{{tenantid}}/v2.0", "verified_claim": "xms_edov", "also_true": ("1",)},
    # Apple posts its answer when it is asked for an address, knows no scope "profile", and may write true as text.
    "apple": {
        "issuer": "https://appleid.apple.com",
        "scope": "openid email name",
        "response_mode": "form_post",
        "also_true": ("true",),
    },
}


def oidc_provider(name: str) -> Provider:
    """Read what the settings say of one provider. What can't be read, or can never work, is refused at start."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,23}", name):
        misread.append(f"OIDC_PROVIDERS has {name!r}: write names of lowercase a-z and digits, such as google.")
    known, prefix = KNOWN_PROVIDERS.get(name, {}), f"OIDC_{name.upper()}_"
    issuer = env(f"{prefix}ISSUER", known.get("issuer", "")).removesuffix("/.well-known/openid-configuration")
    misread.extend(_issuer_problems(f"{prefix}ISSUER", issuer))
    read: dict[str, Any] = {
        "label": env(f"{prefix}LABEL", name.capitalize()),
        "issuer": issuer,
        "client_id": env(f"{prefix}CLIENT_ID", ""),
        "client_secret": env(f"{prefix}CLIENT_SECRET", ""),
        "domains": _domains(f"{prefix}DOMAINS", env(f"{prefix}DOMAINS", " ".join(known.get("domains", ())))),
        "tenants": _tenants(f"{prefix}TENANTS", env(f"{prefix}TENANTS", "")),
        "audiences": split(env(f"{prefix}AUDIENCES", "")),
        "two_factor": env(f"{prefix}TWO_FACTOR", True),
        "scope": _scope(f"{prefix}SCOPE", env(f"{prefix}SCOPE", known.get("scope", Provider.scope))),
        "response_mode": _one_of(f"{prefix}RESPONSE_MODE", known.get("response_mode", ""), "query", "form_post"),
        "token_auth": _one_of(f"{prefix}TOKEN_AUTH", "", "client_secret_basic", "client_secret_post"),
        "signing_key": _key_file(f"{prefix}CLIENT_SECRET_KEY_FILE", env(f"{prefix}CLIENT_SECRET_KEY_FILE", "")),
        "key_id": env(f"{prefix}CLIENT_SECRET_KEY_ID", ""),
        "team_id": env(f"{prefix}CLIENT_SECRET_TEAM_ID", ""),
    }
    return Provider(name, **known | read)


def _issuer_problems(name: str, issuer: str) -> Iterator[str]:
    """Say why no provider can be this issuer."""
    if issuer and not re.fullmatch(r"https?://[^\s/?#@\\]+(/[^\s?#\\]*)?", issuer, re.ASCII):
        yield f"{name} is {issuer!r}: write the address that the provider calls its issuer, https://login.example.com."
    tenant = issuer.removeprefix(MICROSOFT).partition("/")[0]
    if issuer.startswith(MICROSOFT) and tenant != "{tenantid}" and not GUID.fullmatch(tenant):
        yield f"{name} names the tenant {tenant!r}: write its ID, from Entra's overview page, or leave {name} out."


def special_domains(text: str) -> tuple[str, ...]:
    """Read EMAIL_SPECIAL_DOMAINS: `.local`, `local` and `*.local` all mean that domain and those below it."""
    domains = []
    for word in split(text):
        plain = word.removeprefix("@").removeprefix("*").removeprefix(".").removesuffix(".")
        domains.append(_ascii_domain(plain))
        if not re.fullmatch(LABEL + rf"(\.{LABEL})*", domains[-1]):
            misread.append(f"EMAIL_SPECIAL_DOMAINS has {word!r}: write domains such as .local, home.arpa or intranet.")
    return tuple(domains)


def is_below(domain: str, domains: tuple[str, ...]) -> bool:
    """Say whether a domain is one of `domains`, which are in ASCII, or below one."""
    in_ascii = domain.lower() if domain.isascii() else _ascii_domain(domain)
    return any(in_ascii == known or in_ascii.endswith(f".{known}") for known in domains)


def _ascii_domain(text: str) -> str:
    """A domain in lowercase and in ASCII; "" if it can't be one."""
    with suppress(idna.IDNAError):
        return idna.encode(text, uts46=True).decode().lower() if len(text) < MAX_DOMAIN else ""
    return ""


def _domains(name: str, text: str) -> tuple[str, ...]:
    """Read domains as addresses have them: without the @, in lowercase, and in ASCII."""
    domains = []
    for word in split(text):
        domains.append(_ascii_domain(word.removeprefix("@").removesuffix(".")))
        if not DOMAIN.fullmatch(domains[-1]) and not is_below(domains[-1], SPECIAL_DOMAINS):
            misread.append(f"{name} has {word!r}: write domains of email addresses, such as example.org.")
    return tuple(domains)


def _tenants(name: str, text: str) -> tuple[str, ...]:
    """Read the IDs of tenants. A token names its tenant by ID, never by domain."""
    tenants = tuple(word.lower() for word in split(text))
    misread.extend(
        f"{name} has {tenant!r}: write the tenant's ID, as Entra's overview page shows it."
        for tenant in tenants
        if not GUID.fullmatch(tenant)
    )
    return tenants


def _scope(name: str, text: str) -> str:
    scope = " ".join(split(text))
    if "openid" not in scope.split():
        misread.append(
            f"{name} lacks openid, without which no provider says who logged in: write openid email profile."
        )
    return scope


def _one_of(name: str, default: str, *words: str) -> str:
    word = env(name, default).lower()
    if word and word not in words:
        misread.append(f"{name} is {word!r}: write {' or '.join(words)}, or leave it out.")
    return word


def _key_file(name: str, path: str) -> str:
    """Read a private key that signs client secrets, such as Apple's AuthKey_….p8."""
    if not path:
        return ""
    try:
        key = (PROJECT / path).read_text()
    except (OSError, ValueError) as error:
        misread.append(f"{name}: {path} can't be read ({type(error).__name__}).")
        return ""
    if "PRIVATE KEY-----" not in key:
        misread.append(f"{name}: {path} holds no private key. Write the path of the .p8 file that Apple gave you.")
    return key


def read_files() -> list[str]:
    """Read this project's files, where the environment has no value. Return what can't be read, in words."""
    is_flask = _is_run_by_flask()
    if is_flask:
        _take_back(_found_elsewhere())  # else `flask db upgrade` changes another program's database
    problems = []
    for path in (PROJECT / ".env", PROJECT / ".flaskenv")[: 2 if is_flask else 1]:
        try:
            load_dotenv(path)
        except (OSError, ValueError) as error:
            problems.append(f"{path} can't be read ({type(error).__name__}). Save it as UTF-8, readable for this user.")
    return problems


def _is_run_by_flask() -> bool:
    context = click.get_current_context(silent=True)
    return bool(context and getattr(context.find_root().obj, "load_dotenv_defaults", False))


def _found_elsewhere() -> dict[str, str | None]:
    """Return what `flask` read in the nearest files above the working directory, if those are not this project's."""
    found: dict[str, str | None] = {}
    for name in (".flaskenv", ".env"):
        path = find_dotenv(name, usecwd=True)
        if path and Path(path).resolve().parent != PROJECT:
            found |= dotenv_values(path, encoding="utf-8")
    return found


def _take_back(values: dict[str, str | None]) -> None:
    given = _given()
    for name, value in values.items():
        if name not in given and os.environ.get(name) == value:
            del os.environ[name]


def _given() -> set[str]:
    """Return the variables that this process was started with, where the system tells."""
    try:
        lines = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:
        return set()
    return {line.partition(b"=")[0].decode(errors="replace") for line in lines}


misread += read_files()

SPECIAL_DOMAINS = special_domains(env("EMAIL_SPECIAL_DOMAINS", ""))


PUBLIC_URL = re.compile(r"https?://([\w.-]+|\[[0-9a-f:]+\])(:\d+)?(/[^?#\s]*)?", re.ASCII)

LOCAL_DOMAINS = ("local", "localhost")  # a mail server at home may take an email from there

DRIVERS = {"sqlite", "sqlite+pysqlite", "postgresql+psycopg"}
IN_MEMORY = {"sqlite://", "sqlite:///:memory:"}

# Parts of random keys that were published: Django's for new projects, and the one in Flask's documentation.
PUBLISHED_KEYS = ("django-insecure-", "192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf")


class Config:
    """What all configurations share."""

    # fmt: off
    APP_NAME = env("APP_NAME", "Flasky")  # what the application calls itself on pages and in emails
    SECRET_KEY = env("SECRET_KEY", "")  # signs cookies and mailed links; development makes its own in instance/
    SECRET_KEY_FALLBACKS = split(env("SECRET_KEY_FALLBACKS", ""))  # earlier ones, which still verify
    SQLALCHEMY_DATABASE_URI = psycopg_url(env("DATABASE_URL", ""))  # development makes a file in instance/
    PUBLIC_URL = env("PUBLIC_URL", "").rstrip("/")  # every mailed link starts with it
    TRUSTED_PROXIES = env("TRUSTED_PROXIES", 0)  # how many proxies stand in front and set X-Forwarded-*
    TRUSTED_PROXY_NETWORKS = split(env("TRUSTED_PROXY_NETWORKS", "127.0.0.0/8 ::1"))  # of the nearest
    PORT = env("PORT", 5000)  # where the development server listens

    MAIL_SERVER = env("MAIL_SERVER", "")  # who takes emails to the world; development does without
    MAIL_PORT = env("MAIL_PORT", 587)
    MAIL_USE_TLS = env("MAIL_USE_TLS", True)  # STARTTLS; turned off by MAIL_USE_SSL
    MAIL_USE_SSL = env("MAIL_USE_SSL", False)  # TLS from the first byte, as on port 465
    MAIL_USERNAME = env("MAIL_USERNAME", "")
    MAIL_PASSWORD = env("MAIL_PASSWORD", "")
    MAIL_SENDER = env("MAIL_SENDER", "")  # Garden <mail@example.com>; APP_NAME, no-reply@ PUBLIC_URL's host if empty
    MAIL_DELIVERY = env("MAIL_DELIVERY", "thread")  # thread: in the web process; worker: flask mail work; off: wait

    # Of closed networks: .local, .test, home.arpa, localhost, intranet. They are refused in email addresses elsewhere.
    EMAIL_SPECIAL_DOMAINS = SPECIAL_DOMAINS

    REGISTRATION_OPEN = env("REGISTRATION_OPEN", True)  # 0: accounts are made with flask users create
    PREVENT_ENUMERATION = env("PREVENT_ENUMERATION", False)  # 1: do not reveal who has an account; SECURITY.md
    PASSWORD_MIN_LENGTH = env("PASSWORD_MIN_LENGTH", 8)  # 15 where NIST SP 800-63B-4 binds you: see SECURITY.md

    # With whose accounts people can log in: google, microsoft, apple, or any other (docs/providers.md).
    OIDC_PROVIDERS = {name: oidc_provider(name) for name in split(env("OIDC_PROVIDERS", ""))}
    TWO_FACTOR_REQUIRED_FOR = env("TWO_FACTOR_REQUIRED_FOR", "nobody")  # who must have one: nobody, admins or everybody
    VERIFY_NEW_DEVICES = env("VERIFY_NEW_DEVICES", False)  # 1: a password alone logs in on recognised devices only

    RECAPTCHA_PUBLIC_KEY = env("RECAPTCHA_PUBLIC_KEY", "")  # both keys set: registration and login ask for people
    RECAPTCHA_PRIVATE_KEY = env("RECAPTCHA_PRIVATE_KEY", "")
    RECAPTCHA_VERIFY_SERVER = env("RECAPTCHA_VERIFY_SERVER", "https://www.google.com/recaptcha/api/siteverify")
    RECAPTCHA_SCRIPT = env("RECAPTCHA_SCRIPT", "https://www.google.com/recaptcha/api.js")  # or www.recaptcha.net, ...
    RECAPTCHA_ALWAYS = env("RECAPTCHA_ALWAYS", False)  # 1: login asks at once, not after three failures

    RATELIMIT_ENABLED = env("RATELIMIT_ENABLED", True)  # 0: no limits, for a load test
    REDIS_URL = env("REDIS_URL", "")  # Redis or Valkey, to count for the limits; the database does if it is empty
    # fmt: on

    # OWASP Password Storage Cheat Sheet: N=2^14, r=8, p=5; equal in strength to its other sets, and the lightest here.
    PASSWORD_HASH = "scrypt:16384:8:5"

    MAX_CONTENT_LENGTH = 64 * 1024  # bytes; app/web/request_size.py says how long each field may be
    MAX_FORM_PARTS = 100  # fields of one form, however it is encoded
    SESSION_COOKIE_SAMESITE = "Lax"
    SESSION_COOKIE_SECURE = False
    # complete() adds the port and the path of PUBLIC_URL: browsers send the cookies of a host to all of its ports.
    SESSION_COOKIE_NAME = "flasky-session"
    DEVICE_COOKIE_NAME = "flasky-device"  # by which a browser is known again; it proves nothing
    REMEMBER_COOKIE_NAME = ";"  # Flask-Login's own is not used: under a name that no browser can send, nobody sends one
    SESSION_REFRESH_EACH_REQUEST = False  # else static files and probes would carry a cookie
    PERMANENT_SESSION_LIFETIME = timedelta(days=30)
    WTF_CSRF_CHECK_DEFAULT = False  # app/web/csrf.py asks for the token where the browser does not say enough
    WTF_CSRF_TIME_LIMIT = None  # a form is good for as long as its session
    BOOTSTRAP_SERVE_LOCAL = True

    @staticmethod
    def problems(settings: Mapping[str, Any]) -> list[str]:
        """Say what is wrong with `settings`, a sentence each, with the remedy."""
        found = list(misread)
        if settings["MAIL_DELIVERY"] not in {"thread", "worker", "off"}:
            found.append("MAIL_DELIVERY: write thread, worker or off.")
        if settings["TWO_FACTOR_REQUIRED_FOR"] not in {"nobody", "admins", "everybody"}:
            found.append("TWO_FACTOR_REQUIRED_FOR: write nobody, admins or everybody.")
        if settings["PORT"] not in range(1, 65536):
            found.append("PORT: write a number from 1 to 65535.")
        found += [
            f"TRUSTED_PROXY_NETWORKS has {network!r}: write networks such as 10.0.0.0/8, or addresses."
            for network in settings["TRUSTED_PROXY_NETWORKS"]
            if not _is_network(network)
        ]
        if settings["MAIL_PORT"] not in range(1, 65536):
            found.append("MAIL_PORT: write a number from 1 to 65535.")
        if settings["SQLALCHEMY_DATABASE_URI"]:
            found += _problems_of_database(str(settings["SQLALCHEMY_DATABASE_URI"]))
        if settings["PUBLIC_URL"] and not _is_public_url(settings["PUBLIC_URL"]):
            found.append("PUBLIC_URL: write an address as http://localhost:5000 or https://example.com/path")
        found += [
            f"{name}: it has a line break or another control character. Write it in one line."
            for name in ("APP_NAME", "MAIL_SENDER")
            if not settings[name].isprintable()
        ]
        if settings["MAIL_SENDER"] or settings["MAIL_SERVER"]:
            found += _problems_of_sender(settings)
        found += [
            f"OIDC_{name.upper()}_{part} is missing. {name.capitalize()}'s console, or its administrator, has it."
            for name, provider in settings["OIDC_PROVIDERS"].items()
            for part in _missing(provider)
        ]
        if bool(settings["RECAPTCHA_PUBLIC_KEY"]) != bool(settings["RECAPTCHA_PRIVATE_KEY"]):
            found.append("RECAPTCHA_PUBLIC_KEY and RECAPTCHA_PRIVATE_KEY go together: write both, or neither.")
        if settings["REDIS_URL"] and not _is_redis_url(settings["REDIS_URL"]):
            found.append("REDIS_URL: write redis://host:6379/0, rediss:// for TLS, or redis+unix:///path/to/socket.")
        if settings["PASSWORD_MIN_LENGTH"] not in range(8, 129):
            found.append("PASSWORD_MIN_LENGTH: write a number from 8 to 128.")
        return found

    @staticmethod
    def mistyped() -> list[str]:
        """Say which variables of the environment look like a mistyped setting."""
        from app import setting_names

        known = {*defaults, "FLASK_CONFIG", "WEB_CONCURRENCY"}  # which app/__init__.py and gunicorn.conf.py read
        return setting_names.warnings(os.environ, known, Config.OIDC_PROVIDERS, KNOWN_PROVIDERS)


class Development(Config):
    """One person's own machine: emails go to a page, the secret is made here."""

    MAILBOX = "mailbox"  # the folder in instance/ where emails are kept


class Testing(Config):
    """The suite: a cheap hash, emails kept in memory, forms without their token where a test does not ask for it."""

    TESTING = True
    SECRET_KEY = "for tests alone, and long enough to be a key"
    SQLALCHEMY_DATABASE_URI = "sqlite://"
    PUBLIC_URL = "http://localhost"
    SESSION_COOKIE_NAME = "session"
    DEVICE_COOKIE_NAME = "device"
    PASSWORD_HASH = "pbkdf2:sha256:1"
    MAIL_DELIVERY = "off"
    WTF_CSRF_ENABLED = False


class Production(Config):
    """Everything that strangers can reach."""

    SESSION_COOKIE_NAME = "__Host-session"
    DEVICE_COOKIE_NAME = "__Host-device"
    SESSION_COOKIE_SECURE = True

    @staticmethod
    def problems(settings: Mapping[str, Any]) -> list[str]:
        """Say what is missing, and how to give it."""
        found = Config.problems(settings)
        if _is_guessable(settings["SECRET_KEY"]):
            command = "python -c 'import secrets; print(secrets.token_hex())'"
            found.append(f"SECRET_KEY is missing, under 32 bytes, or easy to guess. Make one: {command}")
        if any(map(_is_guessable, settings["SECRET_KEY_FALLBACKS"])):
            found.append("SECRET_KEY_FALLBACKS holds a key that is under 32 bytes or easy to guess. Leave it out.")
        if not settings["PUBLIC_URL"] or settings["PUBLIC_URL"].startswith("http://"):
            found.append("PUBLIC_URL is missing or not https. Write the address that people type: https://example.com")
        if not settings["SQLALCHEMY_DATABASE_URI"]:
            found.append(
                "DATABASE_URL is missing. Write postgresql://user:password@host/name, or sqlite:////path/app.db"
            )
        if not settings["MAIL_SERVER"]:
            found.append("MAIL_SERVER is missing. Write the host name of the server that takes your mail.")
        found += [
            f"OIDC_{name.upper()}_ISSUER is not https. Write the address that it gives as its issuer."
            for name, provider in settings["OIDC_PROVIDERS"].items()
            if provider.issuer and not provider.issuer.startswith("https://")
        ]
        if settings.get("DEBUG"):
            found.append("Debug mode is on. Remove FLASK_DEBUG: its pages let a stranger run code.")
        return found


def _missing(provider: Provider) -> list[str]:
    """Return the settings of a provider that are needed and empty. A signing key replaces the client secret."""
    needed = {"ISSUER": provider.issuer, "CLIENT_ID": provider.client_id}
    if provider.signing_key:
        needed |= {"CLIENT_SECRET_KEY_ID": provider.key_id, "CLIENT_SECRET_TEAM_ID": provider.team_id}
    else:
        needed["CLIENT_SECRET"] = provider.client_secret
    return [part for part, value in needed.items() if not value]


configurations = {"development": Development, "testing": Testing, "production": Production}


def _is_public_url(text: str) -> bool:
    with suppress(ValueError):
        return bool(PUBLIC_URL.fullmatch(text)) and urlsplit(text).port != 0
    return False


def _problems_of_database(text: str) -> Iterator[str]:
    """Say why no database can be at this address; never what it is, since a password is in it."""
    remedy = "Write postgresql://user:password@host/name, or sqlite:////path/app.db"
    try:
        url = make_url(text)
        if url.drivername in DRIVERS:
            _, options = url.get_dialect()().create_connect_args(url)
            if not url.drivername.startswith("sqlite"):
                _check_conninfo(dict(options))
        else:
            yield f"DATABASE_URL begins with {url.drivername}://, which is not supported. {remedy}"
    except (SQLAlchemyError, ValueError):
        yield f"DATABASE_URL is not the address of a database. {remedy}"


def _check_conninfo(options: dict[str, Any]) -> None:
    """Raise ValueError if psycopg knows no such option, or a port is none."""
    from psycopg import Error, conninfo

    try:
        conninfo.make_conninfo(**options)
    except Error as error:
        raise ValueError(str(error)) from error
    if any(port and int(port) not in range(1, 65536) for port in str(options.get("port", "")).split(",")):
        raise ValueError("port")


def _is_redis_url(text: str) -> bool:
    with suppress(ValueError):
        return urlsplit(text).scheme in {"redis", "rediss", "redis+unix"} and urlsplit(text).port != 0
    return False


def _is_network(text: str) -> bool:
    try:
        ip_network(text)
    except ValueError:
        return False
    return True


def _is_guessable(key: str) -> bool:
    """Say whether others could know a key. One with spaces or commas could not be a fallback later."""
    from app.security.entropy import is_guessable

    is_published = any(known in key for known in PUBLISHED_KEYS)
    return bool(re.search(r"[\s,]", key)) or len(key.encode()) < 32 or is_published or is_guessable(key)


def _sender(settings: Mapping[str, Any]) -> str:
    """What MAIL_SENDER says, or follows from PUBLIC_URL."""
    host = urlsplit(settings["PUBLIC_URL"]).hostname or "localhost"
    return settings["MAIL_SENDER"] or f"no-reply@{mail_domain(host)}"


def _problems_of_sender(settings: Mapping[str, Any]) -> list[str]:
    try:
        mail_sender(_sender(settings), settings["EMAIL_SPECIAL_DOMAINS"])
    except ValueError as error:
        example = "Write one address: no-reply@example.com, or with a name: Garden <no-reply@example.com>."
        if settings["MAIL_SENDER"]:
            return [f"MAIL_SENDER is no address that email can come from. {error} {example}"]
        if PUBLIC_URL.fullmatch(settings["PUBLIC_URL"]):
            return [f"MAIL_SENDER is missing, and no address can be made of PUBLIC_URL's host. {example}"]
    return []


def setting(name: str) -> Any:
    """Return a setting of the running application, for those who import no Flask."""
    return current_app.config[name]


def mail_sender(text: str, special: tuple[str, ...] = ()) -> tuple[str, str]:
    """Read an address, or a name and an address in angle brackets, as MAIL_SENDER has it; the name may be empty.

    Args:
        special: the domains in EMAIL_SPECIAL_DOMAINS.

    Raises ValueError, with a reason in words, if a mail server would not take the address.
    """
    name, bracket, address = text.rpartition("<")
    if bracket and re.fullmatch(r'[^"<>@:;\\]+', name):
        text = f'"{name.strip()}" <{address}'
    text, suffix = with_public_domain(text, LOCAL_DOMAINS + special)
    parsed = validate_email(
        text,
        allow_display_name=True,
        allow_domain_literal=True,
        allow_smtputf8=False,
        check_deliverability=False,
        globally_deliverable=False,
        strict=True,
    )
    if "=?" in parsed.local_part:
        raise ValueError("The part before the @ can't hold an encoded word.")
    ascii_address = parsed.ascii_email or parsed.normalized
    return parsed.display_name or "", ascii_address.removesuffix(suffix)


def with_public_domain(address: str, special: tuple[str, ...]) -> tuple[str, str]:
    """Return an address that email-validator does not refuse for its domain, and the suffix to take off afterwards.

    Its own list of special domains is one for the whole process, while a setting belongs to an application.

    Args:
        address: an address, or one at the end of a text, in angle brackets.
        special: domains that are accepted with their subdomains, although none of them is on the public Internet.
    """
    head, _, rest = address.rpartition("@")
    domain = rest.rstrip("> ")
    if head and is_below(domain, special):
        suffix = ".example.com"
        return f"{head}@{domain}{suffix}{rest[len(domain) :]}", suffix
    return address, ""


def mail_domain(host: str) -> str:
    """Return what stands after the @ in an address at `host`: its name, or its number in brackets (RFC 5321, 4.1.3)."""
    with suppress(ValueError):
        return f"[{'IPv6:' if ip_address(host).version == 6 else ''}{host}]"
    return host


def kept_secret(path: Path) -> str:
    """Return the secret that is kept in a file, which only its owner can read; make it at first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or not path.read_text():
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex())
    return path.read_text()


def complete(settings: dict[str, Any], instance_path: str) -> None:
    """Work out what follows from other settings."""
    if settings["CONFIG_NAME"] == "development" and not settings["SECRET_KEY"]:
        settings["SECRET_KEY"] = kept_secret(Path(instance_path) / "secret_key")
    settings["SQLALCHEMY_DATABASE_URI"] = settings["SQLALCHEMY_DATABASE_URI"] or "sqlite:///app.db"
    settings["PUBLIC_URL"] = settings["PUBLIC_URL"] or f"http://localhost:{settings['PORT']}"
    settings["SESSION_COOKIE_PATH"] = urlsplit(settings["PUBLIC_URL"]).path or "/"
    for cookie in ("SESSION_COOKIE_NAME", "DEVICE_COOKIE_NAME"):
        settings[cookie] = own_cookie_name(settings[cookie], settings["PUBLIC_URL"])
    special = settings["EMAIL_SPECIAL_DOMAINS"]
    name, address = (
        mail_sender(settings["MAIL_SENDER"], special) if settings["MAIL_SENDER"] else ("", _sender(settings))
    )
    settings["MAIL_DEFAULT_SENDER"] = f'"{quote(name or settings["APP_NAME"])}" <{address}>'
    settings["MAIL_SUPPRESS_SEND"] = not settings["MAIL_SERVER"]
    settings.setdefault("SQLALCHEMY_ENGINE_OPTIONS", _engine_options(settings["SQLALCHEMY_DATABASE_URI"]))
    settings.setdefault("SQLALCHEMY_BINDS", {})["rate_limits"] = _hasty_engine(settings["SQLALCHEMY_DATABASE_URI"])
    settings["REDIS_OPTIONS"] = _redis_options() if settings["REDIS_URL"] else {}


def own_cookie_name(name: str, public_url: str) -> str:
    """Return the name of a cookie that belongs to the instance at `public_url` alone.

    Cookies of a host go to all of its ports, so an explicit port becomes part of the name, and so does a path, below
    which there may be another instance. The prefix `__Host-` demands the path /; elsewhere it is `__Secure-`.
    """
    public = urlsplit(public_url)
    port = public.port if public.port != {"http": 80, "https": 443}[public.scheme] else None
    path = path_in_cookie_name(public.path)
    if path:
        name = name.replace("__Host-", "__Secure-")
    return "-".join(str(part) for part in (name, port, path) if part)


def path_in_cookie_name(path: str) -> str:
    """Return a path in characters that the name of a cookie may have; another one for each path."""
    return url_quote(path.strip("/"), safe="/").replace(".", "%2E").replace("/", ".")


def _engine_options(url: str) -> dict[str, Any]:
    """No request waits for the database for longer than 5 seconds; no error repeats what was to be written."""
    if url.startswith("sqlite"):
        # Reads take no lock; the first write takes it at once and waits, so that no update is lost.
        connect_args = {"isolation_level": "IMMEDIATE", "timeout": 5}
        pool = {} if url in IN_MEMORY else {"max_overflow": 30}
        return {"connect_args": connect_args, "hide_parameters": True, **pool}
    limits = "-c statement_timeout=5s -c lock_timeout=5s -c idle_in_transaction_session_timeout=60s"
    return {
        # Nothing is prepared, which PgBouncer can't pass on: psycopg forgets it with every rollback anyway.
        "connect_args": {"connect_timeout": 5, "options": limits, "prepare_threshold": None},
        "hide_parameters": True,
        "max_overflow": 30,  # with the pool's 5, more than the server has threads: none waits for a connection
        "pool_timeout": 5,
    }


def _hasty_engine(url: str) -> dict[str, Any]:
    """The same database for the counts of the limits, which nobody waits for: each statement is a transaction."""
    if url.startswith("sqlite"):
        pool = {} if url in IN_MEMORY else {"max_overflow": 0, "pool_timeout": 1}
        return {"url": url, "connect_args": {"isolation_level": None, "timeout": 0.5}, **pool}
    limits = "-c statement_timeout=500 -c lock_timeout=500 -c synchronous_commit=off"
    return {
        "url": url,
        "connect_args": {"connect_timeout": 2, "options": limits, "prepare_threshold": None},
        "isolation_level": "AUTOCOMMIT",
        "max_overflow": 0,
        "pool_timeout": 1,
    }


def _redis_options() -> dict[str, Any]:
    """Nobody waits for Redis for longer than half a second; a connection that it has closed is opened anew, once."""
    from redis.backoff import NoBackoff
    from redis.exceptions import ConnectionError as Away
    from redis.retry import Retry

    return {"socket_connect_timeout": 0.5, "socket_timeout": 0.5, "retry": Retry(NoBackoff(), 1, (Away,))}

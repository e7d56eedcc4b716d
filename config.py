"""Every setting with its default and a comment.

The values come from the environment and the file `.env` next to this one (see `.env.example`). The package `settings/`
reads, validates and completes them.
"""

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from settings import names, validation
from settings.brand import DEFAULT_ACCENT
from settings.connections import psycopg_url
from settings.domains import special_domains
from settings.environment import Environment, split
from settings.providers import KNOWN_PROVIDERS, read_providers

env = Environment()


class Config:
    """The settings that all configurations share."""

    # fmt: off
    APP_NAME = env("APP_NAME", "Flasky")  # the name of the application on pages and in emails
    ACCENT_COLOR = env("ACCENT_COLOR", DEFAULT_ACCENT)  # of buttons and links; adjusted until they are readable
    SUPPORT_EMAIL = env("SUPPORT_EMAIL", "")  # where users can write to; default: no address is shown
    HELP_URL = env("HELP_URL", "")  # this and the next two: your own pages, linked at the foot of every page
    TERMS_URL = env("TERMS_URL", "")
    PRIVACY_URL = env("PRIVACY_URL", "")
    LANGUAGES = split(env("LANGUAGES", "en"))  # of pages and emails; the first one is the default
    SECRET_KEY = env("SECRET_KEY", "")  # signs cookies and emailed links; development creates one in instance/
    SECRET_KEY_FALLBACKS = split(env("SECRET_KEY_FALLBACKS", ""))  # earlier keys; their signatures stay valid
    SQLALCHEMY_DATABASE_URI = psycopg_url(env("DATABASE_URL", ""))  # development uses a file in instance/
    PUBLIC_URL = env("PUBLIC_URL", "").rstrip("/")  # every emailed link starts with it
    TRUSTED_PROXIES = env("TRUSTED_PROXIES", 0)  # the number of proxies in front that set X-Forwarded-*
    TRUSTED_PROXY_NETWORKS = split(env("TRUSTED_PROXY_NETWORKS", "127.0.0.0/8 ::1"))  # of the nearest proxy
    PORT = env("PORT", 5000)  # of the development server

    MAIL_SERVER = env("MAIL_SERVER", "")  # the SMTP server; optional in development
    MAIL_PORT = env("MAIL_PORT", 587)
    MAIL_USE_TLS = env("MAIL_USE_TLS", True)  # STARTTLS; turned off by MAIL_USE_SSL
    MAIL_USE_SSL = env("MAIL_USE_SSL", False)  # TLS from the first byte, as on port 465
    MAIL_USERNAME = env("MAIL_USERNAME", "")
    MAIL_PASSWORD = env("MAIL_PASSWORD", "")
    MAIL_OAUTH_TOKEN_URL = env("MAIL_OAUTH_TOKEN_URL", "")  # these four log in without a password: docs/email.md
    MAIL_OAUTH_CLIENT_ID = env("MAIL_OAUTH_CLIENT_ID", "")
    MAIL_OAUTH_CLIENT_SECRET = env("MAIL_OAUTH_CLIENT_SECRET", "")
    MAIL_OAUTH_SCOPE = env("MAIL_OAUTH_SCOPE", "https://outlook.office365.com/.default")
    MAIL_OAUTH_KEY_FILE = env("MAIL_OAUTH_KEY_FILE", "")  # instead of the four: the key of a Google service account
    MAIL_SENDER = env("MAIL_SENDER", "")  # Garden <mail@example.com>; default: APP_NAME, no-reply@ PUBLIC_URL's host
    MAIL_DELIVERY = env("MAIL_DELIVERY", "thread")  # thread: in each web process; worker: flask mail worker; off: none

    # Domains of a private network (.local, .test, home.arpa, intranet), which email addresses can't have by default.
    EMAIL_SPECIAL_DOMAINS = special_domains(env)

    REGISTRATION_OPEN = env("REGISTRATION_OPEN", True)  # 0: only administrators create accounts (flask users create)
    USERNAMES = env("USERNAMES", "required")  # off: accounts are known by their email address alone
    CONFIRMATION = env("CONFIRMATION", "required")  # of email addresses; later: only where a view asks for it; or off
    LOGIN_METHODS = split(env("LOGIN_METHODS", "password,magic_link,passkey"))  # some of them; none: SSO only
    TWO_FACTOR = env("TWO_FACTOR", True)  # 0: no two-factor authentication
    PREVENT_ENUMERATION = env("PREVENT_ENUMERATION", False)  # 1: never reveal which addresses have an account
    SECURITY_PASSWORD_SALT = env("SECURITY_PASSWORD_SALT", "")  # Flask-Security's, if its password hashes are imported
    PASSWORD_MIN_LENGTH = env("PASSWORD_MIN_LENGTH", 8)  # 15 if NIST SP 800-63B-4 applies to you: see SECURITY.md
    PWNED_PASSWORDS_URL = env("PWNED_PASSWORDS_URL", "")  # of a service that knows the passwords of data breaches

    # The providers of SSO: google, microsoft, apple, or any other (docs/providers.md).
    OIDC_PROVIDERS = read_providers(env, EMAIL_SPECIAL_DOMAINS)
    MOCK_PROVIDER = env("MOCK_PROVIDER", True)  # 0: development has no mock provider
    TWO_FACTOR_REQUIRED_FOR = env("TWO_FACTOR_REQUIRED_FOR", "nobody")  # nobody, admins or everybody
    VERIFY_NEW_DEVICES = env("VERIFY_NEW_DEVICES", False)  # 1: on a new device, a password also needs an emailed code

    CAPTCHA = env("CAPTCHA", "off")  # on registration and login: off, recaptcha, or altcha, which asks no third party
    CAPTCHA_ALWAYS = env("CAPTCHA_ALWAYS", False)  # 1: login shows it at once, not after three failures
    RECAPTCHA_PUBLIC_KEY = env("RECAPTCHA_PUBLIC_KEY", "")  # both keys, for CAPTCHA=recaptcha
    RECAPTCHA_PRIVATE_KEY = env("RECAPTCHA_PRIVATE_KEY", "")
    RECAPTCHA_VERIFY_SERVER = env("RECAPTCHA_VERIFY_SERVER", "https://www.google.com/recaptcha/api/siteverify")
    RECAPTCHA_SCRIPT = env("RECAPTCHA_SCRIPT", "https://www.google.com/recaptcha/api.js")  # or of www.recaptcha.net

    MAX_CONTENT_LENGTH = env("MAX_CONTENT_LENGTH", 64 * 1024)  # bytes of a request; a view can accept more
    FULL_BOOTSTRAP = env("FULL_BOOTSTRAP", False)  # 1: all of Bootstrap, with its scripts; default: what our pages use

    RATELIMIT_ENABLED = env("RATELIMIT_ENABLED", True)  # 0: no rate limits, for a load test
    METRICS_TOKEN = env("METRICS_TOKEN", "")  # what Prometheus sends to /metrics; default: only this machine may ask
    REDIS_URL = env("REDIS_URL", "")  # Redis or Valkey for the counters of rate limits; default: the database
    # fmt: on

    # OWASP Password Storage Cheat Sheet: N=2^14, r=8, p=5, the one of its equivalent settings with the least memory.
    PASSWORD_HASH = "scrypt:16384:8:5"
    RECOVERY_CODE_HASH = "scrypt:1024:8:1"  # 5 ms and 1 MiB per guess: codes are random, so they need less

    MAX_FORM_PARTS = 100  # fields of one form, in any encoding
    SESSION_COOKIE_SAMESITE = "Lax"
    SESSION_COOKIE_SECURE = False
    # settings/derived.py adds the port and path of PUBLIC_URL, because a host's cookies are shared by all its ports.
    SESSION_COOKIE_NAME = "flasky-session"
    DEVICE_COOKIE_NAME = "flasky-device"  # identifies a device; it authenticates nobody
    APPEARANCE_COOKIE_NAME = "flasky-appearance"  # light or dark, if the user has chosen
    LANGUAGE_COOKIE_NAME = "flasky-language"  # the language that a visitor has chosen
    METHOD_COOKIE_NAME = "flasky-method"  # the login method that was last used on a device
    OFFER_COOKIE_NAME = "flasky-offer"  # the user has declined the offer of a passkey
    REMEMBER_COOKIE_NAME = ";"  # disables Flask-Login's own cookie, because no browser can send this name
    SESSION_REFRESH_EACH_REQUEST = False  # otherwise static files and probes would set a cookie
    PERMANENT_SESSION_LIFETIME = timedelta(days=30)  # of the cookie; sessions last as app/accounts/sessions.py says
    WTF_CSRF_CHECK_DEFAULT = False  # app/web/csrf.py requires a token only if the browser sends no Sec-Fetch-Site
    WTF_CSRF_TIME_LIMIT = None  # a form stays valid as long as its session

    @staticmethod
    def problems(settings: Mapping[str, Any]) -> list[str]:
        """Return a sentence with a remedy for each setting that prevents a start."""
        return [*env.problems, *validation.problems(settings)]

    @staticmethod
    def mistyped() -> list[str]:
        """Return a sentence for each environment variable that looks like a mistyped setting."""
        known = {*env.defaults, "FLASK_CONFIG", "WEB_CONCURRENCY"}  # read by app/__init__.py and gunicorn.conf.py
        return names.warnings(os.environ, known, Config.OIDC_PROVIDERS, KNOWN_PROVIDERS)


class Development(Config):
    """A developer's machine, with the development mailbox and a generated secret key."""

    MAILBOX = "mailbox"  # the folder in instance/ that keeps emails


class Testing(Config):
    """The test suite: fast hashes, emails in memory, and no CSRF tokens unless a test enables them."""

    TESTING = True
    SECRET_KEY = "for tests alone, and long enough to be a key"
    SQLALCHEMY_DATABASE_URI = "sqlite://"
    PUBLIC_URL = "http://localhost"
    SESSION_COOKIE_NAME = "session"
    DEVICE_COOKIE_NAME = "device"
    APPEARANCE_COOKIE_NAME = "appearance"
    LANGUAGE_COOKIE_NAME = "language"
    METHOD_COOKIE_NAME = "method"
    OFFER_COOKIE_NAME = "offer"
    PASSWORD_HASH = RECOVERY_CODE_HASH = "pbkdf2:sha256:1"
    MAIL_DELIVERY = "off"
    BABEL_TRANSLATION_DIRECTORIES = "translations"  # not your own sentences, which no test of ours knows
    WTF_CSRF_ENABLED = False


class Production(Config):
    """Every public server."""

    SESSION_COOKIE_NAME = "__Host-session"
    DEVICE_COOKIE_NAME = "__Host-device"
    APPEARANCE_COOKIE_NAME = "__Host-appearance"
    LANGUAGE_COOKIE_NAME = "__Host-language"
    METHOD_COOKIE_NAME = "__Host-method"
    OFFER_COOKIE_NAME = "__Host-offer"
    SESSION_COOKIE_SECURE = True

    @staticmethod
    def problems(settings: Mapping[str, Any]) -> list[str]:
        """Add the settings that are missing or unsafe in production."""
        return [*Config.problems(settings), *validation.production_problems(settings)]


configurations = {"development": Development, "testing": Testing, "production": Production}

"""Checks of the servers that the application uses: clocks, mail server, providers, CAPTCHA and Redis."""

import smtplib
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.message import Message
from email.utils import parseaddr, parsedate_to_datetime
from functools import partial
from ipaddress import ip_address
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from flask import current_app
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from app import clock
from app.doctor.findings import Finding, Skipped, explained, reason, remedy, require
from app.email import delivery
from app.extensions import db
from app.security import captcha, oidc, pwned_passwords
from app.security.rate_limits.counters import shared_counters
from app.security.remote import within
from app.switches import is_on
from settings.providers import Provider

TIMEOUT = 10  # seconds for a response
MOST = 1024 * 1024  # bytes of it
SOON = timedelta(days=14)
MAX_SKEW = timedelta(seconds=20)  # from 30 seconds on, codes of authenticator apps are refused


def time_of_day() -> Iterator[Finding]:
    """Compare the clock with other servers, because app codes, links and providers' signatures depend on it."""
    clocks = _clocks()
    if not clocks:
        raise Skipped("there is no other server to compare with")
    for name, ask in clocks.items():
        try:
            ahead = clock.now() - ask()
        except (OSError, ValueError, SQLAlchemyError):  # another check reports it
            continue
        if abs(ahead) > MAX_SKEW:
            seconds = abs(ahead).total_seconds()
            which = "ahead of" if ahead > timedelta(0) else "behind"
            cause = f"The clock here is {seconds:.0f} seconds {which} that of {name}."
            yield Finding(cause, "Let a time service (NTP) set both.")


def _clocks() -> dict[str, Callable[[], datetime]]:
    clocks: dict[str, Callable[[], datetime]] = {}
    if db.engine.name == "postgresql":
        clocks["the database"] = lambda: db.session.scalars(select(func.clock_timestamp())).one()
    for name, provider in _other_providers():
        clocks[name] = partial(_time_of_server, oidc.metadata_url(provider))
    return clocks


def _time_of_server(address: str) -> datetime:
    """Return the time in the Date header of a response."""
    try:
        date = open_url(address).headers["Date"]
    except HTTPError as refusal:
        date = refusal.headers["Date"]
    return parsedate_to_datetime(date or "").astimezone(UTC)


def mail_server() -> Iterator[Finding]:
    """Connect and log in as for an email, and ask whether the server accepts the sender."""
    require("MAIL_SERVER")
    server_name = f"{current_app.config['MAIL_SERVER']}:{current_app.config['MAIL_PORT']}"
    try:
        with delivery.Connection(current_app.extensions["mail"]) as connection:
            connection.host = server = connection.configure_host()
            server.ehlo_or_helo_if_needed()
            code, said = server.mail(parseaddr(current_app.config["MAIL_DEFAULT_SENDER"])[1])
            server.rset()
            certificate = server.sock.getpeercert() if isinstance(server.sock, ssl.SSLSocket) else None
            is_public = server.sock is not None and not ip_address(server.sock.getpeername()[0]).is_private
    except (OSError, smtplib.SMTPException) as error:
        yield explained(f"{server_name}: {reason(error)}.", error)
        return
    if code >= 400:
        answer = f"{code} {said.decode(errors='replace')}"
        yield explained(f"{server_name} refuses emails from MAIL_SENDER: {answer}.", answer)
    yield from _expires_soon(server_name, certificate)
    if is_public and not certificate:
        cause = f"{server_name}: emails and their links are sent unencrypted."
        yield Finding(cause, "Set MAIL_USE_TLS=1 or MAIL_USE_SSL=1.")


def expiring_certificate(address: str) -> Iterator[Finding]:
    """Check when the certificate of an https address expires."""
    url = urlsplit(address)
    to = (url.hostname or "", url.port or 443)
    context = ssl.create_default_context()
    with (
        socket.create_connection(to, TIMEOUT) as connection,
        context.wrap_socket(connection, server_hostname=to[0]) as encrypted,
    ):
        yield from _expires_soon(address, encrypted.getpeercert())


def _expires_soon(name: str, certificate: Mapping[str, Any] | None) -> Iterator[Finding]:
    if certificate:
        at = datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC)
        if at < clock.now() + SOON:
            cause = f"The certificate of {name} expires on {at:%Y-%m-%d}."
            yield Finding(cause, "Renew it, and find out why this does not happen automatically.")


def providers() -> Iterator[Finding]:
    """Read each provider's metadata, and check that its token endpoint accepts the client's credentials."""
    require("OIDC_PROVIDERS")
    for name, provider in _other_providers():
        yield from _provider(f"OIDC_{name.upper()}", provider)


def _provider(prefix: str, provider: Provider) -> Iterator[Finding]:
    try:
        metadata = oidc.look_up(provider)
    except oidc.Failure as error:
        url = oidc.metadata_url(provider)
        yield Finding(f"{url}: {reason(error)}.", f"Is {prefix}_ISSUER exactly right, and does it answer?")
        return
    if not metadata.algorithms:
        cause = f"{metadata.issuer} signs with algorithms that are not supported."
        yield Finding(cause, "Let it sign ID tokens with RS256.")
    try:
        oidc.check_credentials(provider)
    except oidc.Failure as error:
        methods = ", ".join(metadata.auth_methods)
        yield Finding(
            f"{metadata.token_endpoint} refuses this application: {reason(error)}.",
            f"Are {prefix}_CLIENT_ID and _CLIENT_SECRET right? It supports the methods {methods}: {prefix}_TOKEN_AUTH"
            " can force one.",
        )


def _other_providers() -> list[tuple[str, Provider]]:
    """Return the providers without the mock provider, which is this application itself."""
    own = current_app.config["PUBLIC_URL"]
    providers: dict[str, Provider] = current_app.config["OIDC_PROVIDERS"]
    return [(name, provider) for name, provider in providers.items() if not provider.issuer.startswith(own)]


def captcha_service() -> Iterator[Finding]:
    """Ask the CAPTCHA service whether it knows the private key."""
    if current_app.config["CAPTCHA"] != "recaptcha":
        raise Skipped(f"CAPTCHA is {current_app.config['CAPTCHA']}, which asks no service")
    try:
        refused = captcha.ask("").get("error-codes", [])
    except captcha.Unavailable as error:
        yield Finding(f"RECAPTCHA_VERIFY_SERVER does not answer correctly: {reason(error)}.", remedy(error))
        return
    if "invalid-input-secret" in refused:
        cause = "The CAPTCHA service does not know RECAPTCHA_PRIVATE_KEY."
        yield Finding(cause, "Is it the secret one of the two keys?")


def compromised_passwords() -> Iterator[Finding]:
    """Ask for the known passwords whose hash begins with 00000."""
    require("PWNED_PASSWORDS_URL")
    if not is_on("password"):
        raise Skipped("LOGIN_METHODS has no password")
    try:
        pwned_passwords.suffixes("00000")
    except Exception as error:
        cause = f"PWNED_PASSWORDS_URL does not answer correctly: {reason(error)}. Passwords are accepted unchecked."
        yield Finding(cause, remedy(error))


def redis() -> Iterator[Finding]:
    """Check whether Redis answers."""
    require("REDIS_URL")
    if not shared_counters().storage.check():
        yield Finding(
            "REDIS_URL does not answer: each process counts for itself.", "Is it right, and is Redis running?"
        )


class Answer(NamedTuple):
    headers: Message
    body: bytes


def open_url(address: str, headers: Mapping[str, str] = {}) -> Answer:
    """Open an address from the settings. Raises TimeoutError if the response takes longer than TIMEOUT, and OSError."""
    return within(TIMEOUT, _open, Request(address, headers=dict(headers)))  # noqa: S310


def _open(request: Request) -> Answer:
    try:
        with urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310
            return Answer(answer.headers, answer.read(MOST))
    except HTTPError as refusal:
        refusal.close()
        raise

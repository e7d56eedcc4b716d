# mypy: ignore-errors
"""What `flask doctor` asks other servers, and what it says of their answers."""

import json
import re
import smtplib
import ssl
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from flask import current_app
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from app import clock
from app.email import delivery
from app.email.message import parse_sender
from app.extensions import db
from app.security import captcha, oidc, signing
from app.security.rate_limits.counters import shared_counters
from app.security.remote import within
from app.security.token_purposes import TokenPurpose
from config import Production
from settings.derived import own_cookie_name

PATIENCE = 10  # seconds for an answer
FORGED = "192.0.2.1"  # nobody's address (RFC 5737): what a stranger could write into X-Forwarded-For
REDIRECTS = {301, 302, 303, 307, 308}
OFF = timedelta(seconds=20)  # from 30 on, codes of authenticator apps are refused


class NotLookedAt(Exception):
    """There is nothing to look at; the message says why."""


def time_of_day():
    """Compared with the clocks of others: codes of apps, links and signatures of providers depend on it."""
    clocks = {}
    if db.engine.name == "postgresql":
        clocks["the database"] = lambda: db.session.scalar(select(func.clock_timestamp()))
    for name, provider in _others():
        clocks[name] = lambda provider=provider: _of_server(oidc.metadata_url(provider))
    if not clocks:
        raise NotLookedAt("there is no other to compare it with")
    for name, ask in clocks.items():
        try:
            ahead = clock.now() - ask()
        except (OSError, ValueError, SQLAlchemyError):  # another check says so
            continue
        if abs(ahead) > OFF:
            seconds = abs(ahead).total_seconds()
            which = "ahead of" if ahead > timedelta(0) else "behind"
            yield f"The clock here is {seconds:.0f} seconds {which} that of {name}. Let a time service (NTP) set both."


def public_url():
    """Ask for a page at PUBLIC_URL, through all proxies, and compare what arrives with what was sent."""
    address = current_app.config["PUBLIC_URL"]
    if not address.startswith("https://"):
        raise NotLookedAt("nobody but you is served")
    question, arrived = signing.sign(TokenPurpose.DOCTOR, subject=1, state=""), {}
    try:
        arrived = json.load(_open(f"{address}/healthz/{question}", {"X-Forwarded-For": FORGED}))
        yield from _proxies(arrived)  # which says why a page would lead to itself for ever
        page = _open(f"{address}/auth/login")
    except (OSError, ValueError) as error:
        if isinstance(error, HTTPError) and error.code in REDIRECTS:
            yield f"{address} redirects to itself for ever, because https is not seen. {_remedy_of_loop(arrived)}"
            return
        yield f"{address} does not answer as this application would: {words(error)}. {_remedy(error)}"
        return
    path = current_app.config["SESSION_COOKIE_PATH"]
    in_production = own_cookie_name(
        Production.SESSION_COOKIE_NAME, address
    )  # which serves, whatever this command runs in
    names = (f"{current_app.config['SESSION_COOKIE_NAME']}=", f"{in_production}=")
    sent = [f"{line};" for line in page.headers.get_all("Set-Cookie", []) if line.startswith(names)]
    if not sent or not all(flag in sent[0] for flag in ("Secure", "HttpOnly", "SameSite=Lax", f"Path={path};")):
        yield "The session cookie does not arrive as it was sent. A proxy changes it: let it leave Set-Cookie alone."
    if "Strict-Transport-Security" not in page.headers:
        yield "The header Strict-Transport-Security does not arrive. A proxy takes it out: let it leave headers alone."


def mail_server():
    """The greeting, TLS and password as before an email, and whether it takes emails from our sender."""
    _needs("MAIL_SERVER")
    where = f"{current_app.config['MAIL_SERVER']}:{current_app.config['MAIL_PORT']}"
    try:
        with delivery.Connection(current_app.extensions["mail"]) as connection:
            connection.host = server = connection.configure_host()
            server.ehlo_or_helo_if_needed()
            code, said = server.mail(parse_sender(current_app.config["MAIL_DEFAULT_SENDER"])[1])
            server.rset()
            is_open = not isinstance(server.sock, ssl.SSLSocket)
            is_public = not ip_address(server.sock.getpeername()[0]).is_private
    except (OSError, smtplib.SMTPException) as error:
        yield f"{where}: {words(error)}. {_remedy(error)}"
        return
    if code >= 400:
        yield f"{where} takes no emails from MAIL_SENDER: {code} {said.decode(errors='replace')}"
    if is_open and is_public:
        yield f"{where}: emails, with the links in them, go there unencrypted. Set MAIL_USE_TLS=1 or MAIL_USE_SSL=1."


def providers():
    _needs("OIDC_PROVIDERS")
    for name, provider in _others():
        prefix = f"OIDC_{name.upper()}"
        try:
            metadata = oidc.look_up(provider)
        except oidc.Failure as error:
            wrong = words(error)
            yield f"{oidc.metadata_url(provider)}: {wrong}. Is {prefix}_ISSUER right to the email, and does it answer?"
            continue
        if not metadata.algorithms:
            yield f"{metadata.issuer} signs by no algorithm that is accepted here. Let it sign ID tokens with RS256."
        try:
            oidc.check_credentials(provider)
        except oidc.Failure as error:
            methods = ", ".join(metadata.auth_methods)
            yield (
                f"{metadata.token_endpoint} refuses this application: {words(error)}. Are {prefix}_CLIENT_ID and"
                f" _CLIENT_SECRET right? It names the methods {methods}: {prefix}_TOKEN_AUTH can force one."
            )


def captcha_service():
    _needs("RECAPTCHA_PRIVATE_KEY")
    try:
        refused = captcha.ask("").get("error-codes", [])
    except captcha.Unavailable as error:
        yield f"RECAPTCHA_VERIFY_SERVER does not answer as it should: {words(error)}."
        return
    if "invalid-input-secret" in refused:
        yield "The CAPTCHA's service does not know RECAPTCHA_PRIVATE_KEY. Is it the secret one of the two keys?"


def redis():
    _needs("REDIS_URL")
    if not shared_counters().storage.check():
        yield "REDIS_URL does not answer: each process counts for itself. Is it right, and does Redis run?"


def _proxies(arrived):
    """Compare the proxies that wrote themselves down with those that are believed."""
    passed = [entry.strip() for entry in arrived["forwarded_for"].split(",") if entry.strip()]
    there = len(passed) - 1 - passed.index(FORGED) if FORGED in passed else len(passed)
    trusted = current_app.config["TRUSTED_PROXIES"]
    if trusted and not arrived.get("is_proxy_trusted", True):
        yield f"TRUSTED_PROXY_NETWORKS has no network with {arrived['ip']}: what it forwards is ignored. Add it."
        return
    if trusted > there:
        yield f"TRUSTED_PROXIES is {trusted}, but {there} wrote into X-Forwarded-For: anybody can forge their address."
    if trusted < there:
        yield f"TRUSTED_PROXIES is {trusted}, but {there} stand in front: all visitors seem to be {arrived['ip']}."
    if not arrived["is_secure"]:
        yield "https is not seen behind the proxy: let it set X-Forwarded-Proto, and TRUSTED_PROXIES count it."
    if arrived["host"].lower() != urlsplit(current_app.config["PUBLIC_URL"]).netloc.lower():
        yield f"Requests arrive for {arrived['host']!r}: let the proxy hand on the Host that was asked for."


def _remedy_of_loop(arrived):
    """Name the setting that makes requests over https look like http: each of them is redirected to https again."""
    if not arrived:
        return "A proxy redirects before the request arrives: let only the first one redirect, from http to https."
    if not current_app.config["TRUSTED_PROXIES"]:
        return "Set TRUSTED_PROXIES to the number of proxies in front."
    if not arrived.get("is_proxy_trusted", True):
        return f"Add the network of {arrived['ip']} to TRUSTED_PROXY_NETWORKS."
    return (
        "Let the nearest proxy send X-Forwarded-Proto: https. If TLS ends at one before it, let it pass that one's"
        " header on: docs/nginx.conf has the line."
    )


def _others():
    """The providers that are not this application itself, as development's mock provider is."""
    own = current_app.config["PUBLIC_URL"]
    return [
        (name, provider)
        for name, provider in current_app.config["OIDC_PROVIDERS"].items()
        if not provider.issuer.startswith(own)
    ]


def _open(address, headers=None):
    return within(PATIENCE, lambda: urlopen(Request(address, headers=headers or {}), timeout=PATIENCE))  # noqa: S310


def _of_server(address):
    """To the second, as the header Date has it."""
    try:
        said = _open(address).headers["Date"]
    except HTTPError as refusal:
        said = refusal.headers["Date"]
    return parsedate_to_datetime(said or "").astimezone(UTC)


def _remedy(error):
    """What usually helps."""
    reason = error.reason if isinstance(error, URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        return "Its certificate has to be for this name, and signed by an authority that is known here."
    if isinstance(reason, smtplib.SMTPAuthenticationError):
        return "Are MAIL_USERNAME and MAIL_PASSWORD right?"
    if isinstance(reason, smtplib.SMTPNotSupportedError | ssl.SSLError):
        return "STARTTLS (MAIL_USE_TLS) is usual on port 587, TLS from the start (MAIL_USE_SSL) on 465."
    return "Is the address right, and may this machine reach it?"


def _needs(setting):
    if not current_app.config[setting]:
        raise NotLookedAt(f"{setting} is not set")


def words(error):
    """What went wrong in the first place, in a line."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__
    if isinstance(error, smtplib.SMTPResponseException):
        return f"{error.smtp_code} {error.smtp_error.decode(errors='replace')}"
    line = str(error).partition("\n")[0]
    return re.sub(r"^\[.*?\] | \(_ssl.c:\d+\)$", "", line).rstrip(".") or type(error).__name__

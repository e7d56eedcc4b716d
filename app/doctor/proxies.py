"""Check PUBLIC_URL: request a page through TLS and all proxies, and compare the request as sent and as received."""

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

from flask import current_app

from app.doctor.findings import Finding, Skipped, reason, remedy
from app.doctor.services import expiring_certificate, open_url
from app.security import signing
from app.security.token_purposes import TokenPurpose
from config import Production
from settings.derived import own_cookie_name
from settings.environment import PROJECT

FORGED = "192.0.2.1"  # reserved for documentation (RFC 5737)
REDIRECTS, OTHER_HOST, NOT_FOUND = {301, 302, 303, 307, 308}, 400, 404


def public_url() -> Iterator[Finding]:
    """Request a probe and a page at PUBLIC_URL."""
    address = current_app.config["PUBLIC_URL"]
    if not address.startswith("https://"):
        raise Skipped("PUBLIC_URL is not https")
    question = signing.sign(TokenPurpose.DOCTOR, subject=1, state="")
    arrived: dict[str, Any] = {}
    try:
        arrived = json.loads(open_url(f"{address}/healthz/{question}", {"X-Forwarded-For": FORGED}).body)
        yield from (differences := list(compare_proxies(arrived)))  # first, because they explain a failing page
        page = open_url(f"{address}/auth/login")
    except (OSError, ValueError) as error:
        code = error.code if isinstance(error, HTTPError) else None
        if code in REDIRECTS:
            cause = f"{address} redirects to itself, because requests don't arrive as https."
            yield Finding(cause, _remedy_of_loop(arrived))
        elif code == NOT_FOUND and not arrived:
            yield _unknown_probe(address)
        elif not (code == OTHER_HOST and differences):
            yield Finding(f"{address} does not answer like this application: {reason(error)}.", remedy(error))
        return
    yield from _changed_headers(page.headers)
    yield from expiring_certificate(address)


def compare_proxies(arrived: dict[str, Any]) -> Iterator[Finding]:
    """Compare the number of proxies that wrote into X-Forwarded-For with the number of trusted ones.

    Args:
        arrived: the answer of /healthz/<token>: forwarded_for, ip, host, is_secure, is_proxy_trusted,
            has_own_configuration.
    """
    if not arrived.get("has_own_configuration", True):
        cause = "gunicorn runs without gunicorn.conf.py, because it was started in another folder."
        yield Finding(cause, f"Start it with: gunicorn -c {PROJECT / 'gunicorn.conf.py'} flasky:app")
    passed = [entry.strip() for entry in arrived["forwarded_for"].split(",") if entry.strip()]
    there = len(passed) - 1 - passed.index(FORGED) if FORGED in passed else len(passed)
    trusted = current_app.config["TRUSTED_PROXIES"]
    if trusted and not arrived.get("is_proxy_trusted", True):
        yield Finding(
            f"TRUSTED_PROXY_NETWORKS has no network with {arrived['ip']}: its X-Forwarded-* are ignored.", "Add it."
        )
        return
    if trusted > there:
        cause = (
            f"TRUSTED_PROXIES is {trusted}, but {there} wrote into X-Forwarded-For: clients can forge their address."
        )
        yield Finding(cause, f"Set it to {there}.")
    if trusted < there:
        cause = f"TRUSTED_PROXIES is {trusted}, but there are {there}: all visitors seem to come from {arrived['ip']}."
        yield Finding(cause, f"Set it to {there}.")
    if not arrived["is_secure"]:
        yield Finding(
            "Requests don't arrive as https.", "Let the proxy set X-Forwarded-Proto, and count it in TRUSTED_PROXIES."
        )
    if arrived["host"].lower() != urlsplit(current_app.config["PUBLIC_URL"]).netloc.lower():
        yield Finding(f"Requests arrive for {arrived['host']!r}.", "Let the proxy forward the browser's Host header.")


def _unknown_probe(address: str) -> Finding:
    """Return why the server answers the probe with 404: another key, or another path or program."""
    with suppress(OSError):
        if open_url(f"{address}/healthz").body == b"ok\n":
            cause = f"{address} is this application, but does not know the signature of this command."
            return Finding(cause, "Give both the same SECRET_KEY and PUBLIC_URL, and synchronize their clocks.")
    cause = f"{address}/healthz does not exist: this application runs elsewhere, or with another path."
    return Finding(cause, "Is PUBLIC_URL right, here and on the server, and does the proxy pass on its path?")


def _remedy_of_loop(arrived: dict[str, Any]) -> str:
    """Return the remedy if https requests look like http, so that each is redirected to https again."""
    if not arrived:
        return "A proxy redirects the request: let only the first proxy redirect, from http to https."
    if not current_app.config["TRUSTED_PROXIES"]:
        return "Set TRUSTED_PROXIES to the number of proxies in front."
    if not arrived.get("is_proxy_trusted", True):
        return f"Add the network of {arrived['ip']} to TRUSTED_PROXY_NETWORKS."
    return (
        "Let the nearest proxy send X-Forwarded-Proto: https. If TLS ends at an earlier proxy, let it forward that"
        " proxy's header, as in docs/nginx.conf."
    )


def _changed_headers(headers: Any) -> Iterator[Finding]:
    path = current_app.config["SESSION_COOKIE_PATH"]
    # The server may run in production while this command does not.
    in_production = own_cookie_name(Production.SESSION_COOKIE_NAME, current_app.config["PUBLIC_URL"])
    names = (f"{current_app.config['SESSION_COOKIE_NAME']}=", f"{in_production}=")
    sent = [f"{line};" for line in headers.get_all("Set-Cookie", []) if line.startswith(names)]
    if not sent or not all(flag in sent[0] for flag in ("Secure", "HttpOnly", "SameSite=Lax", f"Path={path};")):
        yield Finding("The session cookie is changed by a proxy.", "Let it leave Set-Cookie alone.")
    if "Strict-Transport-Security" not in headers:
        yield Finding("The header Strict-Transport-Security is removed by a proxy.", "Let it leave headers alone.")

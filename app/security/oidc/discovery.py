"""A provider's metadata and keys, fetched once a day and cached by each process."""

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

from flask import current_app

from app import clock
from app.security.remote import within
from settings.providers import Provider

VALID_FOR = timedelta(hours=24)
RETRY_AFTER = timedelta(minutes=5)  # after a failed refresh; until then the old metadata is used
REFRESH_TIMEOUT = 2  # seconds; a user is waiting
KEYS_INTERVAL = timedelta(seconds=30)  # the shortest time between two refreshes
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
URL = re.compile(r"https?://[^\s\"'<>]+", re.ASCII)

log = logging.getLogger("app.security.oidc")


@dataclass(frozen=True)
class Metadata:
    """The values that the application uses from a provider's discovery document."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    algorithms: tuple[str, ...]  # signature algorithms that both sides support
    auth_methods: tuple[str, ...]  # client authentication at the token endpoint
    sends_issuer: bool  # every callback names the issuer (RFC 9207)


@dataclass
class Published:
    """The metadata and keys of a provider, cached by this process."""

    metadata: Metadata
    keys: list[Any]
    refresh_at: datetime = field(default_factory=lambda: clock.now() + VALID_FOR)
    newer_keys_from: datetime = field(default_factory=lambda: clock.now())
    auth_method: str | None = None  # accepted by the token endpoint, although the metadata lists another
    lock: Lock = field(default_factory=Lock)

    def fetch_newer_keys(self, than: list[Any], timeout: float) -> bool:
        """Fetch the keys again, at most once per KEYS_INTERVAL; return whether they are newer `than` these."""
        with self.lock:
            if self.keys is not than:
                return True
            if clock.now() < self.newer_keys_from:
                return False
            self.newer_keys_from = clock.now() + KEYS_INTERVAL
            try:
                self.keys = within(timeout, _fetch_keys, self.metadata.jwks_uri, timeout)
            except Exception as error:
                log.warning("%s: no newer keys, %s %s", self.metadata.issuer, type(error).__name__, error)
                return False
            return True


def metadata_url(provider: Provider) -> str:
    """Return the address of a provider's discovery document (OpenID Connect Discovery 1.0, 4)."""
    issuer = provider.issuer.replace("{tenantid}", "common").rstrip("/")
    return f"{issuer}/.well-known/openid-configuration"


def published(provider: Provider, timeout: float) -> Published:
    """Return a provider's metadata and keys, which are at most a day old if the provider answers."""
    cache: dict[str, Published] = current_app.extensions.setdefault("oidc", {})
    known = cache.get(metadata_url(provider))
    if known and clock.now() < known.refresh_at:
        return known
    try:
        patience = min(timeout, REFRESH_TIMEOUT) if known else timeout
        cache[metadata_url(provider)] = fresh = Published(*within(patience, _fetch, provider, patience))
    except Exception as error:
        if known is None:
            raise
        log.error("%s: refreshing the metadata failed, %s %s", provider.name, type(error).__name__, error)
        known.refresh_at = clock.now() + RETRY_AFTER
        return known
    if known:
        fresh.auth_method = known.auth_method
    return fresh


def _fetch(provider: Provider, timeout: float) -> tuple[Metadata, list[Any]]:
    metadata = _metadata(provider, _get(metadata_url(provider), timeout))
    return metadata, _fetch_keys(metadata.jwks_uri, timeout)


def _metadata(provider: Provider, said: Any) -> Metadata:
    """Check a discovery document. Raises ValueError. A trailing slash of the issuer is ignored."""
    issuer = said.get("issuer")
    if not isinstance(issuer, str) or issuer.rstrip("/") != provider.issuer.rstrip("/"):
        raise ValueError(f"the document names another issuer, {issuer!r:.200}")
    offered = list(_texts(said.get("id_token_signing_alg_values_supported"))) or ["RS256"]
    return Metadata(
        issuer,
        authorization_endpoint=_url(said, "authorization_endpoint"),
        token_endpoint=_url(said, "token_endpoint"),
        jwks_uri=_url(said, "jwks_uri"),
        userinfo_endpoint=_url(said, "userinfo_endpoint") if said.get("userinfo_endpoint") else None,
        algorithms=tuple(name for name in ALGORITHMS if name in offered),
        auth_methods=tuple(_texts(said.get("token_endpoint_auth_methods_supported"))) or ("client_secret_basic",),
        sends_issuer=said.get("authorization_response_iss_parameter_supported") is True,
    )


def _fetch_keys(url: str, timeout: float) -> list[Any]:
    """Return the keys of supported types, ignoring others (RFC 7517, 5). Raises ValueError if there are none."""
    from joserfc.jwk import JWKRegistry

    keys = []
    for key in _get(url, timeout)["keys"]:
        try:
            if key["kty"] != "oct":  # a symmetric key would be public
                keys.append(JWKRegistry.import_key(key))
        except Exception as error:  # an unknown type of key may raise anything
            log.info("%s: ignored a key, %s", url, type(error).__name__)
    if not keys:
        raise ValueError("the provider publishes no supported key")
    return keys


def _url(said: Mapping[str, Any], name: str) -> str:
    url = said.get(name)
    if not (isinstance(url, str) and URL.fullmatch(url)):
        raise ValueError(f"the document has no {name}")
    return url


def _texts(said: object) -> Iterator[str]:
    yield from (text for text in said if isinstance(text, str)) if isinstance(said, list) else ()


def _get(url: str, timeout: float) -> Mapping[str, Any]:
    from app.security.limited_session import get_json  # importing Requests takes 90 ms

    said = get_json(url, timeout, Accept="application/json")
    if not isinstance(said, dict):
        raise ValueError("the answer is not a JSON object")
    return said

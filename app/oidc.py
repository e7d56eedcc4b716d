"""What a provider says about a person: OpenID Connect's authorization code flow, with PKCE. It knows no account.

Authlib's client speaks the protocol. What it leaves open is decided here: a time limit for all of it, the algorithms,
the issuer to the letter, one audience, and how long what the provider published is believed.
(OpenID Connect Core 1.0, 3.1; RFC 9700, OAuth 2.0 Security Best Current Practice.)
"""

import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from flask import Flask, current_app

from app.letters import link
from app.models import SsoJourney
from app.remote import within
from config import Provider

T = TypeVar("T")

TIMEOUT = 5  # seconds for all answers that one page needs
LEEWAY = 120  # seconds that the provider's clock may be off
BELIEVED_FOR = (
    24 * 3600
)  # seconds that its addresses and keys are kept; a key that is not among them is looked for at once
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"]
TENANT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

log = logging.getLogger(__name__)


class Unavailable(Exception):
    """The provider does not answer, or not in its way."""


class Refused(Exception):
    """What came back from the provider's page is not to be believed."""


@dataclass(frozen=True)
class Claims:
    """What a provider says about a user. Issuer and subject come from the verified ID token, never from elsewhere."""

    issuer: str
    subject: str
    email: str | None = None
    is_verified: bool | None = None  # the provider verified that address; None: it does not say
    hosted_domain: str | None = None  # Google: the company that the account belongs to
    names: tuple[str, ...] = ()  # nickname, preferred_username, name


def authorization_url(provider: Provider, journey: SsoJourney) -> str:
    """Return the address of the provider's page for this journey. Raises Unavailable."""
    back = redirect_uri(provider)
    sent = {"state": journey.id, "nonce": journey.nonce, "code_verifier": journey.code_verifier}

    def ask(client: Any) -> str:
        return str(client.create_authorization_url(back, **sent)["url"])

    return _carefully(provider, ask)


def fetch_claims(provider: Provider, journey: SsoJourney, code: str) -> Claims:
    """Return what the provider says about the user that `code` was issued for. Raises Unavailable or Refused."""
    back, nonce, code_verifier = redirect_uri(provider), journey.nonce, journey.code_verifier

    def ask(client: Any) -> Claims:
        token = client.fetch_access_token(back, code=code, code_verifier=code_verifier)
        said = dict(client.parse_id_token(token, nonce, claims_options={}, leeway=LEEWAY) or {})
        _check(provider, said)
        claims = understand(provider, said)
        if claims.email is None and "userinfo_endpoint" in client.server_metadata:
            claims = with_userinfo(provider, claims, client.userinfo(token=token))
        return claims

    return _carefully(provider, ask)


def understand(provider: Provider, said: Mapping[str, Any]) -> Claims:
    """Map what a verified ID token says. A provider may send a value of any type for any claim."""
    profile = _profile(provider, said)
    return Claims(said["iss"], said["sub"], **profile)


def with_userinfo(provider: Provider, claims: Claims, said: object) -> Claims:
    """Complete the claims of an ID token by the profile in userinfo, which is not signed.

    Nothing but the profile is taken, and only if it is the same subject's (OpenID Connect Core 1.0, 5.3.2).
    """
    if not isinstance(said, Mapping) or said.get("sub") != claims.subject:
        return claims
    more = _profile(provider, said)
    return replace(claims, **more | {"hosted_domain": claims.hosted_domain, "names": claims.names or more["names"]})


def look_up(provider: Provider) -> None:
    """Fetch what the provider publishes about itself, and check it. Raises Unavailable."""
    _carefully(provider, lambda _: None)


def metadata_url(provider: Provider) -> str:
    """Return where it publishes that (OpenID Connect Discovery 1.0, 4)."""
    issuer = provider.issuer.replace("{tenantid}", "common").rstrip("/")
    return f"{issuer}/.well-known/openid-configuration"


def redirect_uri(provider: Provider) -> str:
    """Return where the provider sends people back to: one address each, so that none is taken for another's."""
    return link("auth.sso_callback", provider=provider.name)


def _profile(provider: Provider, said: Mapping[str, Any]) -> dict[str, Any]:
    """Return the claims of a profile that are of the right type."""
    texts = {name: value for name, value in said.items() if isinstance(value, str) and value.isprintable()}
    verified = said.get(provider.vouches_by)
    is_verified = verified is True or (isinstance(verified, str) and verified in provider.also_true)
    return {
        "email": texts.get("email") or None,
        "is_verified": None if verified is None else is_verified,
        "hosted_domain": texts.get("hd"),
        "names": tuple(texts[name] for name in ("nickname", "preferred_username", "name") if texts.get(name)),
    }


def _check(provider: Provider, claims: dict[str, Any]) -> None:
    """Whose word it is, for whom, about whom. Raises Refused."""
    issuer, tenant, subject = provider.issuer, str(claims.get("tid", "")), claims.get("sub")
    if "{tenantid}" in issuer and TENANT.fullmatch(tenant):
        issuer = issuer.replace("{tenantid}", tenant)
    if claims.get("iss") != issuer:
        raise Refused("another issuer")
    if provider.tenants and tenant not in provider.tenants:
        raise Refused("a tenant that is not on the list")
    if claims.get("aud") not in (provider.client_id, [provider.client_id]):
        raise Refused("another audience")
    if not (isinstance(subject, str) and 0 < len(subject) <= 255 and subject.isprintable()):
        raise Refused("no subject")


def _carefully(provider: Provider, ask: Callable[[Any], T]) -> T:
    """Ask by the provider's client, within the time limit, and say of whatever goes wrong whose fault it is."""
    from authlib.integrations.base_client import OAuthError
    from joserfc.errors import JoseError

    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    try:
        return within(TIMEOUT, lambda: ask(_client(app, provider)))
    except (OAuthError, JoseError, Refused) as error:
        log.warning("%s: refused, %s", provider.name, getattr(error, "error", None) or error)
        raise Refused from error
    except Exception as error:  # no answer, or none that makes sense: Authlib and requests raise whatever they meet
        log.error("%s does not answer as it should: %s %s", provider.name, type(error).__name__, str(error)[:200])
        raise Unavailable from error


def _client(app: Flask, provider: Provider) -> Any:
    """Return Authlib's client for a provider whose addresses and keys were fetched today."""
    clients: dict[str, Any] = app.extensions.setdefault("oidc", {})
    client = clients.get(provider.name)
    if client is None or time.time() - client.server_metadata["_loaded_at"] > BELIEVED_FOR:
        client = _new_client(app, provider)
        metadata = client.load_server_metadata()
        if metadata.get("issuer") != provider.issuer:
            raise ValueError("the document is another issuer's")
        offered = metadata.get("id_token_signing_alg_values_supported") or ["RS256"]
        metadata["id_token_signing_alg_values_supported"] = [name for name in ALGORITHMS if name in offered]
        clients[provider.name] = client
    return client


def _new_client(app: Flask, provider: Provider) -> Any:
    from authlib.integrations.flask_client import OAuth  # costs as much as a small application: only when needed

    return OAuth(app).register(
        provider.name,
        client_id=provider.client_id,
        client_secret=provider.client_secret,
        server_metadata_url=metadata_url(provider),
        client_kwargs={
            "scope": "openid email profile",
            "code_challenge_method": "S256",
            "default_timeout": TIMEOUT,
        },
    )

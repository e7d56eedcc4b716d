"""The OpenID Connect client: the authorization code flow with PKCE, independent of accounts.

Authlib and joserfc implement the protocol. This package adds time limits, allowed algorithms, the checks of issuer and
audience, and the caching of metadata and keys (OpenID Connect Core 1.0, 3.1; RFC 9700, Best Current Practice for OAuth
2.0 Security). docs/providers.md describes the providers.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from joserfc.errors import JoseError

from app.email.rendering import link
from app.models import OAuthState
from app.security.oidc import token_endpoint
from app.security.oidc.claims import Claims, check, understand, with_userinfo
from app.security.oidc.discovery import Metadata, Published, metadata_url, published
from app.security.oidc.failures import (
    Cancelled,
    Failure,
    Misconfigured,
    ProviderProblem,
    Refused,
    Unavailable,
    from_error,
    printable,
)
from app.security.remote import within
from settings.providers import Provider

__all__ = [
    "Cancelled",
    "Claims",
    "Failure",
    "Misconfigured",
    "ProviderProblem",
    "Refused",
    "Unavailable",
    "authorization_url",
    "check_credentials",
    "complete",
    "from_error",
    "look_up",
    "metadata_url",
    "redeem",
    "redirect_uri",
    "understand",
    "with_userinfo",
]

TIMEOUT = 5  # seconds for each answer
USERINFO_TIMEOUT = 3  # seconds; the login goes on without userinfo

log = logging.getLogger(__name__)


def authorization_url(provider: Provider, oauth_state: OAuthState) -> str:
    """Return the URL of the provider's page for this login. Raises Failure."""
    from authlib.integrations.requests_client import OAuth2Session  # importing it takes 110 ms

    with _failures(provider):
        endpoint = published(provider, TIMEOUT).metadata.authorization_endpoint
        client = OAuth2Session(provider.client_id, scope=provider.scope, code_challenge_method="S256")
        sent = {"redirect_uri": redirect_uri(provider), "nonce": oauth_state.nonce}
        sent |= {"response_mode": provider.response_mode} if provider.response_mode else {}
        url, _ = client.create_authorization_url(endpoint, oauth_state.id, oauth_state.code_verifier, **sent)
        return str(url)


def redeem(provider: Provider, oauth_state: OAuthState, code: str, issuer: str | None = None) -> tuple[Claims, str]:
    """Exchange `code` for the claims about its user, and an access token. Raises Failure.

    Args:
        issuer: the `iss` parameter of the callback (RFC 9207).
    """
    with _failures(provider):
        known = published(provider, TIMEOUT)
        if known.metadata.sends_issuer and issuer is None:
            raise Refused("the callback does not name its issuer")
        token = within(TIMEOUT, token_endpoint.exchange, provider, known, TIMEOUT, _sent(provider, oauth_state, code))
        header, said = _signed_claims(token.get("id_token"), known)
        access_token = str(token.get("access_token") or "")
        sent = {"nonce": oauth_state.nonce, "access_token": access_token}
        check(provider, known.metadata.issuer, header, said, **sent)
        claims = understand(provider, said)
        if issuer not in (None, claims.issuer):
            raise Refused("the callback names another issuer")
        return claims, access_token


def complete(provider: Provider, claims: Claims, access_token: str) -> Claims:
    """Return the claims, completed from the provider's userinfo endpoint if there is one that answers."""
    try:
        endpoint = published(provider, TIMEOUT).metadata.userinfo_endpoint
        if not endpoint:
            return claims
        patience = min(TIMEOUT, USERINFO_TIMEOUT)
        return with_userinfo(provider, claims, within(patience, _userinfo, endpoint, access_token, patience))
    except Exception as error:
        log.warning("%s: no userinfo, %s", provider.name, _in_words(error))
        return claims


def look_up(provider: Provider) -> Metadata:
    """Return the provider's metadata, for `flask doctor`. Raises Failure."""
    with _failures(provider):
        return published(provider, TIMEOUT).metadata


def check_credentials(provider: Provider) -> None:
    """Check the client's credentials by sending an invalid code to the token endpoint. Raises Failure."""
    from authlib.integrations.base_client import OAuthError

    with _failures(provider):
        known, oauth_state = published(provider, TIMEOUT), OAuthState.start(provider.name)
        try:
            sent = _sent(provider, oauth_state, "an invalid code")
            within(TIMEOUT, token_endpoint.exchange, provider, known, TIMEOUT, sent)
        except OAuthError as error:
            if error.error in {"invalid_client", "unauthorized_client"}:
                raise


def redirect_uri(provider: Provider) -> str:
    """Return the callback URL. Each provider has its own, which prevents mix-up attacks (RFC 9700, 4.4)."""
    return link("auth.sso_callback", provider=provider.name)


def _sent(provider: Provider, oauth_state: OAuthState, code: str) -> dict[str, str]:
    return {"code": code, "code_verifier": oauth_state.code_verifier, "redirect_uri": redirect_uri(provider)}


def _signed_claims(id_token: object, known: Published) -> tuple[dict[str, Any], dict[str, Any]]:
    """Verify an ID token; if that fails, try newer keys, because a provider may replace a key and keep its id."""
    keys = known.keys
    try:
        return token_endpoint.signed_claims(id_token, known)
    except JoseError:
        if not known.fetch_newer_keys(keys, TIMEOUT):
            raise
    return token_endpoint.signed_claims(id_token, known)


def _userinfo(endpoint: str, access_token: str, timeout: float) -> Any:
    from app.security.limited_session import get_json  # importing Requests takes 90 ms

    return get_json(endpoint, timeout, Authorization=f"Bearer {access_token}")


@contextmanager
def _failures(provider: Provider) -> Iterator[None]:
    """Log an error and raise it as a Failure."""
    from authlib.integrations.base_client import OAuthError

    try:
        yield
    except OAuthError as error:
        raise from_error(provider.name, error.error, error.description) from error
    except (JoseError, Refused) as error:
        log.warning("%s: refused, %s", provider.name, _in_words(error))
        raise Refused(_in_words(error)) from error
    except Exception as error:  # Requests and Authlib raise many kinds for a missing or malformed answer
        log.error("%s gave no valid answer: %s", provider.name, _in_words(error))
        raise Unavailable from error


def _in_words(error: Exception) -> str:
    return printable(f"{type(error).__name__} {error}")

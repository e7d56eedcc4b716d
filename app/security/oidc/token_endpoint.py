"""Exchange a code for an ID token at the provider's token endpoint, and verify its signature."""

import time
from typing import Any
from urllib.parse import quote_plus

from joserfc.errors import BadSignatureError, JoseError

from app.security.oidc.discovery import Published
from app.security.oidc.failures import Refused
from settings.providers import Provider

BASIC, POST = "client_secret_basic", "client_secret_post"
SECRET_LIFETIME = 300  # seconds; a signed client secret serves one request


def exchange(provider: Provider, known: Published, timeout: float, sent: dict[str, str]) -> dict[str, Any]:
    """Exchange a code for tokens. Raises OAuthError and the exceptions of Requests.

    The setting or the metadata names the method of client authentication. Some providers don't accept the one that
    their metadata lists, so after `invalid_client` the request is repeated with `client_secret_post`.
    """
    from authlib.integrations.base_client import OAuthError

    method = provider.token_auth or known.auth_method or _preferred(known.metadata.auth_methods)
    try:
        return _ask(provider, known, method, timeout, sent)
    except OAuthError as error:
        if error.error != "invalid_client" or method == POST or provider.token_auth:
            raise
    token = _ask(provider, known, POST, timeout, sent)
    known.auth_method = POST
    return token


def signed_claims(id_token: object, known: Published) -> tuple[dict[str, Any], dict[str, Any]]:
    """Verify the signature of an ID token; return its header and claims. Raises JoseError, Refused."""
    from joserfc import jws, jwt

    if not isinstance(id_token, str):
        raise Refused("no ID token")
    header = jws.extract_compact(id_token.encode()).headers()
    if header.get("alg") not in known.metadata.algorithms:
        raise Refused("the signature uses an algorithm that is not allowed")
    registry = jws.JWSRegistry(algorithms=list(known.metadata.algorithms), strict_check_header=False)
    problem: JoseError = BadSignatureError()
    for key in _candidates(known.keys, header.get("kid")):
        try:
            token = jwt.decode(id_token, key, registry=registry)
        except JoseError as error:
            problem = error
        else:
            return dict(token.header), dict(token.claims)
    raise problem


def _candidates(keys: list[Any], kid: object) -> list[Any]:
    """Return the keys that may have signed a token: all, or those with its key id, or else those without an id."""
    if kid is None:
        return keys
    return [key for key in keys if key.kid == kid] or [key for key in keys if key.kid is None]


def _preferred(methods: tuple[str, ...]) -> str:
    return POST if POST in methods and BASIC not in methods else BASIC


def _ask(provider: Provider, known: Published, method: str, timeout: float, sent: dict[str, str]) -> dict[str, Any]:
    from authlib.integrations.requests_client import OAuth2Session

    from app.security.limited_session import limit

    name, secret = provider.client_id, _secret(provider, known)
    # RFC 6749, 2.3.1 requires the encoding, which Authlib leaves out.
    auth = (quote_plus(name), quote_plus(secret)) if method == BASIC else None
    with OAuth2Session(name, secret, token_endpoint_auth_method=method, default_timeout=timeout) as client:
        limit(client, timeout)
        endpoint = known.metadata.token_endpoint
        return dict(client.fetch_token(endpoint, grant_type="authorization_code", auth=auth, **sent))


def _secret(provider: Provider, known: Published) -> str:
    """Return the client secret. Apple requires one that is signed with a key for each request."""
    if not provider.signing_key:
        return provider.client_secret
    from joserfc import jwt
    from joserfc.jwk import ECKey

    now = int(time.time())
    claims: dict[str, str | int] = {"iss": provider.team_id, "sub": provider.client_id, "aud": known.metadata.issuer}
    claims |= {"iat": now, "exp": now + SECRET_LIFETIME}
    return jwt.encode({"alg": "ES256", "kid": provider.key_id}, claims, ECKey.import_key(provider.signing_key))

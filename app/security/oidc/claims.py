"""Claims about a user: the checks of an ID token, and the claims that the application uses."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from app.security.oidc.failures import Refused
from settings.providers import Provider

LEEWAY = 120  # seconds that the provider's clock may be off
TENANT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
# Only these claims are passed to Authlib, which would refuse a token for any other claim of a wrong type.
CHECKED = ("iss", "sub", "aud", "exp", "iat", "nbf", "nonce", "azp", "at_hash")


@dataclass(frozen=True)
class Claims:
    """The claims that the application uses. Issuer and subject always come from the verified ID token."""

    issuer: str
    subject: str
    email: str | None = None
    is_verified: bool | None = None  # whether the provider verified the address; None if it does not say
    hosted_domain: str | None = None  # Google: the organization that the account belongs to
    names: tuple[str, ...] = ()  # nickname, preferred_username, name


def check(provider: Provider, issuer: str, header: dict[str, Any], said: Mapping[str, Any], **sent: Any) -> None:
    """Check the claims of an ID token whose signature is valid. Raises Refused.

    Args:
        issuer: the issuer in the provider's metadata.
        said: the claims of the token.
        sent: the `nonce` of this login, and the `access_token` that came with the ID token.
    """
    from authlib.oidc.core import CodeIDToken

    tenant, subject = str(said.get("tid", "")), said.get("sub")
    if "{tenantid}" in issuer and TENANT.fullmatch(tenant):
        issuer = issuer.replace("{tenantid}", tenant)
    if said.get("iss") != issuer:
        raise Refused("the ID token names another issuer")
    if provider.tenants and tenant not in provider.tenants:
        raise Refused("the tenant is not allowed")
    if not _is_for(provider, said.get("aud")):
        raise Refused("the ID token is for another audience")
    if not (isinstance(subject, str) and 0 < len(subject) <= 255 and subject.isprintable()):
        raise Refused("the ID token has no valid subject")
    checked = {name: said[name] for name in CHECKED if name in said}
    if header["alg"].startswith("Ed"):
        checked.pop("at_hash", None)  # optional in this flow, and Authlib knows no hash of these algorithms
    try:
        CodeIDToken(checked, header, {}, {"client_id": provider.client_id, **sent}).validate(leeway=LEEWAY)
    except Exception as error:  # Authlib raises any kind of error for values of an unexpected type
        raise Refused(f"{type(error).__name__} {error}") from error


def understand(provider: Provider, said: Mapping[str, Any]) -> Claims:
    """Return the claims of a verified ID token. Values of a wrong type are ignored."""
    return Claims(said["iss"], said["sub"], **_profile(provider, said))


def with_userinfo(provider: Provider, claims: Claims, said: object) -> Claims:
    """Complete the claims of an ID token with the profile from userinfo, which is not signed.

    Userinfo is ignored unless it is about the same subject (OpenID Connect Core 1.0, 5.3.2). Its `email_verified`
    applies to the address in the ID token only if userinfo names no other address.
    """
    if not isinstance(said, Mapping) or said.get("sub") != claims.subject:
        return claims
    more = _profile(provider, said)
    completed = replace(claims, names=claims.names or more["names"])
    if claims.email is None:
        return replace(completed, email=more["email"], is_verified=more["is_verified"])
    is_same = more["email"] is None or more["email"].casefold() == claims.email.casefold()
    return replace(completed, is_verified=more["is_verified"]) if claims.is_verified is None and is_same else completed


def _is_for(provider: Provider, audience: object) -> bool:
    """Return whether the audience is this application, alone or together with ones that the settings allow."""
    named = audience if isinstance(audience, list) else [audience]
    known = (provider.client_id, *provider.audiences)
    return provider.client_id in named and all(name in known for name in named)


def _profile(provider: Provider, said: Mapping[str, Any]) -> dict[str, Any]:
    """Return the profile claims that have the right type."""
    texts = {name: value for name, value in said.items() if isinstance(value, str) and value.isprintable()}
    verified, email = said.get(provider.verified_claim), texts.get("email", "").strip()
    is_verified = verified is True or (isinstance(verified, str) and verified in provider.also_true)
    return {
        "email": email if EMAIL.fullmatch(email) else None,
        "is_verified": None if verified is None else is_verified,
        "hosted_domain": texts.get("hd"),
        "names": tuple(texts[name] for name in ("nickname", "preferred_username", "name") if texts.get(name)),
    }

"""Read the settings OIDC_<NAME>_… of OpenID Connect providers. docs/providers.md has examples."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from settings.domains import email_domains
from settings.environment import PROJECT, Environment, split

GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
MICROSOFT = "https://login.microsoftonline.com/"


@dataclass(frozen=True)
class Provider:
    """A provider, whose endpoints are discovered from `issuer`."""

    name: str
    label: str  # on its button
    issuer: str  # the token's `tid` replaces `{tenantid}`, as Microsoft specifies
    client_id: str
    client_secret: str = field(repr=False)
    verified_claim: str = "email_verified"  # the claim whether the provider verified the address
    also_true: tuple[str, ...] = ()  # texts that mean true in this claim
    domains: tuple[str, ...] = ()  # domains of the addresses that the provider may verify; empty: all
    hosts_domains: bool = False  # the provider may also verify addresses of the domain in the claim `hd`
    tenants: tuple[str, ...] = ()  # tenants whose users may log in; empty: all
    audiences: tuple[str, ...] = ()  # further audiences that an ID token may name, as Zitadel's does
    two_factor: bool = True  # False: the provider asks for two-factor authentication itself
    scope: str = "openid email profile"
    response_mode: str = ""  # form_post: the provider's page posts to the callback
    token_auth: str = ""  # client_secret_basic or client_secret_post; empty: chosen by the provider's metadata
    signing_key: str = field(default="", repr=False)  # PEM; signs a client secret per request, as Apple requires
    key_id: str = ""  # of the signing key
    team_id: str = ""  # the issuer of the signed client secret

    @property
    def missing(self) -> list[str]:
        """The required settings that are empty. A signing key replaces the client secret."""
        needed = {"ISSUER": self.issuer, "CLIENT_ID": self.client_id}
        if self.signing_key:
            needed |= {"CLIENT_SECRET_KEY_ID": self.key_id, "CLIENT_SECRET_TEAM_ID": self.team_id}
        else:
            needed["CLIENT_SECRET"] = self.client_secret
        return [part for part, value in needed.items() if not value]


KNOWN_PROVIDERS: dict[str, dict[str, Any]] = {
    # For other domains Google's "verified" may be years old
    # (developers.google.com/identity/gsi/web/guides/verify-google-id-token).
    "google": {
        "issuer": "https://accounts.google.com",
        "domains": ("gmail.com", "googlemail.com"),
        "hosts_domains": True,
    },
    # A tenant's administrator can set any address in `email`. `xms_edov` says that the tenant owns its domain.
    "microsoft": {"issuer": f"{MICROSOFT}{{tenantid}}/v2.0", "verified_claim": "xms_edov", "also_true": ("1",)},
    # Apple requires form_post for the email address, has no scope "profile", and may send true as text.
    "apple": {
        "issuer": "https://appleid.apple.com",
        "scope": "openid email name",
        "response_mode": "form_post",
        "also_true": ("true",),
    },
}


def read_providers(env: Environment, special_domains: tuple[str, ...]) -> dict[str, Provider]:
    """Read the settings of each provider in OIDC_PROVIDERS. `special_domains` is EMAIL_SPECIAL_DOMAINS."""
    return {name: _read_provider(env, name, special_domains) for name in split(env("OIDC_PROVIDERS", ""))}


def _read_provider(env: Environment, name: str, special_domains: tuple[str, ...]) -> Provider:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,23}", name):
        env.problems.append(f"OIDC_PROVIDERS has {name!r}: write names of lowercase a-z and digits, such as google.")
    known, prefix = KNOWN_PROVIDERS.get(name, {}), f"OIDC_{name.upper()}_"
    issuer = env(f"{prefix}ISSUER", known.get("issuer", "")).removesuffix("/.well-known/openid-configuration")
    env.problems.extend(_issuer_problems(f"{prefix}ISSUER", issuer))
    read: dict[str, Any] = {
        "label": env(f"{prefix}LABEL", name.capitalize()),
        "issuer": issuer,
        "client_id": env(f"{prefix}CLIENT_ID", ""),
        "client_secret": env(f"{prefix}CLIENT_SECRET", ""),
        "domains": email_domains(env, f"{prefix}DOMAINS", " ".join(known.get("domains", ())), special_domains),
        "tenants": _tenants(env, f"{prefix}TENANTS"),
        "audiences": split(env(f"{prefix}AUDIENCES", "")),
        "two_factor": env(f"{prefix}TWO_FACTOR", True),
        "scope": _scope(env, f"{prefix}SCOPE", known.get("scope", Provider.scope)),
        "response_mode": _one_of(env, f"{prefix}RESPONSE_MODE", known.get("response_mode", ""), "query", "form_post"),
        "token_auth": _one_of(env, f"{prefix}TOKEN_AUTH", "", "client_secret_basic", "client_secret_post"),
        "signing_key": _key_file(env, f"{prefix}CLIENT_SECRET_KEY_FILE"),
        "key_id": env(f"{prefix}CLIENT_SECRET_KEY_ID", ""),
        "team_id": env(f"{prefix}CLIENT_SECRET_TEAM_ID", ""),
    }
    return Provider(name, **known | read)


def _issuer_problems(name: str, issuer: str) -> Iterator[str]:
    if issuer and not re.fullmatch(r"https?://[^\s/?#@\\]+(/[^\s?#\\]*)?", issuer, re.ASCII):
        yield f"{name} is {issuer!r}: write the issuer from the provider's metadata, as https://login.example.com."
    tenant = issuer.removeprefix(MICROSOFT).partition("/")[0]
    if issuer.startswith(MICROSOFT) and tenant != "{tenantid}" and not GUID.fullmatch(tenant):
        yield f"{name} names the tenant {tenant!r}: write its ID, from Entra's overview page, or leave {name} out."


def _tenants(env: Environment, name: str) -> tuple[str, ...]:
    """Read the IDs of tenants. Tokens name a tenant by ID, never by domain."""
    tenants = tuple(word.lower() for word in split(env(name, "")))
    env.problems.extend(
        f"{name} has {tenant!r}: write the tenant's ID, as Entra's overview page shows it."
        for tenant in tenants
        if not GUID.fullmatch(tenant)
    )
    return tenants


def _scope(env: Environment, name: str, default: str) -> str:
    scope = split(env(name, default))
    if "openid" not in scope:
        env.problems.append(f"{name} lacks openid, which every provider requires: write openid email profile.")
    return " ".join(scope)


def _one_of(env: Environment, name: str, default: str, *words: str) -> str:
    word = env(name, default).lower()
    if word and word not in words:
        env.problems.append(f"{name} is {word!r}: write {' or '.join(words)}, or leave it out.")
    return word


def _key_file(env: Environment, name: str) -> str:
    """Read a private key that signs client secrets, such as Apple's AuthKey_….p8."""
    path = env(name, "")
    if not path:
        return ""
    try:
        key = (PROJECT / path).read_text()
    except (OSError, ValueError) as error:
        env.problems.append(f"{name}: {path} can't be read ({type(error).__name__}).")
        return ""
    if "PRIVATE KEY-----" not in key:
        env.problems.append(f"{name}: {path} has no private key. Write the path of the .p8 file from Apple.")
    return key

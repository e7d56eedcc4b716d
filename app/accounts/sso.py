"""Single sign-on: find or create the account of an external identity; link and unlink identities.

Issuer and subject identify an identity. An email address alone never gives access to an existing account.
"""

from collections.abc import Sequence
from typing import Any

from flask import current_app
from sqlalchemy import select, update

from app import clock, switches
from app.accounts import (
    blocks,
    credentials,
    email_ownership,
    enumeration,
    invitations,
    registration,
    sessions,
    usernames,
)
from app.accounts.external_identity import ExternalIdentity as ExternalIdentity  # part of this service's interface
from app.accounts.external_identity import LinkOutcome as LinkOutcome
from app.accounts.external_identity import Outcome as Outcome
from app.accounts.registration import NewAccount
from app.email import outbox
from app.email.templates import Email
from app.extensions import db, rows_changed
from app.models import AuditAction, AuditEvent, Identity, Invitation, LogoutReason, User, UserSession
from app.models.logins import email_key
from app.security import audit, rate_limits
from app.security.oidc import Claims
from app.security.oidc.claims import TENANT
from settings.providers import Provider

MAX_IDENTITIES = 10  # of one account


def from_claims(provider: Provider, claims: Claims) -> ExternalIdentity:
    """Return the identity that a provider's claims describe, without an invalid email address."""
    try:
        email = registration.normal_email((claims.email or "")[:255])
    except ValueError:
        email = None
    names = tuple(filter(None, (name[:255].partition("@")[0][:64] for name in (*claims.names, claims.email or ""))))
    is_verified = email is not None and _is_trusted(provider, claims, email)
    return ExternalIdentity(provider.name, claims.issuer, claims.subject, email, is_verified, names)


def lacks_profile(provider: Provider, claims: Claims) -> bool:
    """Return whether userinfo is needed: never for an identity that is linked to a confirmed account."""
    external = from_claims(provider, claims)
    if external.email and claims.is_verified is not None:
        return False
    identity = _find(external)
    return not identity or not identity.user.confirmed


def account_for(
    external: ExternalIdentity, profile: dict[str, Any] | None, invitation: Invitation | None = None
) -> tuple[Outcome, User | None]:
    """Find or create the account for this external identity, unless its ownership is ambiguous.

    Args:
        profile: the profile of a new account; None if the user has not been asked for it.
        invitation: a valid one whose link led here. It proves its address, for a new account only, but not that the
            link is the user's: another site may have led them here. So the provider must name the address.

    Raises:
        registration.Taken, IntegrityError: another request was faster. Call again.
        rate_limits.Exceeded: too many accounts were created from this network.
    """
    identity, owner = _find(external), User.find(external.email or "")
    is_first_proof = owner is not None and external.is_verified and not owner.confirmed
    if identity and not (is_first_proof and identity.user is owner):
        return Outcome.KNOWN, _use(identity, external)
    if owner and is_first_proof:
        return Outcome.EMAIL_OWNERSHIP, _take_over(owner, external)
    if owner and external.is_verified and not switches.is_on("registration") and not all_of(owner):
        link(owner, external)  # with SSO only, the account has no other login
        return Outcome.KNOWN, owner
    return _register(external, profile, invitation)


def link(user: User, external: ExternalIdentity) -> LinkOutcome:
    """Link an identity to this account, and notify the user.

    Raises:
        IntegrityError: another account was faster. Call again.
    """
    user.lock()
    identity = _find(external)
    if identity is None:
        if len(all_of(user)) >= MAX_IDENTITIES:
            return LinkOutcome.TOO_MANY
        event = audit.record(user, AuditAction.IDENTITY_LINKED, provider=external.provider)
        identity = _add(user, external, event)
        outbox.enqueue(Email.IDENTITY_LINKED, user, event=event, label=label(external.provider), address=external.email)
    return LinkOutcome.LINKED if identity.user_id == user.id else LinkOutcome.OTHER_ACCOUNT


def is_linked(user: User, external: ExternalIdentity) -> bool:
    identity = _find(external)
    return identity is not None and identity.user_id == user.id


def all_of(user: User) -> Sequence[Identity]:
    """Return the linked identities of an account, the oldest first."""
    return db.session.scalars(select(Identity).where(Identity.user_id == user.id).order_by(Identity.id)).all()


def labels(user: User) -> list[str]:
    return [label(identity.provider) for identity in all_of(user)]


def why_refused(identity: Identity) -> str | None:
    """Return why the settings refuse logins with a linked identity; None if they don't."""
    name, provider = identity.provider.upper(), current_app.config["OIDC_PROVIDERS"].get(identity.provider)
    if not provider:
        return f"OIDC_PROVIDERS does not name {identity.provider}."
    found = TENANT.search(identity.issuer)
    tenant = found[0] if found else ""
    if provider.tenants and tenant not in provider.tenants:
        return f"OIDC_{name}_TENANTS does not name the tenant {tenant or identity.issuer}."
    if provider.issuer.replace("{tenantid}", tenant).rstrip("/") != identity.issuer.rstrip("/"):
        return f"It was linked at {identity.issuer}, and OIDC_{name}_ISSUER is {provider.issuer}."
    return None


def is_trusted_by_any(email: str) -> bool:
    """Return whether a provider may verify this email address."""
    domain = email_key(email).rpartition("@")[2]
    providers = current_app.config["OIDC_PROVIDERS"].values()
    return any(not known.domains or domain in known.domains or known.hosts_domains for known in providers)


def label(provider: str) -> str:
    """Return a provider's label, or its name if it is no longer in the settings."""
    known = current_app.config["OIDC_PROVIDERS"].get(provider)
    return known.label if known else provider


def unlink(user: User, identity_id: int, keep: UserSession | None) -> bool:
    """Unlink an identity, revoke all sessions but `keep`, and notify the user; return False if it is the only one."""
    user.lock()
    mine = (Identity.user_id == user.id, Identity.id == identity_id)
    identity = db.session.scalar(select(Identity).where(*mine))
    if identity is None or not credentials.has_another_login(user):
        return False
    event = audit.record(user, AuditAction.IDENTITY_UNLINKED, provider=identity.provider)
    credentials.remove(event, Identity, *mine)
    sessions.revoke_all(user, keep, reason=LogoutReason.IDENTITY_UNLINKED)
    outbox.enqueue(Email.IDENTITY_UNLINKED, user, event=event, label=label(identity.provider), address=identity.email)
    return True


def _is_trusted(provider: Provider, claims: Claims, email: str) -> bool:
    """Return whether the provider verified this email address, and is trusted for its domain."""
    domain = email_key(email).rpartition("@")[2]
    is_hosted = provider.hosts_domains and claims.hosted_domain == domain
    return claims.is_verified is True and (not provider.domains or domain in provider.domains or is_hosted)


def _find(external: ExternalIdentity) -> Identity | None:
    same = (Identity.issuer == external.issuer, Identity.subject == external.subject)
    return db.session.scalar(select(Identity).where(*same))


def _use(identity: Identity, external: ExternalIdentity) -> User:
    """Record a login with an identity; raise Taken if it has just been unlinked."""
    user = identity.user
    user.lock()
    used = {"last_used_at": clock.now(), "email": external.email or identity.email}
    same = (Identity.id == identity.id, Identity.user_id == user.id)
    if not rows_changed(update(Identity).where(*same).values(used)):
        raise registration.Taken
    return user


def _take_over(owner: User, external: ExternalIdentity) -> User:
    if not email_ownership.take_over(owner):
        raise registration.Taken
    _add(owner, external)
    return owner


def _register(
    external: ExternalIdentity, profile: dict[str, Any] | None, invitation: Invitation | None
) -> tuple[Outcome, User | None]:
    if invitation and (not external.email or email_key(external.email) != invitation.email_key):
        return Outcome.OTHER_EMAIL, None
    email = invitation.email if invitation else external.email
    if problem := _problem(external, email, invitation):
        return problem, None
    if not email or profile is None:
        return Outcome.INCOMPLETE, None
    new = NewAccount(email, usernames.propose(*external.names), confirmed=external.is_verified, profile=profile)
    user = invitations.register(invitation, new) if invitation else registration.create(new)
    if user is None:
        return Outcome.CLOSED, None
    _add(user, external)
    return Outcome.CREATED, user


def _problem(external: ExternalIdentity, email: str | None, invitation: Invitation | None) -> Outcome | None:
    """Return why no account can be created, or None."""
    if not (invitation or external.is_verified or enumeration.policy().looks_up_unverified):
        return Outcome.NOT_VERIFIED
    if email and blocks.is_blocked(email):
        return Outcome.BLOCKED
    rate_limits.hit("availability")  # the outcome reveals whether there is an account
    if email and registration.is_taken(email):
        if _find(external):  # another tab was faster
            raise registration.Taken
        return Outcome.TAKEN
    return None if invitation or current_app.config["REGISTRATION_OPEN"] else Outcome.CLOSED


def _add(user: User, external: ExternalIdentity, event: AuditEvent | None = None) -> Identity:
    db.session.flush()
    identity = Identity(
        event_id=event.id if event else None,
        user_id=user.id,
        provider=external.provider,
        issuer=external.issuer,
        subject=external.subject,
        email=external.email,
        last_used_at=clock.now(),
    )
    db.session.add(identity)
    db.session.flush()
    return identity

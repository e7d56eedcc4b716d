"""Accounts elsewhere: whose account here one lets in, and linking the two. Never by the address alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from flask import current_app
from sqlalchemy import func, select, update

from app import clock
from app.accounts import credentials, email_ownership, enumeration, registration, sessions, usernames
from app.accounts.registration import NewAccount
from app.email import outbox
from app.email.templates import Email
from app.extensions import db, rows_changed
from app.models import AuditAction, AuditEvent, Identity, LogoutReason, Passkey, User, UserSession
from app.models.logins import email_key
from app.security import audit, rate_limits
from app.security.oidc import Claims
from app.security.token_purposes import TokenPurpose
from settings.providers import Provider


@dataclass(frozen=True)
class ExternalIdentity:
    """What a provider says about a person."""

    provider: str
    issuer: str
    subject: str
    email: str | None
    is_proved: bool  # the provider's word counts for the address
    names: tuple[str, ...]  # what they may want to be called here


MOST = 10  # identities of one account


class Linked(StrEnum):
    """What came of linking."""

    DONE = "done"
    ANOTHERS = "anothers"  # it logs in to another account
    TOO_MANY = "too_many"


class Outcome(StrEnum):
    """What came of it: all but the first three leave everything as it was."""

    KNOWN = "known"  # it is linked to this account
    CREATED = "created"
    EMAIL_OWNERSHIP = "first_proof"  # of the address of an account that somebody had left unconfirmed
    TAKEN = "taken"  # its address has an account, whose owner has to log in first
    INCOMPLETE = "incomplete"  # the user has to enter an address, or an application's own fields
    NOT_VERIFIED = "not_verified"  # the enumeration policy does not look up an address that is not verified
    CLOSED = "closed"  # there is no account, and registration is closed


def understand(provider: Provider, claims: Claims) -> ExternalIdentity:
    """Take from a provider's claims what counts here."""
    try:
        email = registration.normal_email((claims.email or "")[:255])
    except ValueError:
        email = None
    names = [name[:255].partition("@")[0][:64] for name in (*claims.names, claims.email or "")]
    is_proved = email is not None and _counts(provider, claims, email)
    return ExternalIdentity(provider.name, claims.issuer, claims.subject, email, is_proved, tuple(filter(None, names)))


def lacks_profile(provider: Provider, claims: Claims) -> bool:
    """Say whether more must be known of a user: not of one whose confirmed account the identity is linked with."""
    external_identity = understand(provider, claims)
    if external_identity.email and claims.is_verified is not None:
        return False
    identity = _find(external_identity)
    return not identity or not identity.user.confirmed


def account_for(external_identity: ExternalIdentity, profile: dict[str, Any] | None) -> tuple[Outcome, User | None]:
    """Find or create the account for this external identity, unless its ownership is ambiguous.

    Args:
        profile: of a new account; None if the user has yet to be asked for it.

    Raises:
        registration.Taken, IntegrityError: another request was faster; call again.
        rate_limits.Exceeded: too many accounts were created from this network.
    """
    identity, owner = _find(external_identity), User.find(external_identity.email or "")
    is_first_proof = owner is not None and external_identity.is_proved and not owner.confirmed
    if identity and not (is_first_proof and identity.user is owner):
        return Outcome.KNOWN, _use(identity, external_identity)
    if owner and is_first_proof:
        return Outcome.EMAIL_OWNERSHIP, _take_over(owner, external_identity)
    if not (external_identity.is_proved or enumeration.policy().looks_up_unverified):
        return Outcome.NOT_VERIFIED, None
    rate_limits.hit("availability")  # what follows tells who has an account
    if external_identity.email and registration.is_taken(external_identity.email):
        if _find(external_identity):  # by now: another tab was faster
            raise registration.Taken
        return Outcome.TAKEN, None
    if not current_app.config["REGISTRATION_OPEN"]:
        return Outcome.CLOSED, None
    if not external_identity.email or profile is None:
        return Outcome.INCOMPLETE, None
    user = registration.create(
        NewAccount(
            external_identity.email,
            usernames.propose(*external_identity.names),
            confirmed=external_identity.is_proved,
            profile=profile,
        )
    )
    _add(user, external_identity)
    return Outcome.CREATED, user


def link(user: User, external_identity: ExternalIdentity) -> Linked:
    """Link an identity with this account, and notify its owner.

    Raises IntegrityError if another account was faster: ask again.
    """
    user.lock()
    identity = _find(external_identity)
    if identity is None:
        if len(all_of(user)) >= MOST:
            return Linked.TOO_MANY
        event = audit.record(user, AuditAction.IDENTITY_LINKED, provider=external_identity.provider)
        identity = _add(user, external_identity, event)
        outbox.enqueue(
            Email.IDENTITY_LINKED,
            user,
            event=event,
            label=_label(external_identity.provider),
            address=external_identity.email,
        )
    return Linked.DONE if identity.user_id == user.id else Linked.ANOTHERS


def logs_in_to(user: User, external_identity: ExternalIdentity) -> bool:
    """Say whether this identity is linked with this account."""
    identity = _find(external_identity)
    return identity is not None and identity.user_id == user.id


def all_of(user: User) -> Sequence[Identity]:
    """Return the accounts elsewhere that let a person in, the first one first."""
    return db.session.scalars(select(Identity).where(Identity.user_id == user.id).order_by(Identity.id)).all()


def labels(user: User) -> list[str]:
    """Return what people call the accounts elsewhere that let a person in."""
    return [_label(identity.provider) for identity in all_of(user)]


def unlink(user: User, number: int, keep: UserSession | None) -> bool:
    """Let one in no more, log out every browser but `keep`, and tell the owner; say whether another way in remains."""
    user.lock()
    mine = (Identity.user_id == user.id, Identity.id == number)
    identity = db.session.scalar(select(Identity).where(*mine))
    if identity is None or not can_unlink(user):
        return False
    event = audit.record(user, AuditAction.IDENTITY_UNLINKED, provider=identity.provider)
    credentials.remove(event, Identity, *mine)
    sessions.revoke_all(user, keep, reason=LogoutReason.IDENTITY_UNLINKED)
    outbox.enqueue(Email.IDENTITY_UNLINKED, user, event=event, label=_label(identity.provider), address=identity.email)
    return True


def can_unlink(user: User) -> bool:
    """Say whether a person would have a way in left without one of their accounts elsewhere."""
    others = select(func.count()).where(Identity.user_id == user.id)
    keys = select(func.count()).where(Passkey.user_id == user.id)
    return user.password_hash is not None or bool(db.session.scalar(keys)) or (db.session.scalar(others) or 0) > 1


def _counts(provider: Provider, claims: Claims, email: str) -> bool:
    """Say whether the provider's word proves this address: it verified it, and knows its domain."""
    domain = email_key(email).rpartition("@")[2]
    is_hosted = provider.hosts_domains and claims.hosted_domain == domain
    return claims.is_verified is True and (not provider.domains or domain in provider.domains or is_hosted)


def _label(provider: str) -> str:
    """What people call a provider, one that was taken from the settings too."""
    known = current_app.config["OIDC_PROVIDERS"].get(provider)
    return known.label if known else provider


def _find(external_identity: ExternalIdentity) -> Identity | None:
    mine = (Identity.issuer == external_identity.issuer, Identity.subject == external_identity.subject)
    return db.session.scalar(select(Identity).where(*mine))


def _use(identity: Identity, external_identity: ExternalIdentity) -> User:
    """Note that it let somebody in, unless it was removed at this moment."""
    user = identity.user
    user.lock()
    used = {"last_used_at": clock.now(), "email": external_identity.email or identity.email}
    same = (Identity.id == identity.id, Identity.user_id == user.id)
    if not rows_changed(update(Identity).where(*same).values(used)):
        raise registration.Taken
    return user


def _take_over(owner: User, external_identity: ExternalIdentity) -> User:
    """Give an account to whom its address was proved to belong: what was in it may be another's, and goes."""
    if not owner.consume(TokenPurpose.CONFIRM, **owner.new_password(None), confirmed=True):
        raise registration.Taken
    email_ownership.clear(owner)
    audit.record(owner, AuditAction.EMAIL_OWNERSHIP_PROVED)
    _add(owner, external_identity)
    return owner


def _add(user: User, external_identity: ExternalIdentity, event: AuditEvent | None = None) -> Identity:
    db.session.flush()
    identity = Identity(
        event_id=event and event.id, user_id=user.id, email=external_identity.email, last_used_at=clock.now()
    )
    identity.provider, identity.issuer, identity.subject = (
        external_identity.provider,
        external_identity.issuer,
        external_identity.subject,
    )
    db.session.add(identity)
    db.session.flush()
    return identity

"""An identity at a provider, and the outcomes of logging in with it and of linking it."""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True)
class ExternalIdentity:
    """An account at a provider."""

    provider: str
    issuer: str
    subject: str
    email: str | None
    is_verified: bool  # the provider verified the address, and is trusted for its domain
    names: tuple[str, ...]  # to propose a username from


class Outcome(StrEnum):
    """The result of a login with an external identity. Only the first three log in; the others change nothing."""

    KNOWN = "known"  # the identity is linked to an account
    CREATED = "created"  # an account was created
    EMAIL_OWNERSHIP = "first_proof"  # the unconfirmed account with this address was given to the owner of the address
    TAKEN = "taken"  # an account has the address, and its user must log in before the identity is linked
    INCOMPLETE = "incomplete"  # the user must enter an email address, or an application's own fields
    NOT_VERIFIED = "not_verified"  # the enumeration policy does not look up unverified addresses
    BLOCKED = "blocked"  # no account may take the address, whether or not one has it
    OTHER_EMAIL = "other_email"  # the provider gave another address than the invited one
    CLOSED = "closed"  # there is no account, and registration is closed


class LinkOutcome(StrEnum):
    LINKED = "linked"
    OTHER_ACCOUNT = "other_account"  # the identity is linked to another account
    TOO_MANY = "too_many"

"""What keeps a user from logging in, and the command that helps: for `flask users why` and the administration pages."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import select

from app import switches
from app.accounts import (
    authenticators,
    blocks,
    device_verification,
    email_typos,
    recovery_codes,
    registration,
    sso,
    two_factor,
)
from app.extensions import db
from app.models import User, UserSession
from app.models.outbox_email import Status
from app.security.rate_limits import report
from app.security.rate_limits.counters import storage_errors


@dataclass(frozen=True)
class Obstacle:
    """One thing that keeps a user from logging in, or that a login needs."""

    cause: str  # sentences
    command: str = ""  # a command line that helps; empty: none does


def of(user: User) -> list[Obstacle]:
    """Return all that keeps `user` from logging in; an empty list if nothing is known that does."""
    return [obstacle for check in CHECKS for obstacle in check(user)]


def _deactivated(user: User) -> Iterator[Obstacle]:
    if not user.is_active:
        yield Obstacle(f"{user.known_as} is deactivated.", f"flask users activate {user.known_as}")


def _deletion_pending(user: User) -> Iterator[Obstacle]:
    if user.deletion_due_at:
        due = f"{user.deletion_due_at:%Y-%m-%d}"
        yield Obstacle(f"{user.known_as} will be deleted on {due}.", f"flask users cancel-deletion {user.known_as}")


def _unconfirmed(user: User) -> Iterator[Obstacle]:
    if not user.can_use_application:
        yield Obstacle(f"{user.email} is not confirmed.", f"flask users confirm {user.known_as}")
        yield Obstacle(_confirmation_email(user))
        if likely := email_typos.suggest(user.email):
            yield Obstacle(f"The email address may be a typo of {likely}.")


def _no_password(user: User) -> Iterator[Obstacle]:
    if not user.has_password:
        passkey = ["a passkey"] if "passkey" in two_factor.methods(user) else []
        link = ["an emailed link"] if switches.is_on("magic_link") else []
        methods = " or ".join([*passkey, *sso.labels(user), *link]) or "nothing that is set up"
        has_none = " has no password, and" if switches.is_on("password") else ""
        yield Obstacle(f"{user.known_as}{has_none} can log in only by {methods}.")


def _two_factor(user: User) -> Iterator[Obstacle]:
    if two_factor.is_on(user):
        factors = ", ".join(two_factor.methods(user))
        left = recovery_codes.left(user)
        uses = f"{user.known_as} uses two-factor authentication ({factors}; {left} recovery codes left)."
        app = authenticators.find(user)
        if app and not app.is_readable:
            yield Obstacle(
                f"The secret of {user.known_as}'s authenticator app was encrypted with a key that is no longer set."
            )
        reset = f"flask users reset-two-factor {user.known_as}"
        yield Obstacle(f"{uses} If the factors are lost, verify who asks, then turn it off.", reset)


def _device_verification(user: User) -> Iterator[Obstacle]:
    if device_verification.why_never(user) is None and user.has_password:
        needs = f"On a new device, {user.known_as} also needs a code from an email to {user.email}."
        trust = f"flask users trust-next-login {user.known_as}"
        yield Obstacle(f"{needs} If they can't read it, verify who asks, then allow one login without it.", trust)


def _rate_limited(user: User) -> Iterator[Obstacle]:
    with suppress(*storage_errors()):
        if any(entry.is_full for entry in report.entries_of(user.username, user.email)):
            cause = f"There were too many attempts to log in as {user.known_as}."
            yield Obstacle(cause, f"flask limits clear {user.known_as}")


def _network_blocked(user: User) -> Iterator[Obstacle]:
    ips = db.session.scalars(
        select(UserSession.ip).where(UserSession.user_id == user.id, UserSession.ip != "").distinct()
    )
    for block in blocks.find(*ips):
        cause = f"{user.known_as} logged in from a network that is blocked now ({block.subject}: {block.reason})."
        yield Obstacle(cause, f"flask users unblock {block.subject}")


CHECKS = (
    _deactivated,
    _deletion_pending,
    _unconfirmed,
    _no_password,
    _two_factor,
    _device_verification,
    _rate_limited,
    _network_blocked,
)


def _confirmation_email(user: User) -> str:
    email = registration.last_email(user)
    if email is None:
        return "No confirmation email to this address is on record."
    at = f"{email.done_at or email.due_at:%Y-%m-%d %H:%M} UTC"
    return {
        Status.SENT: f"The mail server accepted the confirmation email at {at}.",
        Status.FAILED: f"The mail server refused the confirmation email at {at}: {email.error}",
        Status.WAITING: f"The confirmation email is waiting, and will be tried again at {at}. {email.error}".rstrip(),
        Status.OBSOLETE: "The confirmation email was dropped, because the account had changed.",
    }[Status(email.status)]

"""`flask users why` explains why a user can't log in, and which command helps."""

from collections.abc import Iterator
from contextlib import suppress

import click
from sqlalchemy import select

from app import switches
from app.accounts import authenticators, device_verification, email_typos, recovery_codes, registration, sso, two_factor
from app.cli.users import users
from app.extensions import db
from app.models import User, UserSession
from app.models.outbox_email import Status
from app.security import user_agents
from app.security.rate_limits import report
from app.security.rate_limits.counters import storage_errors


@users.command()
@click.argument("name", metavar="ACCOUNT")
def why(name: str) -> None:
    """Explain why a user can't log in, and which command helps."""
    user = User.find(name)
    if user is None:
        likely = email_typos.suggest(name) if "@" in name else None
        hint = f" Is it {likely}?" if likely and User.find(likely) else ""
        raise click.ClickException(f"There is no account {name!r}.{hint}")
    obstacles = [sentence for check in CHECKS for sentence in check(user)]
    for sentence in obstacles or [f"{user.known_as} can log in. They may have forgotten their password."]:
        click.echo(sentence)
    if switches.is_on("password"):
        click.echo(f"To email a link to choose a new password: flask users send-reset {user.known_as}")
    elif switches.is_on("passwordless"):
        click.echo(f"To email a link that logs in: flask users send-login-link {user.known_as}")
    click.echo(_last_login(user))


def _deactivated(user: User) -> Iterator[str]:
    if not user.is_active:
        yield f"{user.known_as} is deactivated. To undo: flask users activate {user.known_as}"


def _deletion_pending(user: User) -> Iterator[str]:
    if user.deletion_due_at:
        due = f"{user.deletion_due_at:%Y-%m-%d}"
        yield f"{user.known_as} will be deleted on {due}. To cancel: flask users cancel-deletion {user.known_as}"


def _unconfirmed(user: User) -> Iterator[str]:
    if not user.can_use_application:
        yield f"{user.email} is not confirmed. To confirm it: flask users confirm {user.known_as}"
        yield _confirmation_email(user)
        if likely := email_typos.suggest(user.email):
            yield f"The email address may be a typo of {likely}."


def _no_password(user: User) -> Iterator[str]:
    if not user.has_password:
        passkey = ["a passkey"] if "passkey" in two_factor.methods(user) else []
        link = ["an emailed link"] if switches.is_on("magic_link") else []
        methods = " or ".join([*passkey, *sso.labels(user), *link]) or "nothing that is set up"
        has_none = " has no password, and" if switches.is_on("password") else ""
        yield f"{user.known_as}{has_none} can log in only by {methods}."


def _two_factor(user: User) -> Iterator[str]:
    if two_factor.is_on(user):
        factors = ", ".join(two_factor.methods(user))
        left = recovery_codes.left(user)
        yield f"{user.known_as} uses two-factor authentication ({factors}; {left} recovery codes left)."
        app = authenticators.find(user)
        if app and not app.is_readable:
            yield f"The secret of {user.known_as}'s authenticator app was encrypted with a key that is no longer set."
        yield f"If the factors are lost, verify who asks, then: flask users reset-two-factor {user.known_as}"


def _device_verification(user: User) -> Iterator[str]:
    if device_verification.why_never(user) is None and user.has_password:
        yield f"On a new device, {user.known_as} also needs a code from an email to {user.email}."
        yield f"If they can't read it, verify who asks, then: flask users trust-next-login {user.known_as}"


def _rate_limited(user: User) -> Iterator[str]:
    with suppress(*storage_errors()):
        if any(entry.is_full for entry in report.entries_of(user.username, user.email)):
            yield f"Too many attempts to log in as {user.known_as}. To allow more: flask limits clear {user.known_as}"


CHECKS = (_deactivated, _deletion_pending, _unconfirmed, _no_password, _two_factor, _device_verification, _rate_limited)


def _confirmation_email(user: User) -> str:
    email = registration.last_email(user)
    if email is None:
        return "No confirmation email to this address is on record."
    at = f"{email.done_at or email.due_at:%Y-%m-%d %H:%M} UTC"
    return {
        Status.SENT: f"The mail server accepted the confirmation email at {at}.",
        Status.FAILED: f"The mail server refused the confirmation email at {at}: {email.error}",
        Status.WAITING: f"The confirmation email is waiting, and will be tried again at {at}. {email.error}",
        Status.OBSOLETE: "The confirmation email was dropped, because the account had changed.",
    }[Status(email.status)]


def _last_login(user: User) -> str:
    mine = select(UserSession).where(UserSession.user_id == user.id).order_by(UserSession.created_at.desc())
    last = db.session.scalar(mine.limit(1))
    if last is None:
        return "No login is on record."
    device = user_agents.in_words(last.user_agent)
    return f"Last login: {last.created_at:%Y-%m-%d %H:%M} UTC ({last.method}, {device})."

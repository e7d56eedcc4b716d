"""Obstacles in the account itself: its state, its credentials, and its last attempts."""

from sqlalchemy import select

from app import switches
from app.accounts import (
    authenticators,
    device_verification,
    email_typos,
    passwords,
    recovery_codes,
    registration,
    sso,
    two_factor,
    two_factor_codes,
)
from app.accounts.login_obstacles.obstacle import Obstacle, Obstacles, at
from app.extensions import db
from app.models import AuditAction, AuditEvent, User
from app.models.outbox_email import Status
from app.security import audit, imported_hashes, user_agents

FAILURES = [
    *(AuditAction.LOGIN_FAILED, AuditAction.DEVICE_CODE_FAILED, AuditAction.PASSKEY_COPIED),
    *(AuditAction.TWO_FACTOR_FAILED, AuditAction.RECOVERY_CODE_FAILED),
]
MAX_SHOWN = 3  # failures


def deactivated(user: User) -> Obstacles:
    if not user.is_active:
        yield Obstacle(f"{user.known_as} is deactivated.", f"flask users activate {user.known_as}")


def deletion_pending(user: User) -> Obstacles:
    if user.deletion_due_at:
        due = f"{user.deletion_due_at:%Y-%m-%d}"
        yield Obstacle(f"{user.known_as} will be deleted on {due}.", f"flask users cancel-deletion {user.known_as}")


def unconfirmed(user: User) -> Obstacles:
    if not user.can_use_application:
        yield Obstacle(f"{user.email} is not confirmed.", f"flask users confirm {user.known_as}")
        yield Obstacle(_confirmation_email(user))
        if likely := email_typos.suggest(user.email):
            yield Obstacle(f"The email address may be a typo of {likely}.")


def no_password(user: User) -> Obstacles:
    if not user.has_password:
        passkey = ["a passkey"] if "passkey" in two_factor.methods(user) else []
        link = ["an emailed link"] if switches.is_on("magic_link") else []
        otherwise = "nothing that is set up" if switches.is_on("registration") else "a provider"
        methods = " or ".join([*passkey, *sso.labels(user), *link]) or otherwise
        has_none = " has no password, and" if switches.is_on("password") else ""
        yield Obstacle(f"{user.known_as}{has_none} can log in only by {methods}.")


def unreadable_password(user: User) -> Obstacles:
    if user.password_hash and user.has_password and (problem := imported_hashes.problem(user.password_hash)):
        cause = f"{user.known_as} can't log in with any password, because the stored hash can't be verified. {problem}"
        yield Obstacle(cause, f"flask users send-reset {user.known_as}")


def compromised_password(user: User) -> Obstacles:
    refused_at, set_at = audit.latest(user, AuditAction.PASSWORD_COMPROMISED), passwords.set_at(user)
    if user.has_password and refused_at and (not set_at or set_at < refused_at):
        cause = f"The password of {user.known_as} is right, but refused at {at(refused_at)}: it is in a data breach."
        yield Obstacle(cause, f"flask users send-reset {user.known_as}")


def two_factor_needed(user: User) -> Obstacles:
    if two_factor.is_missing(user):
        yield Obstacle(f"{user.known_as} must set up two-factor authentication first: TWO_FACTOR_REQUIRED_FOR.")
    if two_factor.is_on(user):
        app, reset = authenticators.find(user), f"flask users reset-two-factor {user.known_as}"
        if app and not app.is_readable:
            yield Obstacle(
                f"The secret of {user.known_as}'s authenticator app was encrypted with a key that is no longer set."
            )
        for message in two_factor_codes.blocks(user):
            yield Obstacle(f"Codes of {user.known_as} are refused with this message: {message}")
        factors, left = ", ".join(two_factor.methods(user)) or "no factor", recovery_codes.left(user)
        codes = "recovery code" if left == 1 else "recovery codes"
        uses = f"{user.known_as} uses two-factor authentication ({factors}; {left} {codes} left)."
        yield Obstacle(f"{uses} If the factors are lost, verify the user's identity, then turn it off.", reset)


def device_code_needed(user: User) -> Obstacles:
    if device_verification.why_never(user) is None:
        needs = f"On a new device, {user.known_as} also needs a code from an email to {user.email}."
        if not device_verification.may_send(user):
            needs += " Too many were sent, so the next one is sent in an hour at the earliest."
        trust = f"flask users trust-next-login {user.known_as}"
        yield Obstacle(f"{needs} If they can't read it, verify their identity, then allow one login without it.", trust)


def failures(user: User) -> Obstacles:
    """Yield the failures after the last login, the newest first."""
    mine = [AuditEvent.user_id == user.id, AuditEvent.action.in_(FAILURES)]
    if login_at := audit.latest(user, AuditAction.LOGGED_IN):
        mine.append(AuditEvent.at > login_at)
    newest = select(AuditEvent).where(*mine).order_by(AuditEvent.at.desc()).limit(MAX_SHOWN)
    for event in db.session.scalars(newest):
        details = [event.detail.get("method"), event.detail.get("reason"), event.ip]
        details += [user_agents.in_words(event.user_agent), event.count > 1 and f"{event.count} times"]
        label = event.declared.label if event.declared else event.action
        yield Obstacle(f"{label} at {at(event.at)} ({', '.join(str(part) for part in details if part)}).", is_past=True)


def _confirmation_email(user: User) -> str:
    email = registration.last_email(user)
    if email is None:
        return "No confirmation email to this address is on record."
    when = at(email.done_at or email.due_at)
    return {
        Status.SENT: f"The mail server accepted the confirmation email at {when}.",
        Status.FAILED: f"The mail server refused the confirmation email at {when}: {email.error}",
        Status.WAITING: f"The confirmation email is waiting, and will be tried again at {when}. {email.error}".rstrip(),
        Status.BOUNCED: f"The confirmation email, sent at {when}, came back: {email.error}",
        Status.COMPLAINED: f"The confirmation email, sent at {when}, was reported as spam.",
        Status.STOPPED: f"The confirmation email was not sent at {when}. {email.error}",
        Status.OBSOLETE: "The confirmation email was dropped, because the account had changed.",
    }[Status(email.status)]

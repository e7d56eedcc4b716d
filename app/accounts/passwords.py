"""Passwords: authenticate by password; change, remove and reset passwords."""

from datetime import datetime, timedelta

from sqlalchemy import exists

from app import clock
from app.accounts import devices, email_ownership, enumeration, sessions
from app.email import budgets, outbox
from app.email.templates import Email
from app.models import AuditAction, LogoutReason, Passkey, User, UserSession
from app.models.outbox_email import Budget
from app.security import audit, pwned_passwords, rate_limits
from app.security.hashing import check_password
from app.security.token_purposes import TokenPurpose
from app.security.tokens import Token


def authenticate(login: str, password: str) -> User | None:
    """Return the user with this login and password, or None. An unknown login takes the same work."""
    user = User.find(login)
    audit.note_attempt(audit.Attempt.PASSWORD_CHECKED)
    is_right = check_password(user.password_hash if user else None, password)
    if not user or not is_right or not (user.confirmed or enumeration.policy().logs_in_unconfirmed):
        audit.record(user, AuditAction.LOGIN_FAILED)
        if rate_limits.claim_guessing_notice():
            _warn_of_guessing(user)
        return None
    user.renew_hash(password)
    return user


def refuse_compromised(user: User, password: str) -> bool:
    """Return whether a correct password is known from a data breach; then email a link to choose another one."""
    if not user.is_active or not pwned_passwords.is_known(password):
        return False
    audit.record(user, AuditAction.PASSWORD_COMPROMISED)
    if budget := budgets.budget_for(user.email, gives_access=True, is_reset=True):
        outbox.enqueue(Email.PASSWORD_COMPROMISED, user, budget=budget)
    return True


def verify(user: User, password: str) -> bool:
    """Return whether this is the user's password; record a wrong one as a failed login."""
    if user.verify_password(password):
        return True
    audit.record(user, AuditAction.LOGIN_FAILED)
    return False


def change(user: User, password: str, keep: UserSession | None = None) -> bool:
    """Set a new password, revoke all sessions but `keep` and notify the user.

    Return False if another request was faster.
    """
    if not user.consume(TokenPurpose.RESET, **user.new_password(password)):
        return False
    sessions.revoke_all(user, keep, reason=LogoutReason.PASSWORD_CHANGED)
    devices.forget_all(user, keep)
    outbox.enqueue(Email.PASSWORD_CHANGED, user, event=audit.record(user, AuditAction.PASSWORD_CHANGED))
    return True


def set_at(user: User) -> datetime | None:
    """Return when the password was set, or None if that is not in the history, which is kept for a year."""
    changed = (AuditAction.PASSWORD_CHANGED, AuditAction.PASSWORD_RESET, AuditAction.ACCOUNT_SECURED)
    first = user.created_at if clock.is_within(user.created_at, timedelta(days=365)) else None
    return audit.latest(user, *changed) or first


def remove(user: User, keep: UserSession) -> bool:
    """Remove the password of a user who has a passkey, revoke all sessions but `keep` and notify the user.

    Return False if there is no passkey, or another request was faster.
    """
    has_passkey = exists().where(Passkey.user_id == user.id)
    if not user.consume(TokenPurpose.RESET, has_passkey, **user.new_password(None)):
        return False
    sessions.revoke_all(user, keep, reason=LogoutReason.PASSWORD_REMOVED)
    devices.forget_all(user, keep)
    outbox.enqueue(Email.PASSWORD_REMOVED, user, event=audit.record(user, AuditAction.PASSWORD_REMOVED))
    return True


def request_reset(email: str) -> None:
    """Email a reset link, or a notice that the address has no account. Both take the same work."""
    user = User.find(email)
    audit.record(user, AuditAction.RESET_REQUESTED)
    budget = budgets.budget_for(email, gives_access=True, is_reset=True)
    if budget and user:
        outbox.enqueue(Email.RESET, user, budget=budget)
    elif budget == Budget.OWNER:
        outbox.enqueue_decoy(Email.NO_ACCOUNT, email, budget)
    elif budget:
        outbox.enqueue(Email.NO_ACCOUNT, None, to=email, budget=budget)


def send_reset(user: User) -> None:
    """Email a reset link to the user on an administrator's request."""
    audit.record(user, AuditAction.RESET_REQUESTED)
    outbox.enqueue(Email.RESET, user)


def reset(token: Token, password: str) -> bool:
    """Set a new password by a reset link, confirm the email address and revoke all sessions.

    Return False if another request was faster. If the address was not confirmed before, clear the account.
    """
    user, is_first_proof = token.user, not token.user.confirmed
    if not token.consume(**user.new_password(password), confirmed=True):
        return False
    if is_first_proof:
        email_ownership.prove(user)
    sessions.revoke_all(user, reason=LogoutReason.PASSWORD_RESET)
    devices.forget_all(user)
    outbox.enqueue(Email.PASSWORD_CHANGED, user, event=audit.record(user, AuditAction.PASSWORD_RESET))
    return True


def _warn_of_guessing(user: User | None) -> None:
    """Email a user that the password is being guessed. Other logins take the same work."""
    if user and user.can_use_application:
        outbox.enqueue(Email.PASSWORD_GUESSING, user)
    else:
        outbox.enqueue_decoy(Email.PASSWORD_GUESSING)

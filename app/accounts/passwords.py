"""Passwords: check them at the login, change and remove them, reset them by a mailed link, and judge new ones."""

import re
import threading

from flask import current_app
from sqlalchemy import exists

from app.accounts import common_passwords, devices, email_ownership, enumeration, sessions
from app.email import budgets, outbox
from app.email.templates import Email
from app.models import AuditAction, LogoutReason, Passkey, User, UserSession
from app.models.outbox_email import Budget
from app.security import audit, rate_limits
from app.security.hashing import MAX_PASSWORD_LENGTH, check_password
from app.security.token_purposes import TokenPurpose
from app.security.tokens import Token

SCORED_LENGTH = 32  # characters; scoring time grows with the square of the length
MIN_SCORE = 2  # zxcvbn: more than 10^6 guesses
SCORING = threading.Lock()  # zxcvbn keeps the user's words in a module variable


def authenticate(login: str, password: str) -> User | None:
    """Return the user with this email address or username and password. An unknown login costs the same work."""
    user = User.find(login)
    audit.note_attempt(audit.Attempt.PASSWORD_CHECKED)
    is_right = check_password(user.password_hash if user else None, password)
    if not user or not is_right or not (user.confirmed or enumeration.policy().logs_in_unconfirmed):
        audit.record(user, AuditAction.LOGIN_FAILED)
        if rate_limits.is_guessing_notice_due():
            _warn_of_guessing(user)
        return None
    user.renew_hash(password)
    return user


def verify(user: User, password: str) -> bool:
    """Return whether this is the user's password. A wrong one is recorded as a failed login."""
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
    """Email a reset link to an address, or that it has no account. Both cost the same work."""
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
    """Email a reset link to the user, for an administrator."""
    audit.record(user, AuditAction.RESET_REQUESTED)
    outbox.enqueue(Email.RESET, user)


def reset(token: Token, password: str) -> bool:
    """Set a new password by a mailed link, confirm the email address and revoke all sessions.

    Return False if another request was faster. If the address was not confirmed before, remove everything that
    another person may have left in the account.
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


def check_new(password: str, *words: str | None) -> None:
    """Check length and strength of a new password; there are no rules on kinds of characters.

    NIST SP 800-63B-4, 3.1.1.2.

    Args:
        words: words of the user's own, such as the username, which an attacker would try first.

    Raises:
        ValueError: the message says why the password is refused.
    """
    shortest = current_app.config["PASSWORD_MIN_LENGTH"]
    if len(password) < shortest:
        raise ValueError(f"Use at least {shortest} characters.")
    if len(password) > MAX_PASSWORD_LENGTH:
        raise ValueError(f"Use at most {MAX_PASSWORD_LENGTH} characters.")
    if common_passwords.is_common(password):
        raise ValueError("This would be guessed soon. Many people use such a phrase or pattern.")
    own_words = filter(None, [*words, current_app.config["APP_NAME"]])
    if reason := _weakness(password, [part for word in own_words for part in _parts(word)]):
        raise ValueError(f"This would be guessed soon. {reason.rstrip('.')}.")


def _warn_of_guessing(user: User | None) -> None:
    """Tell the user of a confirmed account that its password is being guessed. Any other login costs the same work."""
    if user and user.confirmed:
        outbox.enqueue(Email.PASSWORD_GUESSING, user)
    else:
        outbox.enqueue_decoy(Email.PASSWORD_GUESSING)


def _weakness(password: str, words: list[str]) -> str | None:
    """Return why the password is easily guessed, or None if it is not. Scoring takes a few milliseconds."""
    from zxcvbn import zxcvbn  # its word lists take 12 MiB, which most commands do not need

    scored = common_passwords.with_few_substitutions(password[:SCORED_LENGTH])
    with SCORING:
        result = zxcvbn(scored, user_inputs=words)
    if result["score"] >= MIN_SCORE:
        return None
    return result["feedback"]["warning"] or "Add another word or two. Uncommon words are better."


def _parts(word: str) -> list[str]:
    """Split a name or an address: return all of it, each part, and each part without its digits."""
    parts = [word, *re.split(r"[^a-zA-Z0-9]+", word)]
    return [part for found in parts for part in {found, found.strip("0123456789")} if len(part) > 2]

"""Passwords: which will do, whose is this one, and having another."""

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

SCORED_LENGTH = 32  # characters; time grows with the square, and who begins well need not be scored to the end
SCORING = threading.Lock()  # zxcvbn keeps the words of the person that it is asked about in a module


def authenticate(login: str, password: str) -> User | None:
    """Return the account with this address or username and password. An unknown name costs the same work."""
    user = User.find(login)
    audit.note_attempt(audit.Attempt.PASSWORD_CHECKED)
    is_right = check_password(user.password_hash if user else None, password)
    if not user or not is_right or not (user.confirmed or enumeration.policy().logs_in_unconfirmed):
        audit.record(user, AuditAction.LOGIN_FAILED)
        if rate_limits.is_guessing_notice_due():
            _warn(user)
        return None
    user.renew_hash(password)
    return user


def change(user: User, password: str, keep: UserSession | None = None) -> bool:
    """Set a new password, log out every browser but `keep`, and tell the owner; say whether nobody was faster."""
    if not user.consume(TokenPurpose.RESET, **user.new_password(password)):
        return False
    sessions.revoke_all(user, keep, reason=LogoutReason.PASSWORD_CHANGED)
    devices.forget_all(user, keep)
    outbox.enqueue(Email.PASSWORD_CHANGED, user, event=audit.record(user, AuditAction.PASSWORD_CHANGED))
    return True


def remove(user: User, keep: UserSession) -> bool:
    """Have no password any more, where a passkey takes its place; say whether one does, and nobody was faster."""
    has_passkey = exists().where(Passkey.user_id == user.id)
    if not user.consume(TokenPurpose.RESET, has_passkey, **user.new_password(None)):
        return False
    sessions.revoke_all(user, keep, reason=LogoutReason.PASSWORD_REMOVED)
    devices.forget_all(user, keep)
    outbox.enqueue(Email.PASSWORD_REMOVED, user, event=audit.record(user, AuditAction.PASSWORD_REMOVED))
    return True


def forgot(email: str) -> None:
    """Queue an email to `email`: a link to choose a new password, or that it has no account. It costs the same."""
    user = User.find(email)
    audit.record(user, AuditAction.RESET_REQUESTED)
    budget = budgets.budget_for(email, lets_in=True, is_reset=True)
    if budget and user:
        outbox.enqueue(Email.RESET, user, budget=budget)
    elif budget == Budget.OWNER:
        outbox.enqueue_decoy(Email.NO_ACCOUNT, email, budget)
    elif budget:
        outbox.enqueue(Email.NO_ACCOUNT, None, to=email, budget=budget)


def send_reset(user: User) -> None:
    """Queue the email with the link to choose a new password, on an administrator's word."""
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
        email_ownership.clear(user)
        audit.record(user, AuditAction.EMAIL_OWNERSHIP_PROVED)
    sessions.revoke_all(user, reason=LogoutReason.PASSWORD_RESET)
    devices.forget_all(user)
    outbox.enqueue(Email.PASSWORD_CHANGED, user, event=audit.record(user, AuditAction.PASSWORD_RESET))
    return True


def check_new(password: str, *words: str | None) -> None:
    """Raise ValueError, with a reason in words, if a new password won't do.

    Length and guessability are all that counts: no rules on kinds of characters (NIST SP 800-63B-4, 3.1.1.2).
    `words` are the person's own, which others would try first.
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


def _warn(user: User | None) -> None:
    """Tell the user of a confirmed account that its password is being guessed. Do the same work for any other login."""
    if user and user.confirmed:
        outbox.enqueue(Email.PASSWORD_GUESSING, user)
    else:
        outbox.enqueue_decoy(Email.PASSWORD_GUESSING)


def _weakness(password: str, words: list[str]) -> str | None:
    """Return in words why a password is easily guessed; None if it is not. It costs some milliseconds at most."""
    from zxcvbn import zxcvbn  # 12 MiB of words, for who chooses a password

    scored = common_passwords.with_few_substitutions(password[:SCORED_LENGTH])
    with SCORING:
        verdict = zxcvbn(scored, user_inputs=words)
    if verdict["score"] >= 2:
        return None
    return verdict["feedback"]["warning"] or "Add another word or two. Uncommon words are better."


def _parts(word: str) -> list[str]:
    """The words in a name or an address: all of it, each part, and each part without its digits."""
    parts = [word, *re.split(r"[^a-zA-Z0-9]+", word)]
    return [part for found in parts for part in {found, found.strip("0123456789")} if len(part) > 2]

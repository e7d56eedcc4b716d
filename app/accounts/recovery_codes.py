"""Recovery codes: ten, given with an account's first second factor, each good once when that is lost."""

import base64
import hashlib
import secrets

from sqlalchemy import delete, func, select

from app.accounts import credentials
from app.email import outbox
from app.email.templates import Email
from app.extensions import db, rows_changed
from app.models import AuditAction, AuditEvent, RecoveryCode, User
from app.security import audit

COUNT = 10
LENGTH = 24  # characters of base32: 120 bits, which nobody guesses
FEW = 3  # left


def make(user: User, event: AuditEvent) -> list[str]:
    """Make ten codes that take the place of all earlier ones, and return them: they can't be read again."""
    credentials.remove(event, RecoveryCode, RecoveryCode.user_id == user.id)
    codes = [base64.b32encode(secrets.token_bytes(LENGTH * 5 // 8)).decode() for _ in range(COUNT)]
    db.session.add_all(RecoveryCode(user_id=user.id, hash=_hash(code), event_id=event.id) for code in codes)
    return ["-".join(code[start : start + 4] for start in range(0, LENGTH, 4)) for code in codes]


def renew(user: User) -> list[str]:
    """Make new codes for who asks for them, and tell the owner; return them."""
    user.lock()
    event = audit.record(user, AuditAction.RECOVERY_CODES_MADE)
    outbox.enqueue(Email.RECOVERY_CODES_MADE, user, event=event)
    return make(user, event)


def use(user: User, code: str) -> bool:
    """Use a code up, and say whether it was good; one conditional DELETE, so that of two at once one is."""
    mine = delete(RecoveryCode).where(RecoveryCode.user_id == user.id, RecoveryCode.hash == _hash(code))
    if len(code) != LENGTH or not rows_changed(mine):
        return False
    if left(user) == FEW:
        outbox.enqueue(
            Email.RECOVERY_CODES_FEW, user, event=audit.record(user, AuditAction.RECOVERY_CODES_FEW), left=FEW
        )
    return True


def left(user: User) -> int:
    """Return how many codes there are still."""
    return db.session.scalar(select(func.count()).where(RecoveryCode.user_id == user.id)) or 0


def _hash(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()

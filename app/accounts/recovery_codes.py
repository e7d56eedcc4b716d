"""Recovery codes: ten, made when two-factor authentication is turned on; each works once.

A code has 10 characters of base32, 50 random bits. NIST SP 800-63B-4, 3.1.2.2, asks look-up secrets for 20 bits, and
for a limit on failed attempts below 64 bits: two_factor_codes.py stops after 100 in a row. With ten codes left, an
attacker who has the password then guesses one with a chance of 1 in 10^12.
"""

import secrets
from collections.abc import Sequence

from sqlalchemy import delete, func, select

from app.accounts import credentials
from app.email import outbox
from app.email.templates import Email
from app.extensions import db, rows_changed
from app.models import AuditAction, AuditEvent, RecoveryCode, User
from app.security import audit

COUNT = 10
LENGTH = 10
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"  # RFC 4648 base32: no 0, 1 or 8, which look like O, I and B
FEW = 3  # left, when the user is told


def make(user: User, event: AuditEvent) -> list[str]:
    """Replace all codes of an account by ten new ones, and return them: only their hashes are stored."""
    credentials.remove(event, RecoveryCode, RecoveryCode.user_id == user.id)
    codes = ["".join(secrets.choice(ALPHABET) for _ in range(LENGTH)) for _ in range(COUNT)]
    hashes = [RecoveryCode.hash_of(code) for code in codes]
    db.session.add_all(RecoveryCode(user_id=user.id, hash=hashed, event_id=event.id) for hashed in hashes)
    return [f"{code[:5]}-{code[5:]}" for code in codes]


def renew(user: User) -> list[str]:
    """Make new codes on request, notify the user, and return the codes."""
    user.lock()
    event = audit.record(user, AuditAction.RECOVERY_CODES_MADE)
    outbox.enqueue(Email.RECOVERY_CODES_MADE, user, event=event)
    return make(user, event)


def use(user: User, code: str) -> bool:
    """Delete the code that was typed, and return whether it was one. Of several requests at once, one gets True.

    Args:
        code: in capitals, without spaces or dashes.
    """
    found = next((kept for kept in _all_of(user) if kept.is_code(code)), None)
    if not found or not rows_changed(delete(RecoveryCode).where(RecoveryCode.id == found.id)):
        return False
    if left(user) == FEW:
        outbox.enqueue(
            Email.RECOVERY_CODES_FEW, user, event=audit.record(user, AuditAction.RECOVERY_CODES_FEW), left=FEW
        )
    return True


def left(user: User) -> int:
    """Return how many codes the account has left."""
    return db.session.scalar(select(func.count()).where(RecoveryCode.user_id == user.id)) or 0


def _all_of(user: User) -> Sequence[RecoveryCode]:
    return db.session.scalars(select(RecoveryCode).where(RecoveryCode.user_id == user.id)).all()

"""Recovery codes: ten single-use codes, created when two-factor authentication is turned on.

A code has 10 characters of base32, which are 50 random bits. NIST SP 800-63B-4, 3.1.2.2, requires 20 bits, and a limit
on failed attempts below 64 bits: two_factor_codes.py allows 100 in a row. An attacker who has the password then guesses
one of ten codes with a probability of 1 in 10^12.
"""

import secrets

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
FEW = 3  # the user is notified when so many are left


def make(user: User, event: AuditEvent) -> list[str]:
    """Replace all codes of an account by new ones, and return these: only their hashes are stored."""
    credentials.remove(event, RecoveryCode, RecoveryCode.user_id == user.id)
    codes = ["".join(secrets.choice(ALPHABET) for _ in range(LENGTH)) for _ in range(COUNT)]
    hashes = [RecoveryCode.hash_of(code) for code in codes]
    db.session.add_all(RecoveryCode(user_id=user.id, hash=hashed, event_id=event.id) for hashed in hashes)
    return [f"{code[:5]}-{code[5:]}" for code in codes]


def renew(user: User) -> list[str]:
    """Replace the codes on the user's request, notify the user, and return the new codes."""
    user.lock()
    event = audit.record(user, AuditAction.RECOVERY_CODES_MADE)
    outbox.enqueue(Email.RECOVERY_CODES_MADE, user, event=event)
    return make(user, event)


def use(user: User, code: str) -> bool:
    """Consume a code, given in capitals without spaces or dashes; return False if there is no such code."""
    codes = db.session.scalars(select(RecoveryCode).where(RecoveryCode.user_id == user.id))
    found = next((kept for kept in codes.all() if kept.is_code(code)), None)
    if not found or not rows_changed(delete(RecoveryCode).where(RecoveryCode.id == found.id)):
        return False
    if left(user) == FEW:
        event = audit.record(user, AuditAction.RECOVERY_CODES_FEW)
        outbox.enqueue(Email.RECOVERY_CODES_FEW, user, event=event, left=FEW)
    return True


def left(user: User) -> int:
    """Return the number of unused codes."""
    return db.session.scalar(select(func.count()).where(RecoveryCode.user_id == user.id)) or 0

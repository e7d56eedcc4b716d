"""Check the codes that are typed where two-factor authentication is on, and limit the attempts.

Only a user who has proved the first factor can try. Wrong codes of the app pause further ones for five minutes; all
devices that the account recognises have one count together, all others another, so that an attacker does not pause the
owner's devices. Recovery codes are not paused. Both stop after 100 failures in a row, until the password changes.
"""

import re
from datetime import timedelta

from sqlalchemy import ColumnElement, case, func, or_, select

from app import clock
from app.accounts import authenticators, devices, recovery_codes
from app.email import outbox
from app.email.templates import Email
from app.extensions import db
from app.models import AuditAction, AuditEvent, User
from app.security import audit

APP_CODE = re.compile(r"\d{6}")
MAX_ATTEMPTS, PAUSE = 5, timedelta(minutes=5)  # wrong codes of the app, by recognised devices or by all others
MAX_FAILURES = 100  # in a row, until the password changes (NIST SP 800-63B-4, 3.2.2)

WRONG = "That code is not right, or was already used."
CLOCK = "Try the next one, check that the clock of your phone is right, or use a recovery code."
PAUSED = "Many codes were tried. Wait five minutes, then try again, or use a recovery code now."
STOPPED = "Too many codes were tried by somebody who has your password. Choose another, or use a recovery code now."
RECOVERY_STOPPED = "Too many recovery codes were tried by somebody who has your password. First choose another one."


def check_code(user: User, code: str, device: str) -> None:
    """Check and use a code of the app, or a recovery code. A failed attempt counts, so the caller commits in any case.

    Args:
        code: as it was typed, in any case, with spaces and dashes.
        device: the device cookie of the browser.

    Raises:
        ValueError: the code is wrong, or none is checked now. The message is for the user.
    """
    typed = re.sub(r"[\s-]", "", code).upper()
    if APP_CODE.fullmatch(typed):
        _use_app_code(user, typed, is_recognised=devices.find(user, device) is not None)
    else:
        _use_recovery_code(user, typed)


def _use_recovery_code(user: User, code: str) -> None:
    if _failed_recovery_codes(user) >= MAX_FAILURES:
        raise ValueError(RECOVERY_STOPPED)
    if recovery_codes.use(user, code):
        audit.record(user, AuditAction.TWO_FACTOR_USED, factor="recovery_code")
        return
    audit.record(user, AuditAction.RECOVERY_CODE_FAILED)
    audit.note_attempt(audit.Attempt.CODE_FAILED)
    raise ValueError(WRONG)


def _use_app_code(user: User, code: str, is_recognised: bool) -> None:
    device = int(is_recognised)
    _check_pause(user, device)
    user.lock()  # from here on, one attempt at a time
    _check_pause(user, device)
    if authenticators.use_code(user, code):
        audit.record(user, AuditAction.TWO_FACTOR_USED, factor="authenticator")
        return
    audit.note_attempt(audit.Attempt.CODE_FAILED)
    outbox.enqueue(
        Email.TWO_FACTOR_FAILED, user, event=audit.record(user, AuditAction.TWO_FACTOR_FAILED, device=device)
    )
    raise ValueError(f"{WRONG} {CLOCK}")


def _check_pause(user: User, device: int) -> None:
    """Raise ValueError if so many wrong codes were typed that none is checked now."""
    wrong = (
        AuditEvent.user_id == user.id,
        AuditEvent.action == AuditAction.TWO_FACTOR_FAILED,
        AuditEvent.detail["device"].as_integer() == device,
    )
    last = select(func.max(AuditEvent.id)).where(*_ends_a_row(user)).scalar_subquery()
    lately = func.count(case((AuditEvent.at > clock.now() - PAUSE, 1)))
    in_a_row = func.count(case((or_(last.is_(None), AuditEvent.id > last), 1)))
    recent, total = db.session.execute(select(lately, in_a_row).where(*wrong)).one()
    if total >= MAX_FAILURES:
        raise ValueError(STOPPED)
    if recent >= MAX_ATTEMPTS:
        raise ValueError(PAUSED)


def _ends_a_row(user: User) -> tuple[ColumnElement[bool], ...]:
    right = [AuditAction.TWO_FACTOR_USED, AuditAction.PASSWORD_CHANGED, AuditAction.PASSWORD_RESET]
    return (AuditEvent.user_id == user.id, AuditEvent.action.in_(right))


def _failed_recovery_codes(user: User) -> int:
    """Return how many failed in a row. Failures from one network within an hour share a row, with the latest time."""
    last = select(func.max(AuditEvent.at)).where(*_ends_a_row(user)).scalar_subquery()
    wrong = (AuditEvent.user_id == user.id, AuditEvent.action == AuditAction.RECOVERY_CODE_FAILED)
    in_a_row = or_(last.is_(None), AuditEvent.at > last)
    return db.session.scalar(select(func.sum(AuditEvent.count)).where(*wrong, in_a_row)) or 0

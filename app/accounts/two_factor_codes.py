"""Two-factor codes: check codes of the authenticator app and recovery codes, and limit the attempts.

A user must have proved the first factor. Wrong codes of the app block further ones for five minutes. Recognised devices
share one counter and all other devices another, so that an attacker does not block the owner's devices. Recovery codes
are not blocked. Both are blocked after 100 failures in a row, until the password changes.
"""

import re
from datetime import timedelta
from functools import partial

from flask_babel import lazy_gettext as _l
from sqlalchemy import ColumnElement, case, func, or_, select

from app import clock, switches
from app.accounts import authenticators, devices, recovery_codes
from app.email import outbox
from app.email.templates import Email
from app.extensions import db
from app.models import AuditAction, AuditEvent, User
from app.security import audit

APP_CODE = re.compile(r"\d{6}")
MAX_ATTEMPTS, PAUSE = 5, timedelta(minutes=5)  # wrong codes of the app, per counter
MAX_FAILURES = 100  # in a row, until the password changes (NIST SP 800-63B-4, 3.2.2)

WRONG = _l("This code is incorrect or was already used.")
CLOCK = _l("Try the next one, check that your phone's clock is right, or use a recovery code.")
PAUSED = _l("Too many incorrect codes. Try again in five minutes, or use a recovery code.")
STOPPED = _l(
    "Too many incorrect codes were entered by someone who knows your password. "
    "Change your password, or use a recovery code."
)
PASSWORDLESS = _l("Too many incorrect codes were entered. Use a recovery code, or ask the administrators of this site.")
RECOVERY_STOPPED = _l(
    "Too many incorrect codes were entered by someone who knows your password. Change your password first."
)


def check_code(user: User, code: str, device: str) -> None:
    """Use a code of the app or a recovery code. A wrong code is recorded, so the caller commits in any case.

    Args:
        code: as entered, in upper or lower case, with spaces and dashes.
        device: the device cookie of the browser.

    Raises:
        ValueError: the code is wrong, or codes are blocked. The message is for the user.
    """
    typed = re.sub(r"[\s-]", "", code).upper()
    if APP_CODE.fullmatch(typed):
        _use_app_code(user, typed, is_recognised=devices.find(user, device) is not None)
    else:
        _use_recovery_code(user, typed)


def blocks(user: User) -> list[str]:
    """Return the messages of the blocks in force: of the app on new or on recognised devices, of recovery codes."""
    messages = []
    for check in (partial(_check_pause, device=0), partial(_check_pause, device=1), _check_stop):
        try:
            check(user)
        except ValueError as error:
            messages.append(str(error))
    return list(dict.fromkeys(messages))


def _use_recovery_code(user: User, code: str) -> None:
    _check_stop(user)
    if recovery_codes.use(user, code):
        audit.record(user, AuditAction.TWO_FACTOR_USED, factor="recovery_code")
        return
    last = db.session.scalar(select(func.max(AuditEvent.id)).where(*_ends_a_row(user)))
    audit.record(user, AuditAction.RECOVERY_CODE_FAILED, after=last)  # so that failures of two rows share no event
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
    event = audit.record(user, AuditAction.TWO_FACTOR_FAILED, device=device)
    outbox.enqueue(Email.TWO_FACTOR_FAILED, user, event=event)
    raise ValueError(f"{WRONG} {CLOCK}")


def _check_stop(user: User) -> None:
    """Raise ValueError if recovery codes are blocked."""
    if _failed_recovery_codes(user) >= MAX_FAILURES:
        raise ValueError(RECOVERY_STOPPED if switches.is_on("password") else PASSWORDLESS)


def _check_pause(user: User, device: int) -> None:
    """Raise ValueError if codes are blocked."""
    failed = AuditEvent.action == AuditAction.TWO_FACTOR_FAILED
    wrong = (AuditEvent.user_id == user.id, failed, AuditEvent.detail["device"].as_integer() == device)
    last = select(func.max(AuditEvent.id)).where(*_ends_a_row(user)).scalar_subquery()
    lately = func.count(case((AuditEvent.at > clock.now() - PAUSE, 1)))
    in_a_row = func.count(case((or_(last.is_(None), AuditEvent.id > last), 1)))
    recent, total = db.session.execute(select(lately, in_a_row).where(*wrong)).one()
    if total >= MAX_FAILURES:
        raise ValueError(STOPPED if switches.is_on("password") else PASSWORDLESS)
    if recent >= MAX_ATTEMPTS:
        raise ValueError(PAUSED)


def _ends_a_row(user: User) -> tuple[ColumnElement[bool], ...]:
    right = [AuditAction.TWO_FACTOR_USED, AuditAction.PASSWORD_CHANGED, AuditAction.PASSWORD_RESET]
    return (AuditEvent.user_id == user.id, AuditEvent.action.in_(right))


def _failed_recovery_codes(user: User) -> int:
    """Return the number of failures in a row. Those of one row, network and hour share an event."""
    last = select(func.max(AuditEvent.at)).where(*_ends_a_row(user)).scalar_subquery()
    wrong = (AuditEvent.user_id == user.id, AuditEvent.action == AuditAction.RECOVERY_CODE_FAILED)
    in_a_row = or_(last.is_(None), AuditEvent.at > last)
    return db.session.scalar(select(func.sum(AuditEvent.count)).where(*wrong, in_a_row)) or 0

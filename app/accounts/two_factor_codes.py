"""Codes that are typed where two-factor authentication is asked for: which are right, and how often one may try.

Nobody can try who has not done the first step. Devices that the account knows have one count together, all others
another; recovery codes, which nobody guesses, are always looked at and never counted: so many wrong codes shut no owner
out.
"""

import re
from datetime import timedelta

from sqlalchemy import case, func, or_, select, update

from app import clock
from app.accounts import devices, recovery_codes, two_factor
from app.email import outbox
from app.email.templates import Email
from app.extensions import db, rows_changed
from app.models import AuditAction, AuditEvent, User
from app.security import audit

ENDS_A_ROW = [AuditAction.TWO_FACTOR_USED, AuditAction.PASSWORD_CHANGED, AuditAction.PASSWORD_RESET]
APP_CODE = re.compile(r"\d{6}")
MAX_ATTEMPTS, PAUSE = 5, timedelta(minutes=5)  # wrong codes, in all known browsers together, or in all others together
MOST = 100  # wrong codes in a row, until there is another password (NIST SP 800-63B-4, 3.2.2)

WRONG = "That code is not right, or was used already."
CLOCK = "Try the next one; if that won't do, see whether your phone's clock is right, or use a recovery code."
PAUSED = "Many codes were tried. Wait five minutes, then try again, or use a recovery code now."
STOPPED = "Too many codes were tried by somebody who has your password. Choose another, or use a recovery code now."


def check_code(user: User, code: str, device: str) -> None:
    """Use up a code of the app, or a recovery code, typed in the browser whose cookie says `device`.

    Raises ValueError, with a reason in words, if it is not right. Whoever calls commits then, too: a try counts.
    """
    typed = re.sub(r"[\s-]", "", code).upper()
    if recovery_codes.use(user, typed):
        audit.record(user, AuditAction.TWO_FACTOR_USED, factor="recovery_code")
        return
    if not APP_CODE.fullmatch(typed):  # it can't be right, so it is no guess: a recovery code that was used, perhaps
        audit.record(user, AuditAction.RECOVERY_CODE_FAILED)
        audit.note_attempt(audit.Attempt.CODE_FAILED)
        raise ValueError(WRONG)
    where = int(devices.find(user, device) is not None)
    _check_pause(user, where)
    rows_changed(
        update(User).where(User.id == user.id).values(login_count=User.login_count)
    )  # one at a time from here on
    _check_pause(user, where)
    if two_factor.use_app_code(user, typed):
        audit.record(user, AuditAction.TWO_FACTOR_USED, factor="authenticator")
        return
    audit.note_attempt(audit.Attempt.CODE_FAILED)
    outbox.enqueue(Email.TWO_FACTOR_FAILED, user, event=audit.record(user, AuditAction.TWO_FACTOR_FAILED, device=where))
    raise ValueError(f"{WRONG} {CLOCK}")


def _check_pause(user: User, where: int) -> None:
    """Raise ValueError, with an advice, if so many wrong codes were typed that none is looked at just now."""
    wrong = (
        AuditEvent.user_id == user.id,
        AuditEvent.action == AuditAction.TWO_FACTOR_FAILED,
        AuditEvent.detail["device"].as_integer() == where,
    )
    right = (AuditEvent.user_id == user.id, AuditEvent.action.in_(ENDS_A_ROW))
    last = select(func.max(AuditEvent.id)).where(*right).scalar_subquery()
    lately = func.count(case((AuditEvent.at > clock.now() - PAUSE, 1)))
    in_a_row = func.count(case((or_(last.is_(None), AuditEvent.id > last), 1)))
    recent, total = db.session.execute(select(lately, in_a_row).where(*wrong)).one()
    if total >= MOST:
        raise ValueError(STOPPED)
    if recent >= MAX_ATTEMPTS:
        raise ValueError(PAUSED)

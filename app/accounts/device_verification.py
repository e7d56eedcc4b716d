"""A code by email before a password logs in on a device that the account does not recognise (VERIFY_NEW_DEVICES).

A stolen password is then not enough. It is not two-factor authentication, since the email account alone resets the
password, too: it counts neither for TWO_FACTOR_REQUIRED_FOR nor as reauthentication. Logins by magic link, passkey or
provider need no code.
"""

import math
from datetime import timedelta

from flask import current_app
from sqlalchemy import case, func, select, update

from app import clock
from app.accounts import two_factor
from app.email import budgets, outbox
from app.email.templates import Email
from app.extensions import db, rows_changed
from app.models import AuditAction, Device, EmailChallenge, OutboxEmail, User
from app.models.outbox_email import Status
from app.security import audit
from app.security.token_purposes import TokenPurpose

MAX_HOURLY, MAX_DAILY = 5, 15  # emails to one account, fewer than its budget: a reset can still be sent
RESEND_INTERVAL = timedelta(seconds=60)
USUAL_DELAY = timedelta(seconds=30)  # of delivery; then the page says that the email waits
TRUST_LASTS = timedelta(hours=1)


def why_never(user: User) -> str | None:
    """Return why no login by password of this user takes a code, on any device; None if one can."""
    if not current_app.config["VERIFY_NEW_DEVICES"]:
        return "VERIFY_NEW_DEVICES is off: no login takes a code from an email."
    if two_factor.is_on(user):
        return f"{user.username} has two-factor authentication, which is asked for instead of a code from an email."
    if not user.confirmed:
        return f"{user.email} is not confirmed: no login takes a code from an email."
    return None


def is_required(user: User, device: str) -> bool:
    """Return whether a login by password on this device takes a code. The first login of an account takes none."""
    return why_never(user) is None and user.login_count > 0 and not _is_recognised(user, device)


def send_code(user: User, earlier: EmailChallenge | None = None) -> EmailChallenge | None:
    """Enqueue an email with a code, the `earlier` one again while it is valid.

    Returns:
        The challenge that the code answers; None if the account or its address had too many emails.
    """
    if not budgets.budget_for(user.email) or not _may_send(user):  # in this order: the first holds a lock
        return None
    challenge = EmailChallenge.issue(TokenPurpose.VERIFY_DEVICE, user, earlier)
    outbox.enqueue(
        Email.VERIFY_DEVICE,
        user,
        claims={"challenge": challenge.id},
        event=audit.record(user, AuditAction.DEVICE_CODE_SENT),
    )
    return challenge


def seconds_to_wait(challenge: EmailChallenge) -> int:
    """Return how long until another email can be sent."""
    return max(0, math.ceil((challenge.asked_at + RESEND_INTERVAL - clock.now()).total_seconds()))


def is_right(user: User, challenge: EmailChallenge | None, code: str) -> bool:
    """Count an attempt, and return whether it is the code. A code works once, while the account is unchanged.

    Args:
        challenge: what send_code() returned for this user.
    """
    counts = challenge is not None and challenge.can_be_tried
    if challenge and challenge.use(code):
        audit.record(user, AuditAction.DEVICE_VERIFIED)
        return True
    if counts:  # attempts after the fifth are not recorded
        audit.record(user, AuditAction.DEVICE_CODE_FAILED)
    audit.note_attempt(audit.Attempt.CODE_FAILED)
    return False


def delivery(user: User, challenge: EmailChallenge) -> Status | None:
    """Return the status of the newest email with this code; None while it is not late."""
    mine = (
        select(OutboxEmail)
        .where(OutboxEmail.user_id == user.id, OutboxEmail.name == Email.VERIFY_DEVICE)
        .order_by(OutboxEmail.id.desc())
    )
    email = db.session.scalar(mine.limit(1))
    if email is None or email.claims.get("challenge") != challenge.id:
        return None
    is_refused = email.attempts > 0 and email.claimed_until is None  # and will be retried
    is_late = is_refused or not clock.is_within(email.created_at, USUAL_DELAY)
    return None if email.status == Status.WAITING and not is_late else Status(email.status)


def trust_next_login(user: User) -> None:
    """Let the next login within an hour pass without a code: the user can't read their email."""
    user.next_login_trusted_until = clock.now() + TRUST_LASTS
    audit.record(user, AuditAction.NEXT_LOGIN_TRUSTED)


def use_trust(user: User) -> bool:
    """Consume what trust_next_login() allowed; return whether it was there. Of two logins at once, one gets True."""
    trusted = (User.id == user.id, User.next_login_trusted_until > clock.now())
    if user.next_login_trusted_until is None or not rows_changed(
        update(User).where(*trusted).values(next_login_trusted_until=None)
    ):
        return False
    audit.record(user, AuditAction.NEXT_LOGIN_TRUST_USED)
    return True


def _is_recognised(user: User, device: str) -> bool:
    known = select(Device.id).where(Device.user_id == user.id, Device.key == Device.key_of(device))
    return db.session.scalar(known.limit(1)) is not None


def _may_send(user: User) -> bool:
    now = clock.now()
    lately = func.count(case((OutboxEmail.created_at > now - timedelta(hours=1), 1)))
    mine = (
        OutboxEmail.user_id == user.id,
        OutboxEmail.name == Email.VERIFY_DEVICE,
        OutboxEmail.created_at > now - timedelta(days=1),
    )
    hourly, daily = db.session.execute(select(lately, func.count()).where(*mine)).one()
    return bool(hourly < MAX_HOURLY and daily < MAX_DAILY)

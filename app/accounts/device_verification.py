"""Device verification: a password logs in on a new device only with an emailed code (VERIFY_NEW_DEVICES).

This protects against stolen passwords. It is not two-factor authentication, since access to the email account is enough
to reset the password: it counts neither for TWO_FACTOR_REQUIRED_FOR nor as reauthentication. Logins by magic link,
passkey or provider need no code.
"""

from datetime import timedelta

from flask import current_app
from sqlalchemy import case, func, select, update

from app import clock
from app.accounts import devices, two_factor
from app.email import budgets, outbox
from app.email.templates import Email
from app.extensions import db, rows_changed
from app.models import AuditAction, EmailChallenge, OutboxEmail, User
from app.models.outbox_email import Status
from app.security import audit
from app.security.token_purposes import TokenPurpose

MAX_HOURLY, MAX_DAILY = 5, 15  # emails to one account: less than its budget, so that a reset can still be sent
USUAL_DELAY = timedelta(seconds=30)  # of delivery; after it, the page says that the email is late
TRUST_LASTS = timedelta(hours=1)


def why_never(user: User) -> str | None:
    """Return the reason why this user never needs a code; None if the user may need one."""
    if not current_app.config["VERIFY_NEW_DEVICES"]:
        return "VERIFY_NEW_DEVICES is off, so logins need no emailed code."
    if two_factor.is_on(user):
        return f"{user.known_as} has two-factor authentication, which replaces the emailed code."
    if not user.confirmed:
        return f"{user.email} is not confirmed, so logins need no emailed code."
    if not user.has_password:
        return f"{user.known_as} has no password, and only logins by password need an emailed code."
    return None


def is_required(user: User, device: str) -> bool:
    """Return whether a login by password on this device needs a code. The first login of an account needs none."""
    return why_never(user) is None and user.login_count > 0 and devices.find(user, device) is None


def send_code(user: User, earlier: EmailChallenge | None = None) -> EmailChallenge | None:
    """Email a code, the one of the `earlier` challenge while it is valid; return its challenge.

    Return None if too many emails were sent to this user.
    """
    if not budgets.budget_for(user.email) or not may_send(user):  # in this order: the first holds a lock
        return None
    challenge = EmailChallenge.issue(TokenPurpose.VERIFY_DEVICE, user, earlier)
    event = audit.record(user, AuditAction.DEVICE_CODE_SENT)
    outbox.enqueue(Email.VERIFY_DEVICE, user, claims={"challenge": challenge.id}, event=event)
    return challenge


def may_send(user: User) -> bool:
    """Return whether another code may be emailed to this user."""
    now = clock.now()
    lately = func.count(case((OutboxEmail.created_at > now - timedelta(hours=1), 1)))
    mine = (OutboxEmail.user_id == user.id, OutboxEmail.name == Email.VERIFY_DEVICE)
    today = OutboxEmail.created_at > now - timedelta(days=1)
    hourly, daily = db.session.execute(select(lately, func.count()).where(*mine, today)).one()
    return bool(hourly < MAX_HOURLY and daily < MAX_DAILY)


def is_right(user: User, challenge: EmailChallenge | None, code: str) -> bool:
    """Count an attempt, and return whether this is the code of a challenge that send_code() returned."""
    counts = challenge is not None and challenge.can_be_tried
    if challenge and challenge.use(code):
        audit.record(user, AuditAction.DEVICE_VERIFIED)
        return True
    if counts:  # attempts after the fifth are not recorded
        audit.record(user, AuditAction.DEVICE_CODE_FAILED)
    audit.note_attempt(audit.Attempt.CODE_FAILED)
    return False


def delivery(user: User, challenge: EmailChallenge) -> Status | None:
    """Return the status of the newest email with this code; None while it waits and is not late."""
    mine = (OutboxEmail.user_id == user.id, OutboxEmail.name == Email.VERIFY_DEVICE)
    email = db.session.scalar(select(OutboxEmail).where(*mine).order_by(OutboxEmail.id.desc()).limit(1))
    if email is None or email.claims.get("challenge") != challenge.id:
        return None
    is_refused = email.attempts > 0 and email.claimed_until is None  # by the mail server, and will be retried
    is_late = is_refused or not clock.is_within(email.created_at, USUAL_DELAY)
    return None if email.status == Status.WAITING and not is_late else Status(email.status)


def trust_next_login(user: User) -> None:
    """Let a user who can't read their email log in once without a code, within an hour."""
    user.next_login_trusted_until = clock.now() + TRUST_LASTS
    audit.record(user, AuditAction.NEXT_LOGIN_TRUSTED)


def use_trust(user: User) -> bool:
    """Consume the permission of trust_next_login(); return False if there is none."""
    trusted = update(User).where(User.id == user.id, User.next_login_trusted_until > clock.now())
    if user.next_login_trusted_until is None or not rows_changed(trusted.values(next_login_trusted_until=None)):
        return False
    audit.record(user, AuditAction.NEXT_LOGIN_TRUST_USED)
    return True

"""Reauthentication of accounts without a password: a code that is emailed to their address."""

from sqlalchemy import select

from app import clock
from app.email import budgets, outbox
from app.email.templates import Email
from app.extensions import db
from app.models import AuditAction, EmailChallenge, User
from app.security import audit
from app.security.token_purposes import TokenPurpose


def send_code(user: User) -> bool:
    """Enqueue an email with a code, the same as in the email before while that is valid.

    Returns:
        False if too many emails were sent to this address.
    """
    budget = budgets.budget_for(user.email)
    if not budget:
        return False
    challenge = _challenge(user)
    if not challenge or not challenge.is_open:
        state = user.state(TokenPurpose.REAUTHENTICATION)
        challenge = EmailChallenge(purpose=TokenPurpose.REAUTHENTICATION, email=user.email, user=user, state=state)
        db.session.add(challenge)
        db.session.flush()
    challenge.asked_at = clock.now()
    event = audit.record(user, AuditAction.CODE_SENT)
    outbox.enqueue(Email.CODE, user, claims={"challenge": challenge.id}, event=event, budget=budget)
    return True


def is_right(user: User, code: str) -> bool:
    """Return whether `code` is that of the newest email, which this consumes. A wrong one counts as an attempt."""
    challenge = _challenge(user)
    if challenge and challenge.use(code):
        return True
    audit.note_attempt(audit.Attempt.CODE_FAILED)
    return False


def _challenge(user: User) -> EmailChallenge | None:
    mine = (EmailChallenge.user_id == user.id, EmailChallenge.purpose == TokenPurpose.REAUTHENTICATION)
    return db.session.scalar(select(EmailChallenge).where(*mine).order_by(EmailChallenge.asked_at.desc()).limit(1))

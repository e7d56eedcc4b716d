"""Reauthentication of accounts without a password: a code that is emailed to their address."""

from app.email import budgets, outbox
from app.email.templates import Email
from app.models import AuditAction, EmailChallenge, User
from app.security import audit
from app.security.token_purposes import TokenPurpose

PURPOSE = TokenPurpose.REAUTHENTICATION


def send_code(user: User) -> bool:
    """Enqueue an email with a code, the same as in the email before while that is valid.

    Returns:
        False if too many emails were sent to this address.
    """
    budget = budgets.budget_for(user.email)
    if not budget:
        return False
    challenge = EmailChallenge.issue(PURPOSE, user, earlier=EmailChallenge.newest(PURPOSE, user))
    event = audit.record(user, AuditAction.CODE_SENT)
    outbox.enqueue(Email.CODE, user, claims={"challenge": challenge.id}, event=event, budget=budget)
    return True


def is_right(user: User, code: str) -> bool:
    """Return whether `code` is that of the newest email, which this consumes. A wrong one counts as an attempt."""
    challenge = EmailChallenge.newest(PURPOSE, user)
    if challenge and challenge.use(code):
        return True
    audit.note_attempt(audit.Attempt.CODE_FAILED)
    return False

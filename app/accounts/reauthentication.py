"""Reauthentication of users without a password, by an emailed code."""

from app.email import budgets, outbox
from app.email.templates import Email
from app.models import AuditAction, EmailChallenge, User
from app.security import audit
from app.security.token_purposes import TokenPurpose

PURPOSE = TokenPurpose.REAUTHENTICATION


def send_code(user: User) -> bool:
    """Email a code, the previous one while it is valid; return False if the address has had too many emails."""
    budget = budgets.budget_for(user.email)
    if not budget:
        return False
    challenge = EmailChallenge.issue(PURPOSE, user, earlier=EmailChallenge.newest(PURPOSE, user))
    event = audit.record(user, AuditAction.CODE_SENT)
    outbox.enqueue(Email.CODE, user, claims={"challenge": challenge.id}, event=event, budget=budget)
    return True


def is_right(user: User, code: str) -> bool:
    """Return whether this is the code of the newest email, and consume it. A wrong code counts as an attempt."""
    challenge = EmailChallenge.newest(PURPOSE, user)
    if challenge and challenge.use(code):
        return True
    audit.note_attempt(audit.Attempt.CODE_FAILED)
    return False

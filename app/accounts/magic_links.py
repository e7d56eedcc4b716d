"""Logging in by an email: a link that works once, or a code for the page that waits."""

import math
from datetime import timedelta

from sqlalchemy import update

from app import clock
from app.accounts import email_ownership
from app.email import budgets, outbox
from app.email.templates import Email
from app.extensions import db, rows_changed
from app.models import AuditAction, EmailChallenge, User
from app.security import audit
from app.security.token_purposes import TokenPurpose

SEND_EVERY = timedelta(seconds=60)


def ask(email: str, earlier: EmailChallenge | None = None) -> EmailChallenge:
    """Queue an email to `email`, with a link and a code if it has an account; an unknown one costs the same work.

    Asked `earlier` in the same browser, it is the same code again.
    """
    user = User.find(email)
    audit.record(user, AuditAction.MAGIC_LINK_REQUESTED)
    budget = budgets.budget_for(email, lets_in=True)
    # A code that no email carries is for nobody: else it could be guessed without end.
    owner = {"user_id": user and user.id, "state": (user or User()).state(TokenPurpose.MAGIC_LINK)} if budget else {}
    if earlier and earlier.can_be_tried and earlier.email == email:
        challenge = earlier
        same = update(EmailChallenge).where(EmailChallenge.id == earlier.id)
        rows_changed(same.values(asked_at=clock.now(), **owner))
    else:
        challenge = EmailChallenge(purpose=TokenPurpose.MAGIC_LINK, email=email, **owner)
        db.session.add(challenge)
        db.session.flush()
    if budget and user:
        outbox.enqueue(Email.MAGIC_LINK, user, claims={"challenge": challenge.id}, budget=budget)
    elif budget:
        outbox.enqueue(Email.NO_ACCOUNT, None, to=email, claims={"challenge": challenge.id}, budget=budget)
    return challenge


def seconds_to_wait(challenge: EmailChallenge) -> int:
    """Return how long until another email can be asked for."""
    return max(0, math.ceil((challenge.asked_at + SEND_EVERY - clock.now()).total_seconds()))


def log_in(user: User) -> bool:
    """Use up whatever links and codes there are, and say whether they were good still.

    If the address was not confirmed yet, this is the first proof of whose it is, and it needed no password: so what
    may be another's goes, the password too.
    """
    is_first_proof = not user.confirmed
    changes = user.new_password(None) | {"confirmed": True} if is_first_proof else {}
    if not user.consume(TokenPurpose.MAGIC_LINK, login_count=user.login_count + 1, **changes):
        return False
    if is_first_proof:
        email_ownership.clear(user)
        audit.record(user, AuditAction.EMAIL_OWNERSHIP_PROVED)
    return True

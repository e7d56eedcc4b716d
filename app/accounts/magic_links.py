"""Magic links: an email with a link that logs in once, and a code for the page that waits for it."""

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

RESEND_INTERVAL = timedelta(seconds=60)
PURPOSE = TokenPurpose.MAGIC_LINK


def request(email: str, earlier: EmailChallenge | None = None) -> EmailChallenge:
    """Email a link and a code to an address, or that it has no account. Both cost the same work.

    Args:
        earlier: the challenge of the same browser, whose code is sent again while it can be tried.
    """
    user = User.find(email)
    audit.record(user, AuditAction.MAGIC_LINK_REQUESTED)
    budget = budgets.budget_for(email, gives_access=True)
    challenge = _issue(email, user, earlier, is_sent=budget is not None)
    claims = {"challenge": challenge.id}
    if budget and user:
        outbox.enqueue(Email.MAGIC_LINK, user, claims=claims, budget=budget)
    elif budget:
        outbox.enqueue(Email.NO_ACCOUNT, None, to=email, claims=claims, budget=budget)
    return challenge


def seconds_to_wait(challenge: EmailChallenge) -> int:
    """Return how many seconds remain until another email can be requested."""
    return max(0, math.ceil((challenge.asked_at + RESEND_INTERVAL - clock.now()).total_seconds()))


def use(user: User) -> bool:
    """Consume the outstanding links and codes of the user; return False if another request was faster.

    If the address was not confirmed before, confirm it and remove everything that another person may have left in the
    account, the password included.
    """
    is_first_proof = not user.confirmed
    changes = user.new_password(None) | {"confirmed": True} if is_first_proof else {}
    if not user.consume(PURPOSE, login_count=user.login_count + 1, **changes):
        return False
    if is_first_proof:
        email_ownership.prove(user)
    return True


def _issue(email: str, user: User | None, earlier: EmailChallenge | None, is_sent: bool) -> EmailChallenge:
    """Return the challenge for this request. It belongs to nobody if no email carries its code, against guessing."""
    owner = {"user_id": user and user.id, "state": (user or User()).state(PURPOSE)} if is_sent else {}
    if earlier and earlier.can_be_tried and earlier.email == email:
        same = update(EmailChallenge).where(EmailChallenge.id == earlier.id)
        rows_changed(same.values(asked_at=clock.now(), **owner))
        return earlier
    challenge = EmailChallenge(purpose=PURPOSE, email=email, **owner)
    db.session.add(challenge)
    db.session.flush()
    return challenge

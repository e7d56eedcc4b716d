"""Magic links: emails with a link that logs in once, and with a code for the page that waits for the link."""

from sqlalchemy import update

from app import clock
from app.accounts import email_ownership
from app.email import budgets, outbox
from app.email.templates import Email
from app.extensions import db, rows_changed
from app.models import AuditAction, EmailChallenge, User
from app.security import audit
from app.security.token_purposes import TokenPurpose

PURPOSE = TokenPurpose.MAGIC_LINK


def request(email: str, earlier: EmailChallenge | None = None) -> EmailChallenge:
    """Email a link and a code, or a notice that the address has no account. Both take the same work.

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


def send_login_link(user: User) -> None:
    """Email a link that logs in, on an administrator's request."""
    audit.record(user, AuditAction.MAGIC_LINK_REQUESTED)
    outbox.enqueue(Email.FIRST_LOGIN, user)


def use(user: User) -> bool:
    """Consume the outstanding links and codes of the user; return False if another request was faster.

    If the email address was not confirmed, confirm it, remove the password and clear the account.
    """
    is_first_proof = not user.confirmed
    changes = user.new_password(None) | {"confirmed": True} if is_first_proof else {}
    if not user.consume(PURPOSE, login_count=user.login_count + 1, **changes):
        return False
    if is_first_proof:
        email_ownership.prove(user)
    return True


def _issue(email: str, user: User | None, earlier: EmailChallenge | None, is_sent: bool) -> EmailChallenge:
    """Return the challenge for this request. Without an email, it has no user, so that its code can't be guessed."""
    owner = {"user_id": user and user.id, "state": (user or User()).state(PURPOSE)} if is_sent else {}
    if earlier and earlier.can_be_tried and earlier.email == email:
        same = update(EmailChallenge).where(EmailChallenge.id == earlier.id)
        rows_changed(same.values(asked_at=clock.now(), **owner))
        return earlier
    challenge = EmailChallenge(purpose=PURPOSE, email=email, **owner)
    db.session.add(challenge)
    db.session.flush()
    return challenge

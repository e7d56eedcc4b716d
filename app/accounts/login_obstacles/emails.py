"""Obstacles on the way of emails with links and codes."""

from datetime import timedelta
from itertools import takewhile

from sqlalchemy import func, select, true

from app import clock
from app.accounts.login_obstacles.obstacle import Obstacle, Obstacles, at
from app.email import budgets, smtp_answers
from app.extensions import db
from app.models import OutboxEmail, User
from app.models.logins import email_key
from app.models.outbox_email import Status
from app.models.user import UNREACHABLE_FOR

MAX_READ = 10  # emails to one address
PATIENCE = timedelta(minutes=5)  # for the process that delivers emails


def unreachable(user: User) -> Obstacles:
    if user.is_unreachable and user.email_bounced_at:
        until = f"{user.email_bounced_at + UNREACHABLE_FOR:%Y-%m-%d}"
        cause = f"An email to {user.email} came back, so none are sent until {until}. If the address works, confirm it."
        yield Obstacle(cause, f"flask users confirm {user.known_as}")


def unsent(user: User) -> Obstacles:
    """Yield why the newest emails to this address were not sent, if so."""
    mine = (OutboxEmail.recipient_key == email_key(user.email), OutboxEmail.status != Status.OBSOLETE)
    found = db.session.scalars(select(OutboxEmail).where(*mine).order_by(OutboxEmail.id.desc()).limit(MAX_READ)).all()
    if failed := list(takewhile(lambda email: email.status == Status.FAILED, found)):
        last = f"the last {len(failed)} emails" if len(failed) > 1 else "the last email"
        cause = f"The mail server refused {last} to {user.email}, most recently at {at(failed[0].created_at)}: "
        yield Obstacle(f"{cause}{_explained(failed[0].error)}", f"flask mail retry {failed[0].id}")
    elif found and found[0].status == Status.WAITING and found[0].error:
        cause = f"An email to {user.email} waits until {at(found[0].due_at)}, because it was refused: "
        yield Obstacle(f"{cause}{_explained(found[0].error)}", f"flask mail retry {found[0].id}")


def mail_server_away(_: User) -> Obstacles:
    """Yield that emails of anyone have waited for a while, if none was sent since."""
    is_sent = (
        func.coalesce(OutboxEmail.status, "") == Status.SENT
    )  # no index has it, so that the one of done_at is used
    sent = select(OutboxEmail.done_at).where(is_sent, OutboxEmail.done_at.is_not(None))
    sent_at = db.session.scalar(sent.order_by(OutboxEmail.done_at.desc()).limit(1))
    late = (OutboxEmail.status == Status.WAITING, OutboxEmail.created_at < clock.now() - PATIENCE)
    stuck = select(OutboxEmail).where(*late, OutboxEmail.created_at > sent_at if sent_at else true())
    if email := db.session.scalar(stuck.order_by(OutboxEmail.id.desc()).limit(1)):
        cause = _explained(email.error) if email.error else "No process is delivering emails."
        yield Obstacle(f"No email has been sent to anyone since {at(email.created_at)}. {cause}", "flask doctor")


def budget_used_up(user: User) -> Obstacles:
    if until := budgets.used_up_until(user.email):
        cause = f"So many emails were requested for {user.email} that some requests send none until {at(until)}."
        yield Obstacle(cause, f"flask users send-reset {user.known_as}")


def _explained(error: str) -> str:
    return f"{error.rstrip('.')}. {smtp_answers.explain(error) or ''}".strip()

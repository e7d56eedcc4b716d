"""Enqueue emails in the caller's transaction: the outbox. app/email/delivery.py sends them."""

import threading
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from flask import current_app
from sqlalchemy import and_, event, func, not_, select, update
from sqlalchemy.orm import Session

from app import clock
from app.email import message
from app.extensions import db
from app.models import AuditEvent, OutboxEmail, User
from app.models.logins import ascii_email, email_key
from app.models.outbox_email import Budget, Status
from app.security import audit, signing
from app.security.token_purposes import TokenPurpose

NOTICES_AN_HOUR = 3  # of one kind

# What people ask for, and counts against the budget of an address. An application's own emails, and notices, do not.
ASKED_FOR = frozenset("account_exists change_email code confirm magic_link no_account reset verify_device".split())
NOBODY = "nobody@invalid"  # RFC 2606: no domain ends so
LAST = "account_deleted"  # of an email to who is gone nothing is kept

PURPOSES = {  # of the token in an email's link, by the email's name
    "confirm": TokenPurpose.CONFIRM,
    "reset": TokenPurpose.RESET,
    "first_password": TokenPurpose.RESET,
    "account_exists": TokenPurpose.RESET,
    "magic_link": TokenPurpose.MAGIC_LINK,
    "change_email": TokenPurpose.CHANGE_EMAIL,
}

queued = threading.Event()  # set when a transaction that queued an email is committed


def enqueue(
    name: str,
    user: User | None,
    to: str | None = None,
    claims: dict[str, Any] | None = None,
    event: AuditEvent | None = None,
    budget: Budget | None = None,
    **details: Any,
) -> OutboxEmail:
    """Queue the email `name` to `user`, or to the address `to`.

    Its template gets `details`, and where the present request comes from; its token says `claims`. `event` is what the
    email is about: its link "This wasn't me" takes the account back to before that.
    """
    purpose = TokenPurpose.SECURE_ACCOUNT if event else PURPOSES.get(name)
    if event:
        db.session.flush()
        recipient = recipient_hash(to or (user.email if user else ""))
        claims = (claims or {}) | {"event": event.id, "to": recipient}
    state = (user or User()).state(purpose or TokenPurpose.RESET)  # the same work for nobody
    email = OutboxEmail(
        name=name,
        recipient=ascii_email(to or (user.email if user else "")),
        user_id=user and user.id,
        details=audit.origin() | details,
        purpose=purpose,
        state=state if user and purpose else None,
        claims=claims or {},
        budget=budget or (Budget.ASKED if name in ASKED_FOR else None),
        message_id=message.new_message_id(urlsplit(current_app.config["PUBLIC_URL"]).hostname or ""),
    )
    db.session.add(email)
    db.session.info["queued"] = True
    return email


def recipient_hash(email: str) -> str:
    """Return what stands for an address in a link that is good only for whoever it was sent to."""
    return signing.fingerprint(email_key(email))


def warn(name: str, user: User | None) -> None:
    """Queue a notice to the owner of a confirmed account. For anybody else the same row is written, and never sent."""
    if user and user.confirmed:
        enqueue(name, user)
    else:
        enqueue(name, None, to=NOBODY).done(Status.OBSOLETE)


def notify(name: str, user: User, event: AuditEvent, **details: Any) -> None:
    """Queue a notice of what may happen again and again, unless three of its kind went within the hour."""
    hour = clock.now() - timedelta(hours=1)
    lately = select(func.count()).where(
        OutboxEmail.user_id == user.id, OutboxEmail.name == name, OutboxEmail.created_at > hour
    )
    if (db.session.scalar(lately) or 0) < NOTICES_AN_HOUR:
        enqueue(name, user, event=event, **details)


def drop(user: User, since: int = 0) -> None:
    """Drop the emails to `user` that wait with a link: what it was for is over.

    "This wasn't me" is not, if its event was before the audit event `since`.
    """
    earlier = and_(OutboxEmail.purpose == TokenPurpose.SECURE_ACCOUNT, OutboxEmail.claims["event"].as_integer() < since)
    with_link = and_(OutboxEmail.purpose.is_not(None), not_(earlier))
    waiting = update(OutboxEmail).where(OutboxEmail.user_id == user.id, OutboxEmail.status == Status.WAITING, with_link)
    db.session.execute(
        waiting.values(status=Status.OBSOLETE, done_at=clock.now()), execution_options={"synchronize_session": False}
    )


@event.listens_for(Session, "after_commit")
def _announce(session: Session) -> None:
    if session.info.pop("queued", False):
        queued.set()

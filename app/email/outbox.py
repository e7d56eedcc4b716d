"""Enqueue emails in the caller's transaction. app/email/delivery.py sends them after the commit."""

import logging
import threading
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from flask import current_app, has_request_context
from sqlalchemy import and_, event, func, not_, select, update
from sqlalchemy.orm import Session

from app import clock, languages
from app.email import message
from app.email.details import encoded
from app.email.templates import Email, EmailTemplate
from app.extensions import db, rows_changed
from app.models import AuditAction, AuditEvent, OutboxEmail, User
from app.models.logins import ascii_email, email_key
from app.models.outbox_email import Budget, Priority, Status
from app.security import audit, origin, signing
from app.security.token_purposes import TokenPurpose

UNSENT = [Status.WAITING, Status.FAILED]
NOBODY = "nobody@invalid"  # RFC 2606 reserves this top-level domain

log = logging.getLogger(__name__)
queued = threading.Event()  # set when a transaction that enqueued an email is committed


def enqueue(
    template: EmailTemplate,
    user: User | None,
    to: str | None = None,
    claims: dict[str, Any] | None = None,
    event: AuditEvent | None = None,
    budget: Budget | None = None,
    language: str | None = None,
    **details: Any,
) -> None:
    """Enqueue an email, unless the address has reached the template's hourly limit.

    Args:
        to: the recipient; the default is the address of `user`.
        claims: further claims of the token in the link.
        event: the security event that the link "This wasn't me" undoes.
        budget: the result of budgets.budget_for() for a template that anyone can request.
        language: that of the recipient, if it is known; the default is the language of `user`.
        details: values for the template. `reply_to` is the Reply-To header as well, and `unsubscribe` the URL of
            List-Unsubscribe (RFC 8058), which mail providers post to.

    Raises:
        TypeError: a value of `details` is neither of JSON nor a datetime with a time zone, a date or a Decimal.
    """
    recipient = to or (user.email if user else "")
    if template.hourly_limit is None or _sent_lately(template, recipient) < template.hourly_limit:
        language = language or (user.language if user else None)
        _add(template, user, to, claims, event, budget, details, language)
    else:
        log.warning("An email was left out, because its hourly limit is reached: %s", template)


def enqueue_decoy(template: EmailTemplate, to: str = NOBODY, budget: Budget | None = None) -> None:
    """Write the row of an email that is never sent, so that requests for unknown accounts take the same time."""
    _add(template, None, to, None, None, budget, {}, None).done(Status.OBSOLETE)


def drop(user: User, since: int = 0) -> None:
    """Drop the waiting emails to `user` whose links no longer work.

    Links "This wasn't me" about events before the audit event `since` still work, so their emails are kept.
    """
    earlier = and_(OutboxEmail.purpose == TokenPurpose.SECURE_ACCOUNT, OutboxEmail.claims["event"].as_integer() < since)
    with_link = and_(OutboxEmail.purpose.is_not(None), not_(earlier))
    waiting = update(OutboxEmail).where(OutboxEmail.user_id == user.id, OutboxEmail.status == Status.WAITING, with_link)
    db.session.execute(
        waiting.values(status=Status.OBSOLETE, done_at=clock.now()), execution_options={"synchronize_session": False}
    )


def retry(number: int | None = None) -> int:
    """Retry an email that waits or has failed, or all of these, now, and reset the attempts; return how many."""
    return _change_unsent(number, status=Status.WAITING, attempts=0, due_at=clock.now(), done_at=None)


def drop_one(number: int) -> bool:
    """Never send an email that waits or has failed; return whether there was one."""
    email = db.session.get(OutboxEmail, number)
    if not email or not _change_unsent(number, status=Status.OBSOLETE, done_at=clock.now()):
        return False
    audit.record(email.user, AuditAction.EMAIL_DROPPED, email=email.name)
    return True


def drop_all() -> int:
    """Never send the emails that wait or have failed, as after a restored backup; return how many."""
    return _change_unsent(None, status=Status.OBSOLETE, done_at=clock.now())


def recipient_hash(email: str) -> str:
    """Return the hash of an address that binds a link to the recipient of its email."""
    return signing.fingerprint(email_key(email))


def _sent_lately(template: EmailTemplate, recipient: str) -> int:
    within_an_hour = OutboxEmail.created_at > clock.now() - timedelta(hours=1)
    mine = (OutboxEmail.recipient_key == email_key(recipient), OutboxEmail.name == template, within_an_hour)
    return db.session.scalar(select(func.count()).where(*mine)) or 0


def _change_unsent(number: int | None, **changes: Any) -> int:
    unsent = update(OutboxEmail).where(OutboxEmail.status.in_(UNSENT), OutboxEmail.unclaimed()).values(changes)
    if number is not None:
        unsent = unsent.where(OutboxEmail.id == number)
    return rows_changed(unsent.execution_options(synchronize_session=False))


def _add(
    template: EmailTemplate,
    user: User | None,
    to: str | None,
    claims: dict[str, Any] | None,
    event: AuditEvent | None,
    budget: Budget | None,
    details: dict[str, Any],
    language: str | None,
) -> OutboxEmail:
    recipient = to or (user.email if user else "")
    purpose = TokenPurpose.SECURE_ACCOUNT if event else template.purpose
    if event:
        db.session.flush()
        claims = (claims or {}) | {"event": event.id, "to": recipient_hash(recipient)}
    state = (user or User()).state(purpose or TokenPurpose.RESET)  # the same work without an account
    email = OutboxEmail(
        name=template,
        recipient=ascii_email(recipient),
        user_id=user and user.id,
        language=_language(language),
        details=origin.of_request() | encoded(details),
        purpose=purpose,
        state=state if user and purpose else None,
        claims=claims or {},
        budget=budget or (Budget.ASKED if template.is_requestable else None),
        priority=_priority(template, event, details),
        message_id=message.new_message_id(urlsplit(current_app.config["PUBLIC_URL"]).hostname or ""),
    )
    db.session.add(email)
    db.session.info["queued"] = True
    return email


def _language(known: str | None) -> str:
    """Return the known language, or that of the request, or the first one if no request of a user caused the email."""
    is_asked = has_request_context() and not origin.acting.get()
    others = languages.current() if is_asked else languages.default()  # the same work for every address
    return languages.offered(known) or others


def _priority(template: EmailTemplate, event: AuditEvent | None, details: dict[str, Any]) -> Priority:
    if event or isinstance(template, Email):
        return Priority.ACCOUNT
    return Priority.BULK if "unsubscribe" in details else Priority.OWN


@event.listens_for(Session, "after_commit")
def _announce(session: Session) -> None:
    """Wake the worker. The release of a savepoint also triggers this event, and must not wake it too early."""
    if not session.in_nested_transaction() and session.info.pop("queued", False):
        queued.set()

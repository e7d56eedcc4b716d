"""Cleanup jobs: each deletes one kind of expired data once a day, in small batches, beside email delivery.

A job is a generator that handles a batch of rows and yields their number. The runner (jobs.py) commits at each yield,
and may stop the job there: a batch must take well under a second, and a job that starts again must find what is left.
To add one, here or in an application of your own:

    @cleanup.register
    def old_carts():
        return cleanup.delete_older(Cart.touched_at, timedelta(days=30))

The column needs an index. A failed job is retried after ten minutes, and `flask doctor` reports it.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from flask import current_app
from sqlalchemy import ColumnElement, delete, inspect, literal, select, tuple_, update
from sqlalchemy.orm import InstrumentedAttribute

from app import clock
from app.accounts import account_deletion, credentials
from app.accounts.jobs import Batches, Incomplete, in_words, log, register, registered, run, run_due, run_now
from app.email.templates import Email
from app.extensions import db, rows_changed
from app.models import (
    AuditEvent,
    Authenticator,
    Device,
    EmailChallenge,
    EmailChange,
    OAuthState,
    OutboxEmail,
    PasskeyChallenge,
    RemovedCredential,
    User,
    UserSession,
)
from app.models.outbox_email import Status
from app.security import signing

__all__ = ["delete_older", "register", "registered", "run", "run_due", "run_now"]

DAY, WEEK, MONTH, YEAR = (timedelta(days=days) for days in (1, 7, 30, 365))
BATCH = 500  # rows in one transaction
NOTICES_AT_ONCE = 10  # accounts to delete before the job waits for their emails
MAX_WAITS = 20  # of half a second each: perhaps no process delivers emails
MAX_NAMED = 10  # accounts in an error message

Moment = InstrumentedAttribute[datetime] | InstrumentedAttribute[datetime | None]


@register
def expired_sessions() -> Batches:
    return delete_older(UserSession.expires_at, WEEK)


@register
def revoked_sessions() -> Batches:
    return delete_older(UserSession.revoked_at, WEEK)


@register
def email_challenges() -> Batches:
    return delete_older(EmailChallenge.asked_at, WEEK)


@register
def oauth_states() -> Batches:
    return delete_older(OAuthState.started_at, WEEK)


@register
def passkey_challenges() -> Batches:
    return delete_older(PasskeyChallenge.asked_at, DAY)


@register
def email_changes() -> Batches:
    return delete_older(EmailChange.changed_at, MONTH)


@register
def sent_emails() -> Batches:
    return delete_older(OutboxEmail.done_at, MONTH, OutboxEmail.status != Status.WAITING)


@register
def audit_events() -> Batches:
    return delete_older(AuditEvent.at, YEAR)


@register
def audit_events_without_user() -> Batches:
    """Delete events about email addresses without an account and about deleted accounts."""
    return delete_older(AuditEvent.at, WEEK, AuditEvent.user_id.is_(None))


@register
def audit_events_by_strangers() -> Batches:
    """Delete events that strangers may have caused, such as failed logins."""
    return delete_older(AuditEvent.at, MONTH, AuditEvent.key.is_not(None))


@register
def removed_credentials() -> Batches:
    return delete_older(RemovedCredential.removed_at, credentials.RESTORE_WINDOW)


@register
def devices() -> Batches:
    return delete_older(Device.last_seen_at, YEAR)


@register
def secrets_on_old_keys() -> Batches:
    """Encrypt the secrets of authenticator apps with the current key, before the old keys are removed."""
    last = 0
    rows = select(Authenticator.id, Authenticator.secret).order_by(Authenticator.id).limit(BATCH)
    has_older_keys = bool(current_app.config["SECRET_KEY_FALLBACKS"])
    while has_older_keys and (found := db.session.execute(rows.where(Authenticator.id > last)).all()):
        count = 0
        for last, secret in found:
            if renewed := signing.reencrypt("authenticator", secret):
                same = update(Authenticator).where(Authenticator.id == last, Authenticator.secret == secret)
                count += rows_changed(same.values(secret=renewed))
        yield count


@register
def removed_secrets_on_old_keys() -> Batches:
    """Do the same for authenticator apps that can still be restored."""
    last = 0
    rows = select(RemovedCredential).order_by(RemovedCredential.id).limit(BATCH)
    while current_app.config["SECRET_KEY_FALLBACKS"]:
        if not (found := db.session.scalars(rows.where(RemovedCredential.id > last)).all()):
            break
        last, count = found[-1].id, 0
        for removed in found:
            if removed.table == "authenticators" and (
                secret := signing.reencrypt("authenticator", removed.row["secret"])
            ):
                removed.row, count = removed.row | {"secret": secret}, count + 1
        yield count


@register
def deleted_accounts() -> Batches:
    """Delete the accounts whose grace period is over."""
    return _purge(User.deletion_due_at, clock.now(), *account_deletion.is_due())


@register
def unconfirmed_accounts() -> Batches:
    """Delete unconfirmed accounts after a week, without an email."""
    never = (User.confirmed.is_(False), User.is_admin.is_(False), User.deactivated_at.is_(None))
    return _purge(User.created_at, clock.now() - WEEK, *never, send_notice=False)


def delete_older(moment: Moment, age: timedelta, *conditions: ColumnElement[bool]) -> Batches:
    """Delete the rows whose `moment` is at least `age` ago and that meet `conditions`, in the order of its index.

    Each batch starts where the previous one ended: PostgreSQL keeps deleted rows in the index until a vacuum.
    """
    model, [key] = moment.class_, inspect(moment.class_).primary_key
    due = select(key, moment).where(moment <= clock.now() - age, *conditions).order_by(moment).limit(BATCH)
    due = due.with_for_update(skip_locked=True)  # a locked row waits until the next day
    gone = delete(model).execution_options(synchronize_session=False)
    rows = db.session.execute(due).all()
    while rows and (count := rows_changed(gone.where(key.in_([row[0] for row in rows])))):
        yield count
        rows = db.session.execute(due.where(moment >= rows[-1][1])).all()


def _purge(moment: Moment, until: datetime, *conditions: ColumnElement[bool], send_notice: bool = True) -> Batches:
    """Delete accounts, each in its own transaction, so that one that can't be deleted does not block the others."""
    failed = []
    for number, user_id in enumerate(_accounts(moment, until, *conditions), 1):
        try:
            user = db.session.get(User, user_id)
            yield int(
                bool(user and account_deletion.purge(user, moment <= until, *conditions, send_notice=send_notice))
            )
        except Exception as error:
            log.exception("Account %s can't be deleted", user_id)
            db.session.rollback()
            failed.append(f"Account {user_id} can't be deleted: {in_words(error)}")
            yield 0  # raises an error here if the database can't be reached
        if send_notice and number % NOTICES_AT_ONCE == 0:
            yield from _wait_for_notices()
    if failed:
        more = [f"and {len(failed) - MAX_NAMED} more"] if len(failed) > MAX_NAMED else []
        raise Incomplete("; ".join(failed[:MAX_NAMED] + more))


def _accounts(moment: Moment, until: datetime, *conditions: ColumnElement[bool]) -> Iterator[int]:
    """Yield the ids of the accounts that are due, the longest overdue first."""
    due = select(moment, User.id).where(moment <= until, *conditions).order_by(moment, User.id).limit(BATCH)
    rows = db.session.execute(due).all()
    while rows:
        yield from (user_id for _, user_id in rows)
        last = tuple_(literal(rows[-1][0], moment.type), rows[-1][1])
        rows = db.session.execute(due.where(tuple_(moment, User.id) > last)).all()


def _wait_for_notices() -> Iterator[None]:
    """Wait until the deletion emails are sent, so that no other email queues behind many of them."""
    waiting = select(OutboxEmail.id).where(OutboxEmail.status == Status.WAITING, OutboxEmail.due_at <= clock.now())
    for _ in range(MAX_WAITS if current_app.config["MAIL_DELIVERY"] != "off" else 0):
        if db.session.scalar(waiting.where(OutboxEmail.name == Email.ACCOUNT_DELETED).limit(1)) is None:
            return
        yield None

"""Cleanup jobs: each deletes one kind of expired data once a day, in small batches.

A job is a generator that yields the number of rows of each batch. The runner (jobs.py) commits after each batch and may
stop the job there, so a batch must take well under a second, and a restarted job must continue with the remaining rows.
To add a job, here or in your own application:

    @cleanup.register
    def old_carts():
        return cleanup.delete_older(Cart.touched_at, timedelta(days=30))

The column needs an index. A failed job is retried after ten minutes, and `flask doctor` reports it.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial

from flask import current_app
from sqlalchemy import ColumnElement, delete, exists, inspect, literal, select, tuple_, update
from sqlalchemy.orm import InstrumentedAttribute

from app import clock, switches
from app.accounts import account_deletion, credentials
from app.accounts.jobs import Batches, Incomplete, in_words, log, register, registered, run, run_due, run_now
from app.email.templates import Email
from app.extensions import db, rows_changed
from app.models import (
    AuditEvent,
    Authenticator,
    Block,
    Device,
    EmailChallenge,
    EmailChange,
    Invitation,
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
NOTICES_AT_ONCE = 10  # accounts that are deleted before the job waits for their emails to be sent
MAX_WAITS = 20  # of half a second each, in case no process delivers emails
MAX_NAMED = 10  # accounts in an error message
UNREADABLE = "Secrets of authenticator apps that no key decrypts: {}."

Moment = InstrumentedAttribute[datetime] | InstrumentedAttribute[datetime | None]


# How long rows are kept: the column, the time since then, and further conditions.
RETENTION: dict[str, tuple[Moment, timedelta, *tuple[ColumnElement[bool], ...]]] = {
    "expired_sessions": (UserSession.expires_at, WEEK),
    "revoked_sessions": (UserSession.revoked_at, WEEK),
    "email_challenges": (EmailChallenge.asked_at, WEEK),
    "oauth_states": (OAuthState.started_at, WEEK),
    "passkey_challenges": (PasskeyChallenge.asked_at, DAY),
    "email_changes": (EmailChange.changed_at, MONTH),
    "sent_emails": (OutboxEmail.done_at, MONTH, OutboxEmail.status != Status.WAITING),
    "audit_events": (AuditEvent.at, YEAR),
    "audit_events_without_user": (AuditEvent.at, WEEK, AuditEvent.user_id.is_(None), ~AuditEvent.by_administrator),
    "audit_events_by_strangers": (AuditEvent.at, MONTH, AuditEvent.key.is_not(None)),
    "removed_credentials": (RemovedCredential.removed_at, credentials.RESTORE_WINDOW),
    "devices": (Device.last_seen_at, YEAR),
    "invitations": (Invitation.expires_at, MONTH),
    "ended_blocks": (Block.ends_at, MONTH),
}


@register
def secrets_on_old_keys() -> Batches:
    """Encrypt the secrets of authenticator apps with the current key, so that the old keys can be removed.

    Raises:
        Incomplete: no key decrypts some of them.
    """
    last = unreadable = 0
    rows = select(Authenticator.id, Authenticator.secret).order_by(Authenticator.id).limit(BATCH)
    while found := db.session.execute(rows.where(Authenticator.id > last)).all():
        count = 0
        for last, secret in found:
            if renewed := signing.reencrypt("authenticator", secret):
                same = update(Authenticator).where(Authenticator.id == last, Authenticator.secret == secret)
                count += rows_changed(same.values(secret=renewed))
            elif signing.decrypt("authenticator", secret) is None:
                unreadable += 1
        yield count
    if unreadable and switches.is_on("two_factor"):
        raise Incomplete(UNREADABLE.format(unreadable))


@register
def removed_secrets_on_old_keys() -> Batches:
    """Do the same for removed authenticator apps, which can be restored."""
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
    return _purge(User.deletion_due_at, clock.now(), *account_deletion.is_due())


@register
def unconfirmed_accounts() -> Batches:
    """If CONFIRMATION is required, delete accounts that nobody confirmed or used for a week, without a notice.

    Accounts in use are kept, because CONFIRMATION may have been `later` or `off` until yesterday.
    """
    week_ago = clock.now() - WEEK
    is_used = exists().where(UserSession.user_id == User.id, UserSession.last_seen_at > week_ago)
    unconfirmed = (User.confirmed.is_(False), ~User.is_admin, User.deactivated_at.is_(None), ~is_used)
    if current_app.config["CONFIRMATION"] == "required":
        yield from _purge(User.created_at, week_ago, *unconfirmed, send_notice=False)


def delete_older(moment: Moment, age: timedelta, *conditions: ColumnElement[bool]) -> Batches:
    """Delete the rows whose `moment` is at least `age` ago and that meet `conditions`.

    Each batch starts where the previous one ended, since PostgreSQL keeps deleted rows in the index until a vacuum.
    """
    model, [key] = moment.class_, inspect(moment.class_).primary_key
    due = select(key, moment).where(moment <= clock.now() - age, *conditions).order_by(moment).limit(BATCH)
    due = due.with_for_update(skip_locked=True)  # a locked row waits until the next day
    old = delete(model).execution_options(synchronize_session=False)
    rows = db.session.execute(due).all()
    while rows and (count := rows_changed(old.where(key.in_([row[0] for row in rows])))):
        yield count
        rows = db.session.execute(due.where(moment >= rows[-1][1])).all()


def _purge(moment: Moment, until: datetime, *conditions: ColumnElement[bool], send_notice: bool = True) -> Batches:
    """Delete accounts, each in its own transaction, so that a failure does not affect the others."""
    failed = []
    for number, user_id in enumerate(_accounts(moment, until, *conditions), 1):
        try:
            user = db.session.get(User, user_id)
            is_due = (moment <= until, *conditions)
            yield int(user is not None and account_deletion.purge(user, *is_due, send_notice=send_notice))
        except Exception as error:
            log.exception("Account %s can't be deleted", user_id)
            db.session.rollback()
            failed.append(f"Account {user_id} can't be deleted: {in_words(error)}")
            yield 0  # the runner raises here if the database can't be reached
        if send_notice and number % NOTICES_AT_ONCE == 0:
            yield from _wait_for_notices()
    if failed:
        more = [f"and {len(failed) - MAX_NAMED} more"] if len(failed) > MAX_NAMED else []
        raise Incomplete("; ".join(failed[:MAX_NAMED] + more))


def _accounts(moment: Moment, until: datetime, *conditions: ColumnElement[bool]) -> Iterator[int]:
    due = select(moment, User.id).where(moment <= until, *conditions).order_by(moment, User.id).limit(BATCH)
    rows = db.session.execute(due).all()
    while rows:
        yield from (user_id for _, user_id in rows)
        last = tuple_(literal(rows[-1][0], moment.type), rows[-1][1])
        rows = db.session.execute(due.where(tuple_(moment, User.id) > last)).all()


def _wait_for_notices() -> Iterator[None]:
    """Wait until the notices are sent, so that other emails don't queue behind many of them."""
    waiting = select(OutboxEmail.id).where(OutboxEmail.status == Status.WAITING, OutboxEmail.due_at <= clock.now())
    for _ in range(MAX_WAITS if current_app.config["MAIL_DELIVERY"] != "off" else 0):
        if db.session.scalar(waiting.where(OutboxEmail.name == Email.ACCOUNT_DELETED).limit(1)) is None:
            return
        yield None


registered.update({name: partial(delete_older, *rule) for name, rule in RETENTION.items()})

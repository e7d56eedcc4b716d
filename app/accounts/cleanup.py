"""Cleanup: delete what is out of date. Each job below runs once a day, in small batches, beside email delivery.

A job is a function that handles a batch of rows in the current transaction, yields how many that were, and goes on from
there. The runner (jobs.py) commits at each yield, and may stop the job there: a batch takes well under a second, and a
job that starts again finds what is left. To add one, here or in an application of your own:

    @cleanup.register
    def old_carts():
        return cleanup.delete_older(Cart.touched_at, timedelta(days=30))

The column needs an index. A job that fails is tried again after ten minutes, and `flask doctor` names it.
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
NOTICES_AT_ONCE = 10  # accounts that are deleted before their deletion emails go first
PATIENCE = 20  # half seconds that these may take: nobody may be delivering
NAMED = 10  # accounts in an error

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
def audit_events_of_nobody() -> Batches:
    """Delete what concerned no account, or one that is deleted."""
    return delete_older(AuditEvent.at, WEEK, AuditEvent.user_id.is_(None))


@register
def audit_events_of_strangers() -> Batches:
    """Delete what strangers may have caused: wrong passwords, emails that were asked for."""
    return delete_older(AuditEvent.at, MONTH, AuditEvent.key.is_not(None))


@register
def removed_credentials() -> Batches:
    return delete_older(RemovedCredential.removed_at, credentials.RESTORE_WINDOW)


@register
def devices() -> Batches:
    return delete_older(Device.last_seen_at, YEAR)


@register
def secrets_on_old_keys() -> Batches:
    """Encrypt the secrets of authenticator apps with the newest key: the others may be removed soon."""
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
    """Do the same for the apps that were removed within the last seven days."""
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
    """Delete the accounts whose 14 days are over."""
    return _purge(User.deletion_due_at, clock.now(), *account_deletion.is_due())


@register
def unconfirmed_accounts() -> Batches:
    """Delete the accounts that were never confirmed, without an email."""
    never = (User.confirmed.is_(False), User.is_admin.is_(False), User.deactivated_at.is_(None))
    return _purge(User.created_at, clock.now() - WEEK, *never, send_notice=False)


def delete_older(moment: Moment, age: timedelta, *conditions: ColumnElement[bool]) -> Batches:
    """Delete the rows whose `moment` is `age` ago, in the order of its index.

    The next batch starts where the last one ended: PostgreSQL would look at all that is deleted again and again.
    """
    model, [key] = moment.class_, inspect(moment.class_).primary_key
    due = select(key, moment).where(moment <= clock.now() - age, *conditions).order_by(moment).limit(BATCH)
    due = due.with_for_update(skip_locked=True)  # a row that is in use can wait until the next day
    gone = delete(model).execution_options(synchronize_session=False)
    rows = db.session.execute(due).all()
    while rows and (count := rows_changed(gone.where(key.in_([row[0] for row in rows])))):
        yield count
        rows = db.session.execute(due.where(moment >= rows[-1][1])).all()


def _purge(moment: Moment, until: datetime, *conditions: ColumnElement[bool], send_notice: bool = True) -> Batches:
    """Delete accounts, each in its own transaction. One that can't be deleted holds up no other."""
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
            yield 0  # raises an error here if the database is away
        if send_notice and number % NOTICES_AT_ONCE == 0:
            yield from _notices_first()
    if failed:
        more = [f"and {len(failed) - NAMED} more"] if len(failed) > NAMED else []
        raise Incomplete("; ".join(failed[:NAMED] + more))


def _accounts(moment: Moment, until: datetime, *conditions: ColumnElement[bool]) -> Iterator[int]:
    """Yield the ids of the accounts that are due, the oldest first."""
    due = select(moment, User.id).where(moment <= until, *conditions).order_by(moment, User.id).limit(BATCH)
    rows = db.session.execute(due).all()
    while rows:
        yield from (user_id for _, user_id in rows)
        last = tuple_(literal(rows[-1][0], moment.type), rows[-1][1])
        rows = db.session.execute(due.where(tuple_(moment, User.id) > last)).all()


def _notices_first() -> Iterator[None]:
    """Wait until the deletion emails are sent, so that no email that a user waits for queues behind many of them."""
    waiting = select(OutboxEmail.id).where(OutboxEmail.status == Status.WAITING, OutboxEmail.due_at <= clock.now())
    for _ in range(PATIENCE if current_app.config["MAIL_DELIVERY"] != "off" else 0):
        if db.session.scalar(waiting.where(OutboxEmail.name == Email.ACCOUNT_DELETED).limit(1)) is None:
            return
        yield None

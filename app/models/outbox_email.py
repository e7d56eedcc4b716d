"""The outbox: one row per email, with its template and values. Tokens and codes are never stored."""

from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from typing import Any, Optional

from sqlalchemy import JSON, ColumnElement, ForeignKey, Index, String, Text, or_, select, text, update
from sqlalchemy.orm import Mapped, mapped_column, relationship, validates

from app import clock
from app.database import WideId
from app.extensions import Model, db, rows_changed
from app.models.logins import email_key
from app.models.user import User
from app.security.token_purposes import TokenPurpose

# Then another worker takes the email, since this one has probably died. It is longer than the four responses that
# sending takes (delivery.TIMEOUT); after opening a connection, which can take longer, the lease is renewed.
LEASE = timedelta(seconds=60)
# The delay after the first attempt, the second, ...
RETRY_DELAYS = [timedelta(minutes=minutes) for minutes in (0.5, 2, 10, 60, 4 * 60, 12 * 60, 24 * 60)]


HAS_ENDED = text("done_at IS NOT NULL")
CRASHED = "Every attempt crashed its worker, or found a row that cannot be read."


class Status(StrEnum):
    WAITING = "waiting"
    SENT = "sent"
    OBSOLETE = "obsolete"  # the account has changed, so the link would not work
    FAILED = "failed"
    BOUNCED = "bounced"  # it was sent and came back
    COMPLAINED = "complained"  # it was sent, and the recipient reported it as spam
    STOPPED = "stopped"  # it was not sent, because an earlier one bounced or was reported (app/email/bounces.py)


class Budget(StrEnum):
    """The budget that a requested email counts against; see app/email/budgets.py."""

    ASKED = "asked"
    RESET = "reset"  # counts as ASKED
    LAST = "last"  # the last email of the day: a reset whose link is valid for a day
    OWNER = "owner"  # a reset beyond the limit of the mailbox, for accounts only
    DEVICE = "device"  # requested on a recognised device after the other budgets were used up


class Priority(IntEnum):
    """The order of delivery: a newsletter to everybody delays neither receipts nor anything about an account."""

    ACCOUNT = 0  # this application's emails, and those about a security event
    OWN = 1  # other emails of an application built on this one
    BULK = 2  # its emails that a recipient can unsubscribe from


class OutboxEmail(Model):
    __tablename__ = "outbox"
    __table_args__ = (
        Index(None, "status", "priority", "due_at"),
        Index(None, "recipient_key", "created_at"),
        Index(None, "done_at", "status", postgresql_where=HAS_ENDED, sqlite_where=HAS_ENDED),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(WideId, primary_key=True)
    name: Mapped[str] = mapped_column(String(64))  # an EmailTemplate
    recipient: Mapped[str] = mapped_column(String(254))
    recipient_key: Mapped[str] = mapped_column(String(254), default="", server_default="")
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    language: Mapped[str | None] = mapped_column(String(16))  # of the email; None: the default
    details: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)  # values for the template
    purpose: Mapped[str | None] = mapped_column(String(32))  # the TokenPurpose of the link
    state: Mapped[str | None] = mapped_column(String(22))  # User.state() when the email was enqueued
    claims: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict, server_default="{}")  # more, for the token
    budget: Mapped[str | None] = mapped_column(String(16))  # None: no visitor requested it
    priority: Mapped[int] = mapped_column(default=Priority.ACCOUNT, server_default="0")
    message_id: Mapped[str] = mapped_column(String(254))
    status: Mapped[str] = mapped_column(String(16), default=Status.WAITING)
    attempts: Mapped[int] = mapped_column(default=0)
    error: Mapped[str] = mapped_column(Text, default="")  # the last response of the mail server
    created_at: Mapped[datetime] = mapped_column(default=lambda: clock.now())
    due_at: Mapped[datetime] = mapped_column(default=lambda: clock.now())  # the time of the next attempt
    claimed_until: Mapped[datetime | None]
    done_at: Mapped[datetime | None]

    user: Mapped[User | None] = relationship()

    # A worker that has lost its lease to another one can't record an outcome.
    __mapper_args__ = {"version_id_col": attempts, "version_id_generator": False}

    @validates("recipient")
    def _derive_recipient_key(self, _: str, recipient: str) -> str:
        self.recipient_key = email_key(recipient)
        return recipient

    @classmethod
    def unclaimed(cls) -> ColumnElement[bool]:
        return or_(cls.claimed_until.is_(None), cls.claimed_until <= clock.now())

    @classmethod
    def claim(cls) -> Optional["OutboxEmail"]:
        """Lease the email that has been due the longest, of those with the first priority, and commit."""
        waiting = (cls.status == Status.WAITING, cls.due_at <= clock.now(), cls.unclaimed())
        oldest = select(cls.id, cls.attempts).where(*waiting).order_by(cls.priority, cls.due_at, cls.id).limit(1)
        while found := db.session.execute(oldest.with_for_update(skip_locked=True)).one_or_none():
            email_id, attempts = found
            is_exhausted = attempts > len(RETRY_DELAYS)
            claimed = {"claimed_until": clock.now() + LEASE, "attempts": cls.attempts + 1}
            failed = {"status": Status.FAILED, "error": CRASHED, "done_at": clock.now(), "claimed_until": None}
            change = update(cls).where(cls.id == email_id, *waiting)
            mine = rows_changed(change.values(failed if is_exhausted else claimed))
            db.session.commit()
            if mine and not is_exhausted:
                return db.session.get(cls, email_id, populate_existing=True)
        db.session.rollback()
        return None

    def renew(self) -> bool:
        """Renew the lease and commit; return False if another worker has it, or the email was dropped or deleted."""
        number, names = self.id, ("id", "status", "attempts", "claimed_until")
        mine = update(OutboxEmail).filter_by(**{name: getattr(self, name) for name in names})
        if not rows_changed(mine.values(claimed_until=clock.now() + LEASE)):
            return False
        db.session.commit()
        return db.session.get(OutboxEmail, number, populate_existing=True) is not None

    @property
    def is_obsolete(self) -> bool:
        """Whether the columns that the link depends on have changed since the email was enqueued."""
        return bool(self.purpose and self.user and self.user.state(TokenPurpose(self.purpose)) != self.state)

    def done(self, status: Status, error: str = "") -> None:
        self.status, self.error, self.done_at, self.claimed_until = status, error, clock.now(), None

    def retry_later(self, error: str) -> None:
        """Schedule the next attempt, or give up after the last one."""
        if self.attempts > len(RETRY_DELAYS):
            self.done(Status.FAILED, error)
        else:
            self.due_at, self.error, self.claimed_until = clock.now() + RETRY_DELAYS[self.attempts - 1], error, None

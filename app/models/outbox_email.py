"""Emails on their way: what each is about and how far it has come, never its text, whose links are secret."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Optional

from sqlalchemy import JSON, ColumnElement, ForeignKey, Index, String, Text, or_, select, text, update
from sqlalchemy.orm import Mapped, mapped_column, relationship, validates

from app import clock
from app.database import WideId
from app.extensions import Model, db, rows_changed
from app.models.logins import email_key
from app.models.user import User
from app.security.token_purposes import TokenPurpose

LEASE = timedelta(seconds=60)  # a worker that dies gives its emails back after this
WAITS = [timedelta(minutes=m) for m in (0.5, 2, 10, 60, 4 * 60, 12 * 60, 24 * 60)]  # after the 1st try, the 2nd, ...


class Status(StrEnum):
    WAITING = "waiting"
    SENT = "sent"
    OBSOLETE = "obsolete"  # what it speaks of changed before it could go
    FAILED = "failed"


class Budget(StrEnum):
    """What an email that anybody can ask for is counted with, for its address; see mail.budget_for()."""

    ASKED = "asked"
    RESET = "reset"  # the same, and it resets the password
    LAST = "last"  # a reset, and the day's last: its link works for a day
    OWNER = "owner"  # a reset, for an account alone: other addresses of its mailbox had too many
    DEVICE = "device"  # asked for from a recognised device when those were used up


class OutboxEmail(Model):
    __tablename__ = "outbox"
    __table_args__ = (
        Index(None, "status", "due_at"),
        Index(None, "recipient_key", "created_at"),
        Index(None, "done_at", postgresql_where=text("done_at IS NOT NULL"), sqlite_where=text("done_at IS NOT NULL")),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(WideId, primary_key=True)
    name: Mapped[str] = mapped_column(String(64))  # of its template
    recipient: Mapped[str] = mapped_column(String(254))
    recipient_key: Mapped[str] = mapped_column(String(254), default="", server_default="")
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    details: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)  # what its template says
    purpose: Mapped[str | None] = mapped_column(String(32))  # of the token in its link
    state: Mapped[str | None] = mapped_column(String(22))  # what that token is bound to, as it was when queued
    claims: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict, server_default="{}")  # what that token says
    budget: Mapped[str | None] = mapped_column(String(16))  # None: nobody asked for it
    message_id: Mapped[str] = mapped_column(String(254))
    status: Mapped[str] = mapped_column(String(16), default=Status.WAITING)
    attempts: Mapped[int] = mapped_column(default=0)
    error: Mapped[str] = mapped_column(Text, default="")  # what the mail server said last
    created_at: Mapped[datetime] = mapped_column(default=lambda: clock.now())
    due_at: Mapped[datetime] = mapped_column(default=lambda: clock.now())  # not to be tried before
    claimed_until: Mapped[datetime | None]
    done_at: Mapped[datetime | None]

    user: Mapped[User | None] = relationship()

    # Who held an email for longer than the lease, while another took it, can't say any more how it ended.
    __mapper_args__ = {"version_id_col": attempts, "version_id_generator": False}

    @validates("recipient")
    def _derive_recipient_key(self, _: str, recipient: str) -> str:
        self.recipient_key = email_key(recipient)
        return recipient

    @classmethod
    def unclaimed(cls) -> ColumnElement[bool]:
        """Return the condition that no worker has the email in hand."""
        return or_(cls.claimed_until.is_(None), cls.claimed_until <= clock.now())

    @classmethod
    def claim(cls) -> Optional["OutboxEmail"]:
        """Take the email that has waited longest, for LEASE: no one else gets it meanwhile."""
        waiting = (cls.status == Status.WAITING, cls.due_at <= clock.now(), cls.unclaimed())
        oldest = select(cls.id, cls.attempts).where(*waiting).order_by(cls.due_at, cls.id).limit(1)
        while found := db.session.execute(oldest.with_for_update(skip_locked=True)).one_or_none():
            email_id, attempts = found
            is_hopeless = attempts > len(WAITS)
            change = (
                cls._given_up() if is_hopeless else {"claimed_until": clock.now() + LEASE, "attempts": cls.attempts + 1}
            )
            mine = rows_changed(update(cls).where(cls.id == email_id, *waiting).values(change))
            db.session.commit()
            if mine and not is_hopeless:
                return db.session.get(cls, email_id, populate_existing=True)
        db.session.rollback()
        return None

    @staticmethod
    def _given_up() -> dict[str, Any]:
        """The last try never ended: each worker that had the email in hand stopped over it."""
        error = "Each try stopped its worker, or found a row that can't be read."
        return {"status": Status.FAILED, "error": error, "done_at": clock.now(), "claimed_until": None}

    @property
    def is_obsolete(self) -> bool:
        """Say whether the account has moved on since the email was queued: its link would change what it must not."""
        return bool(self.purpose and self.user and self.user.state(TokenPurpose(self.purpose)) != self.state)

    def done(self, status: Status, error: str = "") -> None:
        self.status, self.error, self.done_at, self.claimed_until = status, error, clock.now(), None

    def retry_later(self, error: str) -> None:
        """Wait for the next try, longer each time; give up after a day and a half."""
        if self.attempts > len(WAITS):
            return self.done(Status.FAILED, error)
        self.due_at, self.error, self.claimed_until = clock.now() + WAITS[self.attempts - 1], error, None
        return None

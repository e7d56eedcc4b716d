"""What the tables say, what arrived, and whether the two agree: every account has its message, and none is stuck."""

from collections import Counter
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import func, select, text, update

from app.extensions import db
from app.models import AuditEvent, OutboxEmail, User
from app.models.outbox_email import LEASE
from support.waiting import until


class Row(NamedTuple):
    recipient: str
    message_id: str
    status: str
    claimed_until: datetime | None


def wrong(accounts, rows, arrived, kills=0):
    """Say what is wrong, a line each: `kills` emails may have arrived a second time.

    `accounts` are addresses, `rows` the outbox, `arrived` what the mail server took.
    """
    queued, taken = Counter(row.recipient for row in rows), Counter(message.recipient for message in arrived)
    known = {row.recipient: row.message_id for row in rows}
    found = [f"{email} has {queued[email]} emails queued" for email in accounts if queued[email] != 1]
    found += [f"{email} has an email queued and no account" for email in queued.keys() - set(accounts)]
    found += [f"{row.recipient}'s email is stuck: {row}" for row in rows if row.status != "sent" or row.claimed_until]
    found += [f"{email} got no email" for email in accounts if not taken[email]]
    found += [f"{email} got an email and has no account" for email in taken.keys() - set(accounts)]
    others = [message.recipient for message in arrived if message.message_id != known.get(message.recipient)]
    found += [f"{email} got an email with another Message-ID" for email in others]
    again = taken.total() - len(taken)
    return found + ([f"{again} emails came again after {kills} kills"] if again > kills else [])


class Ledger:
    """The tables, read afresh each time, in the test's own app context."""

    def accounts(self):
        return self._read(select(User.email)).scalars().all()

    def rows(self):
        columns = select(OutboxEmail.recipient, OutboxEmail.message_id, OutboxEmail.status, OutboxEmail.claimed_until)
        return [Row(*row) for row in self._read(columns)]

    def wrong(self, sink, kills=0):
        return wrong(self.accounts(), self.rows(), sink.received, kills)

    def settled(self, sink):
        """Wait until no email waits, here or at the mail server."""
        until(lambda: all(row.status != "waiting" for row in self.rows()) and not sink.in_hand, f"{self.rows()}")

    def in_hand(self):
        """The emails that somebody has claimed, none for longer than the lease."""
        claimed = [row for row in self.rows() if row.status == "waiting" and row.claimed_until]
        assert all(row.claimed_until <= datetime.now(UTC) + LEASE for row in claimed)
        return claimed

    def a_minute_later(self):
        """Let the lease of the dead run out. The tests do not wait for it: they put its end back by as long."""
        db.session.execute(
            update(OutboxEmail)
            .where(OutboxEmail.claimed_until.is_not(None))
            .values(claimed_until=datetime.now(UTC) - LEASE)
        )
        db.session.commit()

    def the_dead_are_gone(self):
        """Wait until PostgreSQL has noticed that those who were killed will not speak again."""
        if db.engine.name == "postgresql":
            others = text(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )
            until(lambda: self._read(others).scalar() == 0, "PostgreSQL to hang up on the dead")

    def count(self, model, *conditions):
        return self._read(select(func.count()).select_from(model).where(*conditions)).scalar()

    def times(self, action):
        """How often something happened: what strangers cause is a line for many."""
        return self._read(select(func.sum(AuditEvent.count)).where(AuditEvent.action == action)).scalar()

    def _read(self, statement):
        db.session.rollback()
        return db.session.execute(statement)

"""The present numbers of accounts and of waiting emails.

PostgreSQL counts rows by reading them or an index of them, so it counts no more than 10,000 exactly.
"""

from typing import Any, NamedTuple

from sqlalchemy import func, select, text

from app.extensions import db
from app.models import OutboxEmail, User
from app.models.outbox_email import Status
from app.models.user_groups import GROUPS

MANY = 10_000  # rows
COUNTED = ["unconfirmed", "two_factor", "deactivated", "to_be_deleted"]
ESTIMATES = text("SELECT relname, reltuples FROM pg_class WHERE relname = ANY(:names) AND pg_table_is_visible(oid)")


class Total(NamedTuple):
    """A number of rows: exactly so many, about so many (≈), or at least so many (≥)."""

    number: int
    sign: str = ""


def at_present() -> dict[str, Total]:
    """Return the number of accounts, of those in groups of app.models.user_groups, and of emails that wait."""
    rows: dict[str, Any] = {"accounts": select(User.id)}
    rows |= {name: select(User.id).where(text(GROUPS[name])).order_by(User.id) for name in COUNTED}  # by its index
    rows["waiting"] = select(OutboxEmail.id).where(OutboxEmail.status == Status.WAITING)
    limit = None if db.engine.dialect.name == "sqlite" else MANY
    counts = {name: select(func.count()).select_from(found.limit(limit).subquery()) for name, found in rows.items()}
    found = db.session.execute(select(*(count.scalar_subquery().label(name) for name, count in counts.items())))
    numbers = found.one()._mapping
    estimates = _estimates() if limit in numbers.values() else {}
    return {name: estimates.get(name, Total(MANY, "≥")) if n == limit else Total(n) for name, n in numbers.items()}


def _estimates() -> dict[str, Total]:
    """Return the numbers of accounts in the table and in the indexes of groups at the latest VACUUM or ANALYZE."""
    names = {"users": "accounts"} | {f"ix_users_{name}": name for name in COUNTED}
    found = db.session.execute(ESTIMATES, {"names": list(names)})
    return {names[name]: Total(int(round(number, -3)), "≈") for name, number in found if number > MANY}

"""Credentials of every kind: removed so that they can be restored for seven days, and cleared at a first proof."""

from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, UniqueConstraint, delete, exists, insert, select

from app.extensions import db, rows_changed
from app.models import AuditEvent, Credential, RemovedCredential, User

RESTORABLE = timedelta(days=7)


def kinds() -> list[type[Any]]:
    """Return the tables of credentials, those of an application built on this included."""
    return Credential.__subclasses__()


def remove(event: AuditEvent, model: type[Any], *which: ColumnElement[bool]) -> int:
    """Remove the credentials that meet these conditions, because of `event`; return how many there were.

    They no longer work, and can be restored for seven days.
    """
    db.session.flush()
    found = db.session.scalars(select(model).where(*which)).all()
    db.session.add_all(RemovedCredential.keep(credential, event.id) for credential in found)
    for credential in found:
        db.session.delete(credential)
    db.session.flush()
    return len(found)


def roll_back(user: User, since: int) -> None:
    """Remove the credentials that were added at or after the audit event `since`, and restore those removed."""
    for model in kinds():
        rows_changed(delete(model).where(model.user_id == user.id, model.event_id >= since))
    mine = (RemovedCredential.user_id == user.id, RemovedCredential.event_id >= since)
    for removed in db.session.scalars(select(RemovedCredential).where(*mine)).all():
        values = removed.values()
        if (values.get("event_id") or 0) < since:
            _restore(removed.table, values)
    rows_changed(delete(RemovedCredential).where(*mine))


def clear(user: User) -> None:
    """Delete every credential but the password, for good, and what could restore one."""
    for model in kinds():
        rows_changed(delete(model).where(model.user_id == user.id))
    rows_changed(delete(RemovedCredential).where(RemovedCredential.user_id == user.id))


def _restore(name: str, values: dict[str, Any]) -> None:
    """Insert a row again, unless another account has its place by now: an identity may be linked elsewhere."""
    table = User.metadata.tables[name]
    unique = [constraint for constraint in table.constraints if isinstance(constraint, UniqueConstraint)]
    taken = [[column == values[column.name] for column in constraint.columns] for constraint in unique]
    if not any(db.session.scalar(select(exists().where(*same))) for same in taken):
        db.session.execute(insert(table).values(values))

"""Credentials of every kind: remove them, restore them within seven days, and clear them at a first proof."""

from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, UniqueConstraint, delete, exists, insert, select

from app.extensions import db, rows_changed
from app.models import AuditEvent, Credential, RemovedCredential, User

RESTORE_WINDOW = timedelta(days=7)


def kinds() -> list[type[Any]]:
    """Return the models of credentials, including those of an application built on this."""
    return Credential.__subclasses__()


def add(event: AuditEvent, credential: Any) -> None:
    """Add a credential because of `event`: "This wasn't me" for an event before it, or for it, removes it again."""
    db.session.flush()
    credential.event_id = event.id
    db.session.add(credential)
    db.session.flush()


def remove(event: AuditEvent, model: type[Any], *which: ColumnElement[bool]) -> int:
    """Remove the credentials that meet these conditions, and return their number. roll_back() can restore them.

    Args:
        event: the audit event of the removal.
    """
    db.session.flush()
    found = db.session.scalars(select(model).where(*which)).all()
    db.session.add_all(RemovedCredential.keep(credential, event.id) for credential in found)
    for credential in found:
        db.session.delete(credential)
    db.session.flush()
    return len(found)


def roll_back(user: User, since: int) -> None:
    """Delete the credentials added at or after the audit event `since`, and restore those removed since."""
    for model in kinds():
        rows_changed(delete(model).where(model.user_id == user.id, model.event_id >= since))
    mine = (RemovedCredential.user_id == user.id, RemovedCredential.event_id >= since)
    for removed in db.session.scalars(select(RemovedCredential).where(*mine)).all():
        values = removed.values()
        if (values.get("event_id") or 0) < since:
            _restore(removed.table, values)
    rows_changed(delete(RemovedCredential).where(*mine))


def clear(user: User) -> None:
    """Delete every credential but the password, and the copies that could restore one."""
    for model in kinds():
        rows_changed(delete(model).where(model.user_id == user.id))
    rows_changed(delete(RemovedCredential).where(RemovedCredential.user_id == user.id))


def _restore(name: str, values: dict[str, Any]) -> None:
    """Insert a row again, unless it violates a unique constraint, as when an identity is linked elsewhere."""
    table = User.metadata.tables[name]
    unique = [constraint for constraint in table.constraints if isinstance(constraint, UniqueConstraint)]
    duplicates = [[column == values[column.name] for column in constraint.columns] for constraint in unique]
    if not any(db.session.scalar(select(exists().where(*same))) for same in duplicates):
        db.session.execute(insert(table).values(values))

"""Credentials of every kind: add, remove and clear them, and restore them within seven days."""

from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, UniqueConstraint, delete, exists, func, insert, literal, select

from app.extensions import db, rows_changed
from app.models import AuditEvent, Credential, Passkey, RemovedCredential, User
from app.switches import is_on

RESTORE_WINDOW = timedelta(days=7)


def kinds() -> list[type[Any]]:
    """Return all models of credentials, including those of an application built on this one."""
    return Credential.__subclasses__()


def add(event: AuditEvent, credential: Any) -> None:
    """Add a credential. "This wasn't me" for `event`, or for an earlier event, removes it again."""
    db.session.flush()
    credential.event_id = event.id
    db.session.add(credential)
    db.session.flush()


def remove(event: AuditEvent, model: type[Any], *which: ColumnElement[bool]) -> int:
    """Remove credentials because of `event`, and return their number. roll_back() can restore them."""
    db.session.flush()
    found = db.session.scalars(select(model).where(*which)).all()
    db.session.add_all(RemovedCredential.keep(credential, event.id) for credential in found)
    for credential in found:
        db.session.delete(credential)
    db.session.flush()
    return len(found)


def has_another_login(user: User) -> bool:
    """Return whether the user has a password, or more than one passkey or connected account."""
    models = [model for model in kinds() if model.logs_in and (model is not Passkey or is_on("passkey"))]
    counts = [select(func.count()).where(model.user_id == user.id) for model in models]
    total = select(sum((count.scalar_subquery() for count in counts), literal(0)))
    return user.has_password or db.session.execute(total).scalar_one() > 1


def roll_back(user: User, since: int) -> None:
    """Delete the credentials added since the audit event `since`, and restore those removed since."""
    for model in kinds():
        rows_changed(delete(model).where(model.user_id == user.id, model.event_id >= since))
    mine = (RemovedCredential.user_id == user.id, RemovedCredential.event_id >= since)
    for removed in db.session.scalars(select(RemovedCredential).where(*mine)).all():
        values = removed.values()
        if (values.get("event_id") or 0) < since:
            _restore(removed.table, values)
    rows_changed(delete(RemovedCredential).where(*mine))


def clear(user: User) -> None:
    """Delete all credentials except the password, and the copies of removed ones."""
    for model in kinds():
        rows_changed(delete(model).where(model.user_id == user.id))
    rows_changed(delete(RemovedCredential).where(RemovedCredential.user_id == user.id))


def _restore(name: str, values: dict[str, Any]) -> None:
    """Insert a row again, unless it violates a unique constraint: an identity may be linked to another account."""
    table = User.metadata.tables[name]
    unique = [constraint for constraint in table.constraints if isinstance(constraint, UniqueConstraint)]
    duplicates = [[column == values[column.name] for column in constraint.columns] for constraint in unique]
    if not any(db.session.scalar(select(exists().where(*same))) for same in duplicates):
        db.session.execute(insert(table).values(values))

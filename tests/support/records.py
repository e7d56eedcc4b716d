"""What the database holds."""

from sqlalchemy import func, select

from app.extensions import db
from app.models import AuditEvent


def count(model):
    """Return the number of rows."""
    return db.session.scalar(select(func.count()).select_from(model))


def history():
    """Return the actions of all audit events, oldest first."""
    return [event.action for event in db.session.scalars(select(AuditEvent).order_by(AuditEvent.id))]


def has_happened(action):
    """Return the number of audit events with this action."""
    return db.session.scalar(select(func.count()).where(AuditEvent.action == action))


def rows():
    """Return every row of every table, except the rate-limit counters, to compare before and after."""
    return {
        table.name: db.session.execute(select(table)).all()
        for table in db.metadata.sorted_tables
        if table.name != "rate_limit_counters"
    }

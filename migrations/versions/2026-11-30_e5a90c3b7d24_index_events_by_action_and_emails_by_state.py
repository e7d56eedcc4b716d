"""Index events by action, and ended emails by time and state

Revision ID: e5a90c3b7d24
Revises: c2f71d04ae95

The site keeps running: PostgreSQL reads each table twice, and blocks no writes.
"""

import sqlalchemy as sa
from alembic import op

from app.cli.schema_changes import create_index_concurrently

revision = "e5a90c3b7d24"
down_revision = "c2f71d04ae95"
branch_labels = None
depends_on = None

ENDED = {f"{dialect}_where": sa.text("done_at IS NOT NULL") for dialect in ("postgresql", "sqlite")}


def upgrade():
    create_index_concurrently("ix_audit_events_action_at", "audit_events", ["action", "at"])
    create_index_concurrently("ix_outbox_done_at_status", "outbox", ["done_at", "status"], **ENDED)
    op.drop_index("ix_outbox_done_at", "outbox")


def downgrade():
    create_index_concurrently("ix_outbox_done_at", "outbox", ["done_at"], **ENDED)
    op.drop_index("ix_outbox_done_at_status", "outbox")
    op.drop_index("ix_audit_events_action_at", "audit_events")

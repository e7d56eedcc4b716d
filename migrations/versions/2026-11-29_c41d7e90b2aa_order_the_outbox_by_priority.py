"""Order the outbox by priority

Revision ID: c41d7e90b2aa
Revises: 9b3f5d2c7a18

The previous release runs on this schema, too. Emails that it enqueues have the first priority.
"""

import sqlalchemy as sa
from alembic import op

revision = "c41d7e90b2aa"
down_revision = "9b3f5d2c7a18"
branch_labels = None
depends_on = None


def upgrade():
    op.add_column("outbox", sa.Column("priority", sa.Integer, nullable=False, server_default="0"))
    op.create_index("ix_outbox_status_priority_due_at", "outbox", ["status", "priority", "due_at"])
    op.drop_index("ix_outbox_status_due_at", "outbox")


def downgrade():
    op.create_index("ix_outbox_status_due_at", "outbox", ["status", "due_at"])
    op.drop_index("ix_outbox_status_priority_due_at", "outbox")
    op.drop_column("outbox", "priority")

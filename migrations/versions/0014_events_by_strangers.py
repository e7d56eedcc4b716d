"""Store events that strangers cause in one row per account, network and hour

Revision ID: 0014
Revises: 0013

The previous release runs on this schema, too.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

IS_STRANGERS = sa.text("key IS NOT NULL")
WHERE = {"sqlite_where": IS_STRANGERS, "postgresql_where": IS_STRANGERS}


def upgrade():
    op.add_column("events", sa.Column("key", sa.String(22)))
    op.add_column("events", sa.Column("count", sa.Integer, nullable=False, server_default="1"))
    op.create_index("ix_events_key", "events", ["key"], unique=True, **WHERE)
    op.create_index("ix_events_strangers", "events", ["at"], **WHERE)


def downgrade():
    op.drop_index("ix_events_strangers", "events")
    op.drop_index("ix_events_key", "events")
    op.drop_column("events", "count")
    op.drop_column("events", "key")

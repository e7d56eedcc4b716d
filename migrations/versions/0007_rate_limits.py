"""Add the counters of the rate limits

Revision ID: 0007
Revises: 0006

The previous release runs on this schema, too.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade():
    op.create_table(
        "counts",
        sa.Column("id", sa.String(200), nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_counts"),
    )
    op.create_index("ix_counts_expires_at", "counts", ["expires_at"])


def downgrade():
    op.drop_table("counts")

"""Add daily counts

Revision ID: d3f08b6a51c4
Revises: b07c2e41f9a6

The table is new, so that a running site notices nothing. The job daily_counts fills it for the year before.
"""

import sqlalchemy as sa
from alembic import op

revision = "d3f08b6a51c4"
down_revision = "b07c2e41f9a6"
branch_labels = None
depends_on = None


def upgrade():
    op.create_table(
        "daily_counts",
        sa.Column("day", sa.DateTime(timezone=True), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("day", "name", name="pk_daily_counts"),
    )


def downgrade():
    op.drop_table("daily_counts")

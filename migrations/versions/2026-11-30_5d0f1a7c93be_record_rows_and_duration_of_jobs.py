"""Record the rows and the duration of jobs

Revision ID: 5d0f1a7c93be
Revises: c41d7e90b2aa

The previous release runs on this schema, too.
"""

import sqlalchemy as sa
from alembic import op

revision = "5d0f1a7c93be"
down_revision = "c41d7e90b2aa"
branch_labels = None
depends_on = None


def upgrade():
    op.add_column("jobs", sa.Column("row_count", sa.Integer))
    op.add_column("jobs", sa.Column("duration", sa.Double))


def downgrade():
    op.drop_column("jobs", "duration")
    op.drop_column("jobs", "row_count")

"""Keep the language and the time zone of users

Revision ID: c2f71d04ae95
Revises: d3f08b6a51c4

The columns are nullable, so that no row is rewritten and the previous code keeps running.
"""

import sqlalchemy as sa
from alembic import op

revision = "c2f71d04ae95"
down_revision = "d3f08b6a51c4"
branch_labels = None
depends_on = None


def upgrade():
    op.add_column("users", sa.Column("language", sa.String(16)))
    op.add_column("users", sa.Column("time_zone", sa.String(64)))
    op.add_column("outbox", sa.Column("language", sa.String(16)))


def downgrade():
    op.drop_column("outbox", "language")
    op.drop_column("users", "time_zone")
    op.drop_column("users", "language")

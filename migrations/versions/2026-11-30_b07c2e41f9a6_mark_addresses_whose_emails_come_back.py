"""Mark addresses whose emails come back

Revision ID: b07c2e41f9a6
Revises: b7e2c0d49f13

The column is empty and nullable, so that no table is rewritten, and the previous release runs on this schema, too.
"""

import sqlalchemy as sa
from alembic import op

revision = "b07c2e41f9a6"
down_revision = "b7e2c0d49f13"
branch_labels = None
depends_on = None


def upgrade():
    op.add_column("users", sa.Column("email_bounced_at", sa.DateTime(timezone=True)))


def downgrade():
    op.drop_column("users", "email_bounced_at")

"""Index the email challenges of an address without an account

Revision ID: 0011
Revises: 0010

The previous release runs on this schema, too. Rows that it adds in the meantime are deleted within a week.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade():
    op.add_column("email_challenges", sa.Column("email_key", sa.String(254), nullable=False, server_default=""))
    op.execute("UPDATE email_challenges SET email_key = lower(email)")
    op.create_index("ix_email_challenges_email_key", "email_challenges", ["email_key"])


def downgrade():
    op.drop_index("ix_email_challenges_email_key", "email_challenges")
    op.drop_column("email_challenges", "email_key")

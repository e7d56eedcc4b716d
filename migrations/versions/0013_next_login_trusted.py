"""Let an operator allow one login from a new device without an emailed code

Revision ID: 0013
Revises: 0012

The previous release runs on this schema, too.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade():
    op.add_column("users", sa.Column("next_login_trusted_until", sa.DateTime(timezone=True)))


def downgrade():
    op.drop_column("users", "next_login_trusted_until")

"""Store the budget that an email counts against

Revision ID: 0015
Revises: 0014

The previous release runs on this schema, too. Emails that it enqueues count against no budget for a day.
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade():
    op.add_column("outbox", sa.Column("budget", sa.String(16)))


def downgrade():
    op.drop_column("outbox", "budget")

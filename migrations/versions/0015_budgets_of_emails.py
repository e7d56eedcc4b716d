"""What an email that anybody can ask for is counted with

Revision ID: 0015
Revises: 0014

Code of the release before runs on this, too. What it queued counts for nothing, for a day.
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

"""Index the pending passkey challenges of a browser

Revision ID: 0009
Revises: 0008

The previous release runs on this schema, too.
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade():
    op.create_index("ix_passkey_challenges_browser", "passkey_challenges", ["browser"])


def downgrade():
    op.drop_index("ix_passkey_challenges_browser", "passkey_challenges")

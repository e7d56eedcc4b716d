"""Find a browser's unanswered passkey challenges by an index, to replace the oldest ones

Revision ID: 0009
Revises: 0008

The release before runs on this, too.
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

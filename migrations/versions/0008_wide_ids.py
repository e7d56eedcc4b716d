"""Use 64-bit ids in the history and the outbox

Revision ID: 0008
Revises: 0007

The previous release runs on this schema, too. SQLite's numbers have 64 bits already.
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade():
    _number_with("bigint")


def downgrade():
    _number_with("integer")


def _number_with(kind):
    if op.get_bind().dialect.name == "postgresql":
        for table in ("events", "outbox"):
            op.execute(f"ALTER TABLE {table} ALTER id TYPE {kind}")
            op.execute(f"ALTER SEQUENCE {table}_id_seq AS {kind}")

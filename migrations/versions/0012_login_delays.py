"""Add the login delay that grows with wrong passwords

Revision ID: 0012
Revises: 0011

The previous release runs on this schema, too.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade():
    op.create_table(
        "login_delays",
        sa.Column("id", sa.String(43), nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("blocked_until", sa.BigInteger, nullable=False),
        sa.Column("warned_until", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_login_delays"),
    )
    op.create_index("ix_login_delays_expires_at", "login_delays", ["expires_at"])


def downgrade():
    op.drop_table("login_delays")

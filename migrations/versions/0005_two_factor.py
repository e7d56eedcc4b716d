"""Add authenticator apps, recovery codes and trusted devices

Revision ID: 0005
Revises: 0004

The previous release runs on this schema, too.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

moment = sa.DateTime(timezone=True)


def upgrade():
    op.add_column("users", sa.Column("second_factor_at", moment))
    op.add_column("user_sessions", sa.Column("device", sa.String(64), nullable=False, server_default=""))
    op.add_column("devices", sa.Column("trusted_until", moment))
    op.add_column("devices", sa.Column("user_agent", sa.Text, nullable=False, server_default=""))
    op.create_table(
        "authenticators",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("user_id", sa.Integer, nullable=False),
        sa.Column("secret", sa.Text, nullable=False),
        sa.Column("last_step", sa.Integer, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_authenticators"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], "fk_authenticators_user_id_users", ondelete="CASCADE"),
        sa.UniqueConstraint("user_id", name="uq_authenticators_user_id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "recovery_codes",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("user_id", sa.Integer, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_recovery_codes"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], "fk_recovery_codes_user_id_users", ondelete="CASCADE"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_recovery_codes_user_id", "recovery_codes", ["user_id"])


def downgrade():
    op.drop_table("recovery_codes")
    op.drop_table("authenticators")
    op.drop_column("devices", "user_agent")
    op.drop_column("devices", "trusted_until")
    op.drop_column("user_sessions", "device")
    op.drop_column("users", "second_factor_at")

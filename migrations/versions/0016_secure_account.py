"""Store what a security event added and removed, so that it can be undone

Revision ID: 0016
Revises: 0015

The previous release runs on this schema, too.
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

moment = sa.DateTime(timezone=True)
number = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade():
    for table in ("authenticators", "email_changes", "identities", "passkeys", "recovery_codes"):
        op.add_column(table, sa.Column("event_id", number))
    op.add_column("events", sa.Column("session", sa.String(22), nullable=False, server_default=""))
    op.add_column("events", sa.Column("link_revoked_at", moment))
    op.add_column("user_sessions", sa.Column("both_factors_at", moment))
    op.create_table(
        "removed_credentials",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("user_id", sa.Integer, nullable=False),
        sa.Column("table", sa.String(64), nullable=False),
        sa.Column("row", sa.JSON, nullable=False),
        sa.Column("known_by", sa.String(1364), nullable=False),
        sa.Column("event_id", number, nullable=False),
        sa.Column("removed_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_removed_credentials"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], "fk_removed_credentials_user_id_users", ondelete="CASCADE"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_removed_credentials_user_id", "removed_credentials", ["user_id"])
    op.create_index("ix_removed_credentials_known_by", "removed_credentials", ["known_by"])
    op.create_index("ix_removed_credentials_removed_at", "removed_credentials", ["removed_at"])


def downgrade():
    op.drop_table("removed_credentials")
    op.drop_column("user_sessions", "both_factors_at")
    op.drop_column("events", "link_revoked_at")
    op.drop_column("events", "session")
    for table in ("recovery_codes", "passkeys", "identities", "email_changes", "authenticators"):
        op.drop_column(table, "event_id")

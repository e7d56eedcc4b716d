"""Add recognised devices, reauthentication, account deletion and daily jobs

Revision ID: 0003
Revises: 0002

The previous release runs on this schema, too.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

moment = sa.DateTime(timezone=True)


def upgrade():
    op.add_column("users", sa.Column("deletion_due_at", moment))
    op.create_index("ix_users_deletion_due_at", "users", ["deletion_due_at"])
    op.add_column("user_sessions", sa.Column("authenticated_at", moment))
    op.create_index("ix_user_sessions_expires_at", "user_sessions", ["expires_at"])
    op.create_index("ix_events_at", "events", ["at"])
    op.add_column("events", sa.Column("network", sa.String(45), nullable=False, server_default=""))
    op.create_index("ix_events_network_at", "events", ["network", "at"])
    op.create_index("ix_email_challenges_asked_at", "email_challenges", ["asked_at"])
    op.create_table(
        "devices",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("user_id", sa.Integer, nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("first_seen_at", moment, nullable=False),
        sa.Column("last_seen_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_devices"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], "fk_devices_user_id_users", ondelete="CASCADE"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_devices_user_id_key", "devices", ["user_id", "key"])
    op.create_index("ix_devices_last_seen_at", "devices", ["last_seen_at"])
    op.create_table(
        "chores",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("done_at", moment),
        sa.PrimaryKeyConstraint("id", name="pk_chores"),
    )


def downgrade():
    op.drop_table("chores")
    op.drop_table("devices")
    op.drop_index("ix_email_challenges_asked_at", "email_challenges")
    op.drop_index("ix_events_network_at", "events")
    op.drop_column("events", "network")
    op.drop_index("ix_events_at", "events")
    op.drop_index("ix_user_sessions_expires_at", "user_sessions")
    op.drop_column("user_sessions", "authenticated_at")
    op.drop_index("ix_users_deletion_due_at", "users")
    op.drop_column("users", "deletion_due_at")

"""Add emailed codes, changes of the email address, and the reason of a logout

Revision ID: 0002
Revises: 0001

Code of the release before runs on this, too: what is new has a default.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

moment = sa.DateTime(timezone=True)


def upgrade():
    op.add_column("users", sa.Column("sign_ins", sa.Integer, nullable=False, server_default="0"))
    op.add_column("user_sessions", sa.Column("end_reason", sa.String(32)))
    op.add_column("outbox", sa.Column("claims", sa.JSON, nullable=False, server_default="{}"))
    op.add_column("outbox", sa.Column("recipient_key", sa.String(254), nullable=False, server_default=""))
    op.execute("UPDATE outbox SET recipient_key = lower(recipient)")
    op.create_index("ix_outbox_recipient_key_created_at", "outbox", ["recipient_key", "created_at"])
    op.create_table(
        "email_challenges",
        sa.Column("id", sa.String(43), nullable=False),
        sa.Column("purpose", sa.String(32), nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("user_id", sa.Integer),
        sa.Column("state", sa.String(22)),
        sa.Column("asked_at", moment, nullable=False),
        sa.Column("sent_at", moment),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("used_at", moment),
        sa.PrimaryKeyConstraint("id", name="pk_email_challenges"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], "fk_email_challenges_user_id_users", ondelete="CASCADE"),
    )
    op.create_index("ix_email_challenges_user_id", "email_challenges", ["user_id"])
    op.create_table(
        "email_changes",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("user_id", sa.Integer, nullable=False),
        sa.Column("old_email", sa.String(254), nullable=False),
        sa.Column("old_email_key", sa.String(254), nullable=False),
        sa.Column("new_email", sa.String(254), nullable=False),
        sa.Column("changed_at", moment, nullable=False),
        sa.Column("undone_at", moment),
        sa.PrimaryKeyConstraint("id", name="pk_email_changes"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], "fk_email_changes_user_id_users", ondelete="CASCADE"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_email_changes_user_id", "email_changes", ["user_id"])
    op.create_index("ix_email_changes_old_email_key", "email_changes", ["old_email_key"])


def downgrade():
    op.drop_table("email_changes")
    op.drop_table("email_challenges")
    op.drop_index("ix_outbox_recipient_key_created_at", "outbox")
    op.drop_column("outbox", "recipient_key")
    op.drop_column("outbox", "claims")
    op.drop_column("user_sessions", "end_reason")
    op.drop_column("users", "sign_ins")

"""Add invitations and blocks

Revision ID: 5a8e1c93d7f2
Revises: 5d0f1a7c93be

Both tables are new, so that a running site notices nothing.
"""

import sqlalchemy as sa
from alembic import op

revision = "5a8e1c93d7f2"
down_revision = "5d0f1a7c93be"
branch_labels = None
depends_on = None

moment = sa.DateTime(timezone=True)


def upgrade():
    op.create_table(
        "blocks",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("subject", sa.String(254), nullable=False),
        sa.Column("key", sa.String(254), nullable=False),
        sa.Column("reason", sa.String(500), nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("created_by_id", sa.Integer),
        sa.Column("ends_at", moment),
        sa.PrimaryKeyConstraint("id", name="pk_blocks"),
        sa.UniqueConstraint("key", name="uq_blocks_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_blocks_ends_at", "blocks", ["ends_at"])
    op.create_table(
        "account_invitations",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("email_key", sa.String(254), nullable=False),
        sa.Column("role_name", sa.String(32), nullable=False),
        sa.Column("actor", sa.String(16), nullable=False),
        sa.Column("invited_by_id", sa.Integer),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("expires_at", moment, nullable=False),
        sa.Column("accepted_at", moment),
        sa.Column("user_id", sa.Integer),
        sa.Column("withdrawn_at", moment),
        sa.PrimaryKeyConstraint("id", name="pk_account_invitations"),
        sa.ForeignKeyConstraint(
            ["invited_by_id"], ["users.id"], "fk_account_invitations_invited_by_id_users", ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], "fk_account_invitations_user_id_users", ondelete="SET NULL"),
        sqlite_autoincrement=True,
    )
    for column in ("email_key", "invited_by_id", "expires_at", "user_id"):
        op.create_index(f"ix_account_invitations_{column}", "account_invitations", [column])


def downgrade():
    op.drop_table("account_invitations")
    op.drop_table("blocks")

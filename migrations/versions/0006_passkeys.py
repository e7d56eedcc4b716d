"""Add passkeys

Revision ID: 0006
Revises: 0005

The previous release runs on this schema, too.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

moment = sa.DateTime(timezone=True)


def upgrade():
    op.add_column("users", sa.Column("passkey_handle", sa.String(43)))
    op.create_table(
        "passkeys",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("user_id", sa.Integer, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("credential_id", sa.String(1364), nullable=False),
        sa.Column("public_key", sa.Text, nullable=False),
        sa.Column("sign_count", sa.BigInteger, nullable=False),
        sa.Column("transports", sa.String(64), nullable=False),
        sa.Column("backed_up", sa.Boolean, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("last_used_at", moment),
        sa.PrimaryKeyConstraint("id", name="pk_passkeys"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], "fk_passkeys_user_id_users", ondelete="CASCADE"),
        sa.UniqueConstraint("credential_id", name="uq_passkeys_credential_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_passkeys_user_id", "passkeys", ["user_id"])
    op.create_table(
        "passkey_challenges",
        sa.Column("id", sa.String(86), nullable=False),
        sa.Column("purpose", sa.String(16), nullable=False),
        sa.Column("browser", sa.String(43), nullable=False),
        sa.Column("user_id", sa.Integer),
        sa.Column("asked_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_passkey_challenges"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], "fk_passkey_challenges_user_id_users", ondelete="CASCADE"),
    )
    op.create_index("ix_passkey_challenges_user_id", "passkey_challenges", ["user_id"])
    op.create_index("ix_passkey_challenges_asked_at", "passkey_challenges", ["asked_at"])


def downgrade():
    op.drop_table("passkey_challenges")
    op.drop_table("passkeys")
    op.drop_column("users", "passkey_handle")

"""Add linked identities, and the state of started provider logins

Revision ID: 0004
Revises: 0003

The previous release runs on this schema, too.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

moment = sa.DateTime(timezone=True)


def upgrade():
    op.create_table(
        "identities",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("user_id", sa.Integer, nullable=False),
        sa.Column("provider", sa.String(24), nullable=False),
        sa.Column("issuer", sa.String(255), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("email", sa.String(254)),
        sa.Column("linked_at", moment, nullable=False),
        sa.Column("last_used_at", moment),
        sa.PrimaryKeyConstraint("id", name="pk_identities"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], "fk_identities_user_id_users", ondelete="CASCADE"),
        sa.UniqueConstraint("issuer", "subject", name="uq_identities_issuer_subject"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_identities_user_id", "identities", ["user_id"])
    op.create_table(
        "sso_journeys",
        sa.Column("id", sa.String(43), nullable=False),
        sa.Column("provider", sa.String(24), nullable=False),
        sa.Column("nonce", sa.String(43), nullable=False),
        sa.Column("code_verifier", sa.String(43), nullable=False),
        sa.Column("user_id", sa.Integer),
        sa.Column("remember", sa.Boolean, nullable=False),
        sa.Column("destination", sa.Text),
        sa.Column("started_at", moment, nullable=False),
        sa.Column("returned_at", moment),
        sa.PrimaryKeyConstraint("id", name="pk_sso_journeys"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], "fk_sso_journeys_user_id_users", ondelete="CASCADE"),
    )
    op.create_index("ix_sso_journeys_user_id", "sso_journeys", ["user_id"])
    op.create_index("ix_sso_journeys_started_at", "sso_journeys", ["started_at"])


def downgrade():
    op.drop_table("sso_journeys")
    op.drop_table("identities")

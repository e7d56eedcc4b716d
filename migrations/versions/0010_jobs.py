"""Give each cleanup job its own lease, result and error, and index what the jobs delete

Revision ID: 0010
Revises: 0009

The previous release runs on this schema, too: a later one may drop its table `chores`. Its rows were written before the work
was done, so they are not taken over, and each job runs at once.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade():
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("run", sa.Integer, nullable=False),
        *(sa.Column(name, sa.DateTime(timezone=True)) for name in ("started_at", "leased_until")),
        *(sa.Column(name, sa.DateTime(timezone=True)) for name in ("finished_at", "failed_at")),
        sa.Column("error", sa.Text, nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
    )
    op.create_index("ix_user_sessions_ended_at", "user_sessions", ["ended_at"], **_where("ended_at IS NOT NULL"))
    op.create_index("ix_email_changes_changed_at", "email_changes", ["changed_at"])
    op.create_index("ix_outbox_done_at", "outbox", ["done_at"], **_where("done_at IS NOT NULL"))
    unconfirmed = _where("confirmed IS false", "confirmed IS 0")
    op.create_index("ix_users_created_at_id", "users", ["created_at", "id"], **unconfirmed)
    due = _where("deletion_due_at IS NOT NULL")
    op.create_index("ix_users_deletion_due_at_id", "users", ["deletion_due_at", "id"], **due)
    op.drop_index("ix_users_deletion_due_at", "users")


def downgrade():
    op.create_index("ix_users_deletion_due_at", "users", ["deletion_due_at"])
    op.drop_index("ix_users_deletion_due_at_id", "users")
    op.drop_index("ix_users_created_at_id", "users")
    op.drop_index("ix_outbox_done_at", "outbox")
    op.drop_index("ix_email_changes_changed_at", "email_changes")
    op.drop_index("ix_user_sessions_ended_at", "user_sessions")
    op.drop_table("jobs")


def _where(condition, on_sqlite=None):
    return {"postgresql_where": sa.text(condition), "sqlite_where": sa.text(on_sqlite or condition)}

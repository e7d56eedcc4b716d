"""Index users for the search of administrators

Revision ID: b7e2c0d49f13
Revises: 5a8e1c93d7f2

The site keeps running: PostgreSQL reads the table twice, and blocks no writes.
"""

import sqlalchemy as sa
from alembic import op

from app.cli.schema_changes import create_index_concurrently

revision = "b7e2c0d49f13"
down_revision = "5a8e1c93d7f2"
branch_labels = None
depends_on = None

GROUPS = {
    "unconfirmed": "confirmed IS false",
    "other_role": "role_name <> 'user'",
    "two_factor": "two_factor_enabled_at IS NOT NULL",
    "deactivated": "deactivated_at IS NOT NULL",
    "to_be_deleted": "deletion_due_at IS NOT NULL",
    "never_logged_in": "login_count = 0",
}


def upgrade():
    for name, group in GROUPS.items():
        where = {"postgresql_where": sa.text(group), "sqlite_where": sa.text(group)}
        create_index_concurrently(f"ix_users_{name}", "users", ["id"], **where)
    if op.get_bind().dialect.name == "postgresql":
        for key in ("email_key", "username_key"):
            create_index_concurrently(f"users_{key}_by_code_point", "users", [sa.text(f'{key} COLLATE "C"')])


def downgrade():
    if op.get_bind().dialect.name == "postgresql":
        for key in ("email_key", "username_key"):
            op.drop_index(f"users_{key}_by_code_point", "users")
    for name in GROUPS:
        op.drop_index(f"ix_users_{name}", "users")

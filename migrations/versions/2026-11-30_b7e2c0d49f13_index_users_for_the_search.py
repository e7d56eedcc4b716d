"""Index users for the search of administrators

Revision ID: b7e2c0d49f13
Revises: 5a8e1c93d7f2

The site keeps running: PostgreSQL reads the table twice, and blocks no writes.
"""

import sqlalchemy as sa
from alembic import op

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
    if op.get_bind().dialect.name == "sqlite":
        for name, group in GROUPS.items():
            op.create_index(f"ix_users_{name}", "users", ["id"], sqlite_where=sa.text(group))
        return
    indexes = {f"ix_users_{name}": f"(id) WHERE {group}" for name, group in GROUPS.items()}
    indexes |= {f"users_{key}_by_code_point": f'({key} COLLATE "C")' for key in ("email_key", "username_key")}
    with op.get_context().autocommit_block():
        for name, index in indexes.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")  # an invalid one, if the migration was interrupted
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON users {index}")


def downgrade():
    if op.get_bind().dialect.name == "postgresql":
        for key in ("email_key", "username_key"):
            op.drop_index(f"users_{key}_by_code_point", "users")
    for name in GROUPS:
        op.drop_index(f"ix_users_{name}", "users")

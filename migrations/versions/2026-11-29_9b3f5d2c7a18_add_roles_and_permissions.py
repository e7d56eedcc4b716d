"""Add roles and permissions

Revision ID: 9b3f5d2c7a18
Revises: e37b63fbd631

Administrators keep their rights as the role "administrator".
"""

import sqlalchemy as sa
from alembic import op

revision = "9b3f5d2c7a18"
down_revision = "e37b63fbd631"
branch_labels = None
depends_on = None

FOREIGN_KEY = "fk_users_role_name_roles"
users = sa.table("users", sa.column("is_admin", sa.Boolean), sa.column("role_name"))


def upgrade():
    roles = op.create_table(
        "roles",
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("permissions", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_roles"),
    )
    seeds = {"user": 7, "moderator": 15, "administrator": 31}
    op.bulk_insert(roles, [{"name": name, "permissions": permissions} for name, permissions in seeds.items()])
    with op.batch_alter_table("users", table_kwargs={"sqlite_autoincrement": True}) as table:
        table.add_column(sa.Column("role_name", sa.String(32), nullable=False, server_default="user"))
        table.create_foreign_key(FOREIGN_KEY, "roles", ["role_name"], ["name"])
    op.execute(users.update().where(users.c.is_admin).values(role_name="administrator"))
    op.drop_column("users", "is_admin")


def downgrade():
    op.add_column("users", sa.Column("is_admin", sa.Boolean, nullable=False, server_default=sa.false()))
    op.execute(users.update().where(users.c.role_name == "administrator").values(is_admin=sa.true()))
    with op.batch_alter_table("users", table_kwargs={"sqlite_autoincrement": True}) as table:
        table.alter_column("is_admin", server_default=None, existing_type=sa.Boolean, existing_nullable=False)
        table.drop_constraint(FOREIGN_KEY, type_="foreignkey")
        table.drop_column("role_name")
    op.drop_table("roles")

"""Require a passkey, and hash recovery codes with a salt

Revision ID: e37b63fbd631
Revises: 7d1c2a9e4b60

Until here, a passkey turned two-factor authentication on. Accounts where it is on and that have a passkey keep it: they
require a passkey from now on. So does an account that has its passkeys restored by "This wasn't me". Codes of before
keep working: RecoveryCode.is_code() knows their hash.
"""

import sqlalchemy as sa
from alembic import op

revision = "e37b63fbd631"
down_revision = "7d1c2a9e4b60"
branch_labels = None
depends_on = None

moment = sa.DateTime(timezone=True)
number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
users = sa.table("users", sa.column("id"), sa.column("two_factor_enabled_at"))
passkeys = sa.table("passkeys", sa.column("user_id"), sa.column("event_id"))
codes = sa.table("recovery_codes", sa.column("hash"))
requirements = sa.table(
    "passkey_requirements",
    sa.column("id"),
    sa.column("user_id"),
    sa.column("created_at", moment),
    sa.column("event_id"),
)
removed = sa.table(
    "removed_credentials",
    sa.column("user_id"),
    sa.column("table"),
    sa.column("row", sa.JSON),
    sa.column("known_by"),
    sa.column("event_id"),
    sa.column("removed_at", moment),
)


def upgrade():
    op.create_table(
        "passkey_requirements",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("user_id", sa.Integer, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("event_id", number),
        sa.PrimaryKeyConstraint("id", name="pk_passkey_requirements"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], "fk_passkey_requirements_user_id_users", ondelete="CASCADE"),
        sa.UniqueConstraint("user_id", name="uq_passkey_requirements_user_id"),
        sqlite_autoincrement=True,
    )
    _require_where_it_was_on()
    _keep_for_removed_passkeys()
    with op.batch_alter_table("recovery_codes", table_kwargs={"sqlite_autoincrement": True}) as table:
        table.alter_column("hash", type_=sa.String(256), existing_nullable=False)


def downgrade():
    op.execute(codes.delete().where(sa.func.length(codes.c.hash) > 64))  # their users make new ones
    with op.batch_alter_table("recovery_codes", table_kwargs={"sqlite_autoincrement": True}) as table:
        table.alter_column("hash", type_=sa.String(64), existing_nullable=False)
    op.execute(removed.delete().where(removed.c.table == "passkey_requirements"))
    op.drop_table("passkey_requirements")


def _require_where_it_was_on():
    """Require a passkey since the oldest one that is there; `event_id` is null if that has no event."""
    oldest = sa.case((sa.func.count() == sa.func.count(passkeys.c.event_id), sa.func.min(passkeys.c.event_id)))
    concerned = (
        sa.select(users.c.id, sa.func.min(users.c.two_factor_enabled_at), oldest)
        .join(passkeys, passkeys.c.user_id == users.c.id)
        .where(users.c.two_factor_enabled_at.is_not(None))
        .group_by(users.c.id)
    )
    op.execute(requirements.insert().from_select(["user_id", "created_at", "event_id"], concerned))


def _keep_for_removed_passkeys():
    """Have a requirement restored with passkeys that were removed before this migration."""
    connection = op.get_bind()
    rows = connection.execute(sa.select(removed).where(removed.c.table == "passkeys").order_by(removed.c.event_id)).all()
    required = dict(connection.execute(sa.select(requirements.c.user_id, requirements.c.event_id)).all())
    for user_id in {row.user_id for row in rows}:
        mine = [row for row in rows if row.user_id == user_id]
        first = min(mine, key=lambda row: row.row.get("event_id") or 0)
        since = first.row.get("event_id")
        if user_id in required and (required[user_id] or 0) <= (since or 0):
            continue
        kept = {"id": -user_id, "user_id": user_id, "created_at": first.row["created_at"], "event_id": since}
        last = mine[-1]
        connection.execute(
            removed.insert().values(
                user_id=user_id,
                table="passkey_requirements",
                row=kept,
                known_by="",
                event_id=last.event_id,
                removed_at=last.removed_at,
            )
        )

"""Rename tables, columns and the words in their rows by the glossary

Revision ID: 7d1c2a9e4b60
Revises: 0016

It runs before the first release: code from before this migration does not run on the tables after it.
"""

import re

import sqlalchemy as sa
from alembic import op

revision = "7d1c2a9e4b60"
down_revision = "0016"
branch_labels = None
depends_on = None

TABLES = {"events": "audit_events", "counts": "rate_limit_counters", "sso_journeys": "oauth_states"}
COLUMNS = [
    ("users", "sign_ins", "login_count"),
    ("users", "second_factor_at", "two_factor_enabled_at"),
    ("user_sessions", "ended_at", "revoked_at"),
    ("user_sessions", "end_reason", "revoked_reason"),
    ("outbox", "tries", "attempts"),
    ("email_challenges", "tries", "attempts"),
    ("email_changes", "undone_at", "released_at"),
]
INDEXES = [
    ("user_sessions", "ix_user_sessions_ended_at", "ix_user_sessions_revoked_at"),
    ("audit_events", "ix_audit_events_strangers", "ix_audit_events_anonymous"),
]
WORDS = {
    "browser_trusted": "device_trusted",
    "deletion_asked": "deletion_requested",
    "deletion_taken_back": "deletion_cancelled",
    "email_change_asked": "email_change_requested",
    "email_undone": "email_removed",
    "ended_elsewhere": "revoked_elsewhere",
    "goodbye": "account_deleted",
    "magic_link_asked": "magic_link_requested",
    "mailbox_proved": "email_ownership_proved",
    "proved_again": "reauthenticated",
    "recent_login": "reauthentication",
    "reset_asked": "reset_requested",
    "second_factor_added": "two_factor_added",
    "second_factor_changed": "two_factor_changed",
    "second_factor_failed": "two_factor_failed",
    "second_factor_off": "two_factor_off",
    "second_factor_on": "two_factor_on",
    "second_factor_reset": "two_factor_reset",
    "second_factor_used": "two_factor_used",
    "sign_in_failed": "login_failed",
    "signed_in": "logged_in",
    "signed_out": "logged_out",
    "signed_out_everywhere": "logged_out_everywhere",
    "signed_out_others": "logged_out_others",
    "trust_ended": "device_untrusted",
}
PLACES = [
    ("audit_events", "action"),
    ("user_sessions", "revoked_reason"),
    ("outbox", "name"),
    ("outbox", "purpose"),
    ("email_challenges", "purpose"),
]


def upgrade():
    for old, new in TABLES.items():
        rename_table(old, new)
    for table, old, new in COLUMNS:
        op.alter_column(table, old, new_column_name=new) if _is_postgresql() else rename_column(table, old, new)
    for table, old, new in INDEXES:
        rename_index(table, old, new)
    replace_words(WORDS)
    op.drop_table("chores")


def downgrade():
    op.create_table(
        "chores",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_chores"),
    )
    replace_words({new: old for old, new in WORDS.items()})
    for table, old, new in INDEXES:
        rename_index(table, new, old)
    for table, old, new in COLUMNS:
        op.alter_column(table, new, new_column_name=old) if _is_postgresql() else rename_column(table, new, old)
    for old, new in TABLES.items():
        rename_table(new, old)


def replace_words(words):
    for table, column in PLACES:
        cells = sa.table(table, sa.column(column))
        known = cells.c[column].in_(words)
        op.execute(cells.update().where(known).values({column: sa.case(words, value=cells.c[column])}))


def rename_column(table, old, new):
    """Rename a column on SQLite, which renames it in the table's indexes and keys, too."""
    op.execute(f"ALTER TABLE {table} RENAME COLUMN {old} TO {new}")


def rename_index(table, old, new):
    if _is_postgresql():
        op.execute(f"ALTER INDEX {old} RENAME TO {new}")
        return
    query = sa.text("SELECT sql FROM sqlite_master WHERE type = 'index' AND name = :name")
    definition = op.get_bind().scalar(query, {"name": old})
    op.drop_index(old, table)
    op.execute(re.sub(rf"\b{old}\b", new, definition))


def rename_table(old, new):
    """Rename a table, and what is named after it: its keys, indexes and sequence."""
    if not _is_postgresql():
        _rename_table_on_sqlite(old, new)
        return
    connection = op.get_bind()
    op.rename_table(old, new)
    constraints = sa.text("SELECT conname FROM pg_constraint WHERE conrelid = CAST(:name AS regclass) AND contype <> 'n'")
    for name in connection.scalars(constraints, {"name": new}).all():
        op.execute(f"ALTER TABLE {new} RENAME CONSTRAINT {name} TO {name.replace(f'_{old}', f'_{new}', 1)}")
    indexes = sa.text("SELECT indexname FROM pg_indexes WHERE tablename = :name AND schemaname = current_schema()")
    for name in connection.scalars(indexes, {"name": new}).all():
        if f"_{old}" in name:
            op.execute(f"ALTER INDEX {name} RENAME TO {name.replace(f'_{old}', f'_{new}', 1)}")
    if connection.scalar(sa.text("SELECT to_regclass(:name)"), {"name": f"{old}_id_seq"}):
        op.execute(f"ALTER SEQUENCE {old}_id_seq RENAME TO {new}_id_seq")


def _rename_table_on_sqlite(old, new):
    """Copy the table: SQLite renames neither constraints nor indexes. The ids go on where they were."""
    connection = op.get_bind()
    found = sa.text("SELECT type, name, sql FROM sqlite_master WHERE tbl_name = :name AND sql IS NOT NULL")
    definitions = connection.execute(found, {"name": old}).all()
    renamed = {name: re.sub(rf'\b((?:pk|fk|uq|ix)_)?{old}(?=[_" (]|\b)', rf"\g<1>{new}", sql) for _, name, sql in definitions}
    op.execute(renamed[old])
    op.execute(f"INSERT INTO {new} SELECT * FROM {old}")
    if "AUTOINCREMENT" in renamed[old]:
        connection.execute(sa.text("DELETE FROM sqlite_sequence WHERE name = :new"), {"new": new})
        connection.execute(
            sa.text("INSERT INTO sqlite_sequence (name, seq) SELECT :new, seq FROM sqlite_sequence WHERE name = :old"),
            {"old": old, "new": new},
        )
    op.drop_table(old)
    for kind, name, _ in definitions:
        if kind == "index":
            op.execute(renamed[name])


def _is_postgresql():
    return op.get_bind().dialect.name == "postgresql"

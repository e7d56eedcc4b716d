"""Groups of users that administrators list, with an index each. Searches use the same words, to find the indexes."""

from sqlalchemy import Index, text

from app.models.role import DEFAULT_ROLE

GROUPS = {
    "unconfirmed": "confirmed IS false",
    "other_role": f"role_name <> '{DEFAULT_ROLE}'",
    "two_factor": "two_factor_enabled_at IS NOT NULL",
    "deactivated": "deactivated_at IS NOT NULL",
    "to_be_deleted": "deletion_due_at IS NOT NULL",
    "never_logged_in": "login_count = 0",
}


def indexes() -> list[Index]:
    """Return the indexes of the groups.

    On PostgreSQL, a migration also indexes both keys by code point, which Alembic can't compare with a model.
    """
    groups = ((f"ix_users_{name}", text(group)) for name, group in GROUPS.items())
    return [Index(name, "id", postgresql_where=group, sqlite_where=group) for name, group in groups]

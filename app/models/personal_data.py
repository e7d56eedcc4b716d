"""The register of tables with personal data, whose rows are exported, and deleted with the account.

Register your own tables beside their models, in app/models/ or in a package of your own. The order of imports is free:

    personal_data.register(Order, lambda user: Order.user_id == user.id, "Your orders")
    personal_data.register(Item, personal_data.below(Item.order_id), "Your orders")
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

from sqlalchemy import Column, ColumnElement, ForeignKey, Table, select
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql import visitors

from app.extensions import Model, db
from app.models.user import User

Condition = Callable[[User], ColumnElement[bool]]
Holder = type[Model] | Table  # an association table has no model


class Registration(NamedTuple):
    condition: Condition
    description: str
    names: Mapping[str, Any]


registered: dict[Holder, Registration] = {}

# Columns that are not exported: a reader could log in with them or forge a bounce, or they mean nothing.
SECRETS = set(
    """
    users.password_hash users.passkey_handle user_sessions.id user_sessions.device devices.key
    authenticators.secret recovery_codes.hash removed_credentials.row removed_credentials.known_by
    email_challenges.id email_challenges.state oauth_states.id oauth_states.nonce oauth_states.code_verifier
    passkeys.credential_id passkeys.public_key passkey_challenges.id passkey_challenges.browser outbox.state
    outbox.claims outbox.message_id account_invitations.invited_by_id
    """.split()
)

EMAIL_COLUMN = re.compile(r"e?mail|recipient|address(?!ed)")


def register(model: Holder, condition: Condition, description: str, **names: Any) -> None:
    """Export the rows of `model` that meet `condition(user)`, and delete them with the account.

    Args:
        description: the data in the words of the export page, such as "Your orders". Tables can share one.
        names: further values of an exported row, such as product=select(Product.name).where(...).scalar_subquery().
    """
    registered[model] = Registration(condition, description, names)


def below(key: InstrumentedAttribute[Any] | Column[Any]) -> Condition:
    """Return the condition that the foreign key of a row refers to a row of the user in a registered table."""

    def condition(user: User) -> ColumnElement[bool]:
        [foreign] = key.expression.foreign_keys
        parent = next((model for model in registered if table_of(model) is foreign.column.table), None)
        if parent is None:
            raise LookupError(f"Register {foreign.column.table.name}: personal_data.register()")
        return key.in_(select(foreign.column).where(registered[parent].condition(user)))

    return condition


def table_of(model: Holder) -> Table:
    return model if isinstance(model, Table) else cast("Table", model.__table__)


def unregistered() -> dict[str, str]:
    """Return the unregistered tables that seem to hold personal data, each with the reason.

    Their foreign keys lead to `users` or a registered table, or a column has a name like "email".
    """
    tables, known = list(db.metadata.tables.values()), {table_of(model).name for model in registered}
    reasons = {name: name for name in ("users", *known)}
    for table in tables:
        for name in filter(EMAIL_COLUMN.search, table.columns.keys()):
            reasons.setdefault(table.name, f"{table.name}.{name}")
    for _ in tables:  # the longest chain of foreign keys
        for table in tables:
            parents = [key.column.table.name for key in table.foreign_keys if key.column.table.name in reasons]
            if parents:
                reasons.setdefault(table.name, f"{table.name} -> {reasons[parents[0]]}")
    return {name: reason for name, reason in reasons.items() if name not in known}


def blocking() -> dict[str, Table]:
    """Return what can prevent a deletion, in sentences, each with the table whose rows could not be deleted.

    A foreign key refers to a row that is deleted with its user, while the row with the key may belong to another user.
    """
    tables = {table_of(model): registration.condition for model, registration in registered.items()}
    return {
        f"{key.parent} refers to {key.column.table.name}: a row of another user prevents the deletion of an account."
        " Give the key an ondelete rule (CASCADE, SET NULL, or NO ACTION if both rows always belong to one user), or"
        " add personal_data.below() to the condition.": key.column.table
        for table, condition in tables.items()
        for key in table.foreign_keys
        if key.column.table in tables and not (_has_rule(key) or depends_on(condition, key.parent))
    }


def depends_on(condition: Condition, column: Column[Any]) -> bool:
    """Return whether the condition of a table depends on one of its columns."""
    nobody = User(id=0, email="nobody@example.com", username="nobody")
    return column in {part for part in visitors.iterate(condition(nobody)) if isinstance(part, Column)}


def _has_rule(key: ForeignKey) -> bool:
    return bool(key.ondelete) and (key.ondelete != "SET NULL" or bool(key.parent.nullable))

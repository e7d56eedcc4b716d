"""Configure what `flask db migrate` and `flask db check` compare, and how migrations are written.

Migrations are often generated with SQLite and then run on PostgreSQL, on tables with rows. Types are therefore written
in a form that both databases support, and a new NOT NULL column gets a value for existing rows.
"""

import ast
import json
import logging
import re
from enum import Enum
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import comparators, renderers
from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.dialects import postgresql, sqlite

from app.cli.schema_changes import has_autoincrement
from app.database import UtcDateTime

log = logging.getLogger("alembic.env")

CREATE_TABLE = re.compile(r"\bcreate table (?:if not exists )?[\"`]?(\w+)", re.IGNORECASE)

# The values for existing rows of new NOT NULL columns without a default, by the Python type of the column.
NEUTRAL: dict[str, Any] = {
    "bool": "0",
    "bytes": "",
    "date": "1970-01-01",
    "datetime": sa.func.now(),
    "Decimal": "0",
    "float": "0",
    "int": "0",
    "list": "{}",
    "str": "",
    "time": "00:00:00",
    "UUID": "0" * 32,
}


def options(script: ScriptDirectory, metadata: sa.MetaData) -> dict[str, Any]:
    """Return the arguments of context.configure() that control comparison and rendering."""
    tables, names = _made_by_migrations(script)

    def include_name(name: str | None, kind: str, parents: Any) -> bool:
        return kind != "table" or name in metadata.tables or name in tables

    def include_object(item: Any, name: str | None, kind: str, is_reflected: bool, counterpart: Any) -> bool:
        is_unknown = is_reflected and counterpart is None and kind in {"column", "index"}
        return not is_unknown or name in names or (kind == "index" and str(name).startswith(f"ix_{item.table.name}_"))

    def process(context: MigrationContext, revision: Any, directives: list[Any]) -> None:
        options = context.config and context.config.cmd_opts
        if getattr(options, "autogenerate", False) and directives[0].upgrade_ops.is_empty():
            directives[:] = []
            log.info("The models have not changed: no migration was created.")
        for directive in directives:
            _fill_existing_rows(directive.upgrade_ops, metadata)
            _fill_existing_rows(directive.downgrade_ops, None)

    return {
        "include_name": include_name,
        "include_object": include_object,
        "process_revision_directives": process,
        "render_item": render,
    }


def _made_by_migrations(script: ScriptDirectory) -> tuple[set[Any], set[str]]:
    """Return the tables that migrations create, and all names in migrations. Other tables belong to other programs."""
    tables: set[Any] = set()
    names: set[str] = set()
    for step in script.walk_revisions():
        nodes = list(ast.walk(ast.parse(Path(step.path).read_text("utf-8"))))
        texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
        names |= texts
        tables.update(*(CREATE_TABLE.findall(text) for text in texts))
        for call in (node for node in nodes if isinstance(node, ast.Call)):
            function = getattr(call.func, "attr", "")
            if function in {"create_table", "rename_table"}:
                given = [*call.args[: 1 + (function == "rename_table")], *(word.value for word in call.keywords)]
                constants = {node.value for node in given if isinstance(node, ast.Constant)}
                tables |= constants if any(isinstance(text, str) for text in constants) else texts
    return tables, names


def render(kind: str, item: Any, context: AutogenContext) -> str | bool:
    """Render a type as one of SQLAlchemy's generic types, or add the import that it needs."""
    if kind != "type":
        return False
    if isinstance(item, UtcDateTime | sa.DATETIME | sqlite.DATETIME):
        return "sa.DateTime(timezone=True)"
    if isinstance(item, postgresql.TIMESTAMP):
        return f"sa.DateTime(timezone={item.timezone})"
    if isinstance(item, postgresql.ENUM):
        return f"sa.Enum({', '.join(map(repr, item.enums))}, name={item.name!r})"
    if isinstance(item, postgresql.BYTEA) or type(item).__name__ == "BLOB":
        return "sa.LargeBinary()"
    module = type(item).__module__
    if not module.startswith("sqlalchemy."):
        context.imports.add(f"import {module}")
    return False


def _fill_existing_rows(container: Any, metadata: sa.MetaData | None) -> None:
    """Add values for existing rows to columns that become NOT NULL. For a downgrade, `metadata` is None."""
    for position, change in reversed(list(enumerate(container.ops))):
        for number, part in enumerate(change.ops if isinstance(change, ops.ModifyTableOps) else []):
            if isinstance(part, ops.AddColumnOp):
                change.ops[number] = ops.AddColumnOp(part.table_name, _filled(part, metadata), schema=part.schema)
            elif isinstance(part, ops.AlterColumnOp) and part.modify_nullable is False:
                known = metadata.tables.get(part.table_name) if metadata is not None else None
                column = known.c.get(part.column_name) if known is not None else None
                if column is None:
                    column = sa.Column(part.column_name, part.existing_type)
                if (value := _value(column)) is not None:
                    container.ops.insert(position, ops.ExecuteSQLOp(_filling(part.table_name, column.name, value)))


def _filled(part: ops.AddColumnOp, metadata: sa.MetaData | None) -> "sa.Column[Any]":
    """Return the column of an operation, with a server default if existing rows need one."""
    column = part.column
    if column.nullable or column.server_default is not None or column.computed or column.identity:
        return column
    is_key = bool(column.foreign_keys)
    value = None if is_key and column.default is None else _value(column)
    if value is None and metadata is not None:
        log.warning("%s.%s: existing rows need a value. Write a server_default.", part.table_name, column.name)
    elif metadata is not None:
        log.info("%s.%s: existing rows get %s.", part.table_name, column.name, repr(value))
    nullable = is_key and metadata is None  # after a downgrade the referenced row is unknown
    return sa.Column(column.name, column.type, nullable=nullable, server_default=value, comment=column.comment)


def _value(column: "sa.Column[Any]") -> Any:
    """Return the value for existing rows of a column, as text that both databases parse, or None."""
    default: Any = column.default
    if default is not None and default.is_scalar:
        return _as_text(column.type, default.arg)
    if isinstance(column.type, sa.Enum):
        return column.type.enums[0]
    kind: Any = column.type.impl_instance if isinstance(column.type, sa.TypeDecorator) else column.type
    if isinstance(kind, sa.JSON):
        return json.dumps(default.arg(None) if default is not None and default.is_callable else {})
    try:
        return NEUTRAL.get(kind.python_type.__name__)
    except NotImplementedError:
        return None


def _as_text(kind: Any, value: Any) -> str:
    if isinstance(value, Enum) and getattr(kind, "enum_class", None):
        return str(kind.enums[list(kind.enum_class).index(value)])
    if isinstance(value, bool):
        return str(int(value))
    return json.dumps(value) if isinstance(value, dict | list) else str(value)


def _filling(table_name: str, column_name: str, value: Any) -> str:
    """Return the UPDATE statement that sets a value in existing rows, as text for the migration."""
    filled: Any = sa.column(column_name)
    new: Any = sa.literal(value) if isinstance(value, str) else sa.func.current_timestamp()
    statement = sa.update(sa.table(table_name, filled)).where(filled.is_(None)).values({filled: new})
    return " ".join(str(statement.compile(compile_kwargs={"literal_binds": True})).split("\n"))


class RestoreAutoincrement(ops.MigrateOperation):
    """Recreate a table of SQLite that lost AUTOINCREMENT and would reuse ids."""

    def __init__(self, table_name: str) -> None:
        self.table_name = table_name

    def reverse(self) -> ops.MigrateOperation:
        return ops.ExecuteSQLOp("SELECT 1")

    def to_diff_tuple(self) -> tuple[Any, ...]:
        return ("restore_autoincrement", self.table_name)


@comparators.dispatch_for("schema")
def compare_autoincrement(context: AutogenContext, upgrade_ops: ops.UpgradeOps, schemas: Any) -> None:
    """Add RestoreAutoincrement for each table of SQLite that lacks AUTOINCREMENT."""
    connection, metadata = context.connection, context.metadata
    if connection is None or connection.dialect.name != "sqlite" or not isinstance(metadata, sa.MetaData):
        return
    found = set(sa.inspect(connection).get_table_names())
    for known in metadata.sorted_tables:
        keys = list(known.primary_key)
        is_counted = len(keys) == 1 and isinstance(keys[0].type.dialect_impl(connection.dialect), sa.Integer)
        is_promised = known.dialect_options["sqlite"]["autoincrement"] and is_counted and not keys[0].foreign_keys
        if known.name in found and is_promised and not has_autoincrement(connection, known.name):
            upgrade_ops.ops.append(RestoreAutoincrement(known.name))


@renderers.dispatch_for(RestoreAutoincrement)
def render_autoincrement(context: AutogenContext, change: RestoreAutoincrement) -> list[str]:
    arguments = f"{change.table_name!r}, recreate='always', table_kwargs={{'sqlite_autoincrement': True}}"
    return [f"with op.batch_alter_table({arguments}):", "    pass"]

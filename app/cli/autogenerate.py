# mypy: ignore-errors
"""What `flask db migrate` and `flask db check` compare, and how it is written down.

A migration is often written beside one database and run on another, with rows in it: types are written so that both
have them, and each new column that has to hold something says what the rows that exist get.
"""

import ast
import json
import logging
import re
from enum import Enum as PythonEnum
from pathlib import Path

from alembic.autogenerate import comparators, renderers
from alembic.operations import ops
from sqlalchemy import (
    DATETIME,
    JSON,
    Column,
    Enum,
    Integer,
    TypeDecorator,
    column,
    func,
    inspect,
    literal,
    table,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from app.cli.schema_changes import has_autoincrement
from app.database import UtcDateTime

log = logging.getLogger("alembic.env")

CREATE_TABLE = re.compile(r"\bcreate table (?:if not exists )?[\"`]?(\w+)", re.IGNORECASE)

# What rows that exist get in a new column that must not be empty and has no default, by the Python type of its values.
NEUTRAL = {
    "bool": "0",
    "bytes": "",
    "date": "1970-01-01",
    "datetime": func.now(),
    "Decimal": "0",
    "float": "0",
    "int": "0",
    "list": "{}",
    "str": "",
    "time": "00:00:00",
    "UUID": "0" * 32,
}


def options(script, metadata):
    """Return what context.configure() needs for comparing and for writing."""
    tables, names = _made_by_migrations(script)

    def include_name(name, kind, parents):
        return kind != "table" or name in metadata.tables or name in tables

    def include_object(item, name, kind, is_reflected, counterpart):
        is_unknown = is_reflected and counterpart is None and kind in {"column", "index"}
        return not is_unknown or name in names or (kind == "index" and name.startswith(f"ix_{item.table.name}_"))

    def process(context, revision, directives):
        if getattr(context.config.cmd_opts, "autogenerate", False) and directives[0].upgrade_ops.is_empty():
            directives[:] = []
            log.info("No change in the models: no migration made.")
        for directive in directives:
            _mind_the_rows(directive.upgrade_ops, metadata)
            _mind_the_rows(directive.downgrade_ops, None)

    return {
        "include_name": include_name,
        "include_object": include_object,
        "process_revision_directives": process,
        "render_item": render,
    }


def _made_by_migrations(script):
    """Return the tables that migrations make, and everything that they name: the rest belongs to somebody else."""
    tables, names = set(), set()
    for step in script.walk_revisions():
        nodes = list(ast.walk(ast.parse(Path(step.path).read_text("utf-8"))))
        texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
        names |= texts
        tables.update(*(CREATE_TABLE.findall(text) for text in texts))
        for call in (node for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            if call.func.attr in {"create_table", "rename_table"}:
                given = [*call.args[: 1 + (call.func.attr == "rename_table")], *(word.value for word in call.keywords)]
                constants = {node.value for node in given if isinstance(node, ast.Constant)}
                tables |= constants if any(isinstance(text, str) for text in constants) else texts
    return tables, names


def render(kind, item, context):
    """Write a type so that the file runs on its own, and on the other database: with its import, or as SQLAlchemy's."""
    if kind != "type":
        return False
    if isinstance(item, UtcDateTime | DATETIME | sqlite.DATETIME):
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


def _mind_the_rows(container, metadata):
    """Let rows that exist pass: columns that must not be empty get a value. `metadata` is None on the way down."""
    for position, change in reversed(list(enumerate(container.ops))):
        for number, part in enumerate(change.ops if isinstance(change, ops.ModifyTableOps) else []):
            if isinstance(part, ops.AddColumnOp):
                change.ops[number] = ops.AddColumnOp(part.table_name, _filled(part, metadata), schema=part.schema)
            elif isinstance(part, ops.AlterColumnOp) and part.modify_nullable is False:
                known = metadata.tables.get(part.table_name) if metadata is not None else None
                column = known.c.get(part.column_name) if known is not None else None
                column = Column(part.column_name, part.existing_type) if column is None else column
                if (value := _value(column)) is not None:
                    container.ops.insert(position, ops.ExecuteSQLOp(_filling(part.table_name, column.name, value)))


def _filled(part, metadata):
    column = part.column
    if column.nullable or column.server_default is not None or column.computed or column.identity:
        return column
    is_key = bool(column.foreign_keys)
    value = None if is_key and column.default is None else _value(column)
    if value is None and metadata is not None:
        log.warning("%s.%s: rows that exist need a value. Write a server_default.", part.table_name, column.name)
    elif metadata is not None:
        log.info("%s.%s: rows that exist get %s.", part.table_name, column.name, repr(value))
    nullable = is_key and metadata is None  # on the way down nobody knows whose it was
    return Column(column.name, column.type, nullable=nullable, server_default=value, comment=column.comment)


def _value(column):
    """Return what rows that exist get in this column: text that both databases read, or None."""
    default = column.default
    if default is not None and default.is_scalar:
        return _as_text(column.type, default.arg)
    if isinstance(column.type, Enum):
        return column.type.enums[0]
    kind = column.type.impl_instance if isinstance(column.type, TypeDecorator) else column.type
    if isinstance(kind, JSON):
        return json.dumps(default.arg(None) if default is not None and default.is_callable else {})
    try:
        return NEUTRAL.get(kind.python_type.__name__)
    except NotImplementedError:
        return None


def _as_text(kind, value):
    if isinstance(value, PythonEnum) and getattr(kind, "enum_class", None):
        return kind.enums[list(kind.enum_class).index(value)]
    if isinstance(value, bool):
        return str(int(value))
    return json.dumps(value) if isinstance(value, dict | list) else str(value)


def _filling(table_name, column_name, value):
    """Return the statement that gives the rows that exist a value, as it stands in the migration."""
    filled = column(column_name)
    new = literal(value) if isinstance(value, str) else func.current_timestamp()
    statement = update(table(table_name, filled)).where(filled.is_(None)).values({filled: new})
    return " ".join(str(statement.compile(compile_kwargs={"literal_binds": True})).split("\n"))


class RestoreAutoincrement(ops.MigrateOperation):
    """SQLite: a table that lost AUTOINCREMENT would use ids a second time. It is made anew."""

    def __init__(self, table_name):
        self.table_name = table_name

    def reverse(self):
        return ops.ExecuteSQLOp("SELECT 1")

    def to_diff_tuple(self):
        return ("restore_autoincrement", self.table_name)


@comparators.dispatch_for("schema")
def compare_autoincrement(context, upgrade_ops, schemas):
    if context.dialect.name != "sqlite":
        return
    found = set(inspect(context.connection).get_table_names())
    for known in context.metadata.sorted_tables:
        keys = list(known.primary_key)
        is_counted = len(keys) == 1 and isinstance(keys[0].type.dialect_impl(context.dialect), Integer)
        is_promised = known.dialect_options["sqlite"]["autoincrement"] and is_counted and not keys[0].foreign_keys
        if known.name in found and is_promised and not has_autoincrement(context.connection, known.name):
            upgrade_ops.ops.append(RestoreAutoincrement(known.name))


@renderers.dispatch_for(RestoreAutoincrement)
def render_autoincrement(context, change):
    arguments = f"{change.table_name!r}, recreate='always', table_kwargs={{'sqlite_autoincrement': True}}"
    return [f"with op.batch_alter_table({arguments}):", "    pass"]

"""No private name of a library is touched: not `library._name`, nor its special methods, nor Flask's registries.

A private name counts as ours if a class or module of this project defines it.
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = [
    path
    for pattern in ("*.py", "app/**/*.py", "settings/**/*.py", "tests/**/*.py", "bench/*.py", "migrations/env.py")
    for path in ROOT.glob(pattern)
    if "node_modules" not in path.parts
]

PRIVATE = re.compile(r"_[a-z]\w*$|_[A-Z]\w*$")
DOCUMENTED = {  # private in form only: their libraries document them for use
    "_asdict": "NamedTuple",
    "_fields": "NamedTuple",
    "_get_current_object": "Werkzeug, LocalProxy",
    "_mapping": "SQLAlchemy, Row",
    "_replace": "NamedTuple",
    "_value_": "enum, in __new__",
}
REGISTRIES = {"after_request_funcs", "before_request_funcs", "error_handler_spec", "teardown_request_funcs"}
SPECIAL = {f"__{name}__" for name in ("call", "class", "dict", "enter", "eq", "get", "hash", "init", "new", "set")}
BY_NAME = {"delattr", "getattr", "hasattr", "setattr"}  # whose second argument is a name

BROKEN = [
    "rule._compile_builder(True)",
    "Rule._compile_builder = faster",
    "getattr(engine, '_compiled_cache')",
    "monkeypatch.setattr(engine, '_compiled_cache', {})",
    "DefaultDialect.__hash__ = lambda self: 1",
    "from flask_login.utils import _cookie_digest",
    "super()._load_form_data()",
    "app.before_request_funcs[None].clear()",
]
ALLOWED = [
    "class Mine:\n    def __init__(self): self._own = 1\nmine._own",
    "current_app._get_current_object()",
    "row._mapping",
    "from flask_babel import gettext as _\n_('text')",
]


def touched(tree):
    """Yield the private names that code uses of something else than `self` and `cls`, with their line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            is_own = isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}
            is_special = node.attr in SPECIAL and isinstance(node.ctx, ast.Store)
            if not is_own and (PRIVATE.match(node.attr) or node.attr in REGISTRIES or is_special):
                yield node.lineno, node.attr
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, alias.name) for alias in node.names if PRIVATE.match(alias.name))
        elif isinstance(node, ast.Call) and len(node.args) > 1 and isinstance(node.args[1], ast.Constant):
            function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if function in BY_NAME and PRIVATE.match(str(node.args[1].value)):
                yield node.lineno, node.args[1].value


def defined(tree):
    """Yield the private names that code defines: functions, variables, and attributes of `self` and `cls`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and isinstance(node.value, ast.Name):
            yield from [node.attr] if node.value.id in {"self", "cls"} else []


def test_no_private_name_of_a_library_is_touched():
    trees = {path: ast.parse(path.read_text("utf-8")) for path in FILES}
    ours = {name for tree in trees.values() for name in defined(tree)} | DOCUMENTED.keys()
    found = [
        f"{path.relative_to(ROOT)}:{line} {name}"
        for path, tree in trees.items()
        for line, name in touched(tree)
        if name not in ours
    ]
    assert found == []


@pytest.mark.parametrize("code", BROKEN)
def test_a_private_name_of_a_library_is_found(code):
    tree = ast.parse(code)
    assert {name for _, name in touched(tree)} - {*defined(tree)} - DOCUMENTED.keys()


@pytest.mark.parametrize("code", ALLOWED)
def test_our_own_and_documented_private_names_are_allowed(code):
    tree = ast.parse(code)
    assert not {name for _, name in touched(tree)} - {*defined(tree)} - DOCUMENTED.keys()

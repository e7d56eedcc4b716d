"""Which views, commands and jobs can send which signals, read from the source of the application."""

import ast

from app.models import AuditAction
from support.clients import ROOT
from support.ours import is_ours, module_of

ENTRIES = {"route", "get", "post", "command", "register"}  # names of the decorators of views, commands and jobs


def ways(sources=None):
    """Return pairs of a signal and the view, command or job that leads to it through any number of functions."""
    sources = {module_of(path): path.read_text("utf-8") for path in ROOT.glob("app/**/*.py")} | (sources or {})
    functions = {}
    for module, source in sources.items():
        tree = ast.parse(source)
        names = _names(module, tree)
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef):
                functions[f"{module}.{function.name}"] = (function, names)
    sent = {name: _sends(function) for name, (function, _) in functions.items()}
    used = {name: {*_uses(function, names)} & {*functions} for name, (function, names) in functions.items()}
    grown = True
    while grown:
        more = {name: sent[name].union(*(sent[other] for other in used[name])) for name in functions}
        grown, sent = more != sent, more
    return {
        (signal, name.removeprefix("app."))
        for name, (function, _) in functions.items()
        if is_ours(name) and any(_last(decorator) in ENTRIES for decorator in function.decorator_list)
        for signal in sent[name]
    }


def _names(module, tree):
    """Return what each name of a module stands for."""
    names = {node.name: f"{module}.{node.name}" for node in tree.body if isinstance(node, ast.FunctionDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _uses(function, names):
    parameters = {node.arg for node in ast.walk(function) if isinstance(node, ast.arg)}
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and node.id not in parameters:
            yield names.get(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{names.get(node.value.id)}.{node.attr}"


def _sends(function):
    """Return the signals that a function sends itself, or by an audit action that it records."""
    found = set()
    for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
        attributes = [node for part in call.args[1:2] for node in ast.walk(part) if isinstance(node, ast.Attribute)]
        if _last(call) == "send_after_commit":
            found |= {node.attr for node in attributes}
        elif _last(call) == "record":
            actions = [AuditAction.__members__.get(node.attr) for node in attributes]
            found |= {
                signal.name.replace("-", "_") for action in filter(None, actions) for signal in action.facts.signals
            }
    return found


def _last(node):
    """Return the last name of `a.b.c(…)`, `b.c` or `c`."""
    node = node.func if isinstance(node, ast.Call) else node
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", None)

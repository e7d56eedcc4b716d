"""Evaluates, when a template is compiled, what is the same on every page of a language.

These are texts, settings, switches, the URLs of pages and files, and icons. Jinja joins them with the markup around
them into one string.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from jinja2 import Environment, nodes
from jinja2.filters import FILTERS
from jinja2.tests import TESTS
from jinja2.visitor import NodeTransformer

COMPONENTS = "components.html"
CONSTANT_MACROS = {"icon", "last_used", "logo", "passkey_button"}  # of COMPONENTS, unless they read something else


class Fold(NodeTransformer):
    """Replaces constant expressions by their values, and conditions by the chosen branch.

    In development, macros are left alone, so that a changed file takes effect.

    Args:
        constants: values and functions by their names in templates. The result of a function depends on nothing but
            its arguments, the settings and the language; it is None if the function can't tell.
        macros: returns constant_macros(), for a template that imports some.
    """

    def __init__(
        self,
        environment: Environment,
        constants: Mapping[str, Any],
        macros: Callable[[], Mapping[str, Any]],
        name: str | None,
    ):
        self.environment, self.constants, self.macros = environment, constants, macros
        self.context, self.known = nodes.EvalContext(environment, name), dict(constants)

    def visit_Template(self, node: nodes.Template) -> nodes.Node:
        found = list(node.find_all((nodes.Name, nodes.Import, nodes.Macro, nodes.FromImport)))
        assigned = {name for part in found for name in _assigned(part)}
        self.known = {name: value for name, value in self.constants.items() if name not in assigned}
        if not self.environment.auto_reload:
            imported = {name for part in found for name in _of_components(part)} - assigned
            self.known |= {name: macro for name, macro in self.macros().items() if name in imported} if imported else {}
        return self.generic_visit(node)

    def visit_Getattr(self, node: nodes.Getattr) -> nodes.Node:
        try:
            return self._const(self._value(node), node)
        except nodes.Impossible:
            return self.generic_visit(node)

    def visit_Call(self, node: nodes.Call) -> nodes.Node:
        self.generic_visit(node)
        function = self.known.get(node.node.name) if isinstance(node.node, nodes.Name) else None
        if function is None or node.dyn_args or node.dyn_kwargs:
            return node
        try:
            arguments = [argument.as_const(self.context) for argument in node.args]
            value = function(*arguments, **dict(pair.as_const(self.context) for pair in node.kwargs))
            return node if value is None else self._const(value, node)
        except Exception:  # an error of the function belongs to the page that calls it
            return node

    def visit_Filter(self, node: nodes.Filter) -> nodes.Node:
        """Leave an application's own filter alone, since Jinja evaluates the filter of a constant only once."""
        return self.generic_visit(node) if self.environment.filters.get(node.name) is FILTERS.get(node.name) else node

    def visit_Test(self, node: nodes.Test) -> nodes.Node:
        return self.generic_visit(node) if self.environment.tests.get(node.name) is TESTS.get(node.name) else node

    def visit_If(self, node: nodes.If) -> nodes.Node | list[nodes.Node]:
        if node.find(nodes.Block):  # exists in any case
            return self.generic_visit(node)
        for alternative in reversed(node.elif_):
            alternative.else_, node.else_ = node.else_, [alternative]
        node.elif_, node.test = [], self.visit(node.test)
        try:
            chosen = node.body if node.test.as_const(self.context) else node.else_
        except nodes.Impossible:
            return self.generic_visit(node)
        return [folded for child in chosen for folded in self.visit_list(child)]

    def generic_visit(self, node: nodes.Node, *args: Any, **options: Any) -> nodes.Node:
        """Fold the parts of a node, and join neighbouring outputs, since Jinja joins the constants of one output."""
        super().generic_visit(node, *args, **options)
        for _, value in node.iter_fields():
            if isinstance(value, list):
                value[:] = _joined(value)
        return node

    def _value(self, node: nodes.Node) -> Any:
        if isinstance(node, nodes.Name) and node.name in self.known:
            return self.known[node.name]
        if isinstance(node, nodes.Getattr):
            return self.environment.getattr(self._value(node.node), node.attr)
        raise nodes.Impossible

    def _const(self, value: Any, node: nodes.Node) -> nodes.Const:
        if isinstance(value, float) and not math.isfinite(value):  # has no literal
            raise nodes.Impossible
        return nodes.Const.from_untrusted(value, lineno=node.lineno, environment=self.environment)


def constant_macros(environment: Environment, constants: Iterable[str]) -> dict[str, Any]:
    """Return the macros of components.html whose output depends only on arguments, settings and the language."""
    source = cast(Any, environment.loader).get_source(environment, COMPONENTS)[0]
    macros = {macro.name: macro for macro in environment.parse(source, COMPONENTS).find_all(nodes.Macro)}
    module = environment.get_template(COMPONENTS).module
    names = CONSTANT_MACROS & macros.keys()
    return {name: getattr(module, name) for name in names if _reads(name, macros) <= {*constants}}


def _assigned(node: nodes.Node) -> set[str]:
    """Return the names to which a part of a template assigns something, except components that it imports."""
    if isinstance(node, nodes.Name):
        return {node.name} if node.ctx != "load" else set()
    if isinstance(node, nodes.FromImport):
        return {name if isinstance(name, str) else name[1] for name in node.names} - _of_components(node)
    return {node.target if isinstance(node, nodes.Import) else cast(nodes.Macro, node).name}


def _of_components(node: nodes.Node) -> set[str]:
    """Return the names of the constant macros that a part of a template imports."""
    if not isinstance(node, nodes.FromImport) or node.template != nodes.Const(COMPONENTS):
        return set()
    return {name for name in node.names if isinstance(name, str)} & CONSTANT_MACROS


def _reads(name: str, macros: Mapping[str, nodes.Macro], *outer: str) -> set[str]:
    """Return the names that a macro reads, and that the macros beside it read for it."""
    names = list(macros[name].find_all(nodes.Name))
    read = {part.name for part in names if part.ctx == "load"} - {part.name for part in names if part.ctx != "load"}
    called = read & macros.keys() - {*outer}
    return (read - macros.keys()).union(*(_reads(other, macros, name, *outer) for other in called))


def _joined(parts: list[Any]) -> list[Any]:
    joined: list[Any] = []
    for part in parts:
        if isinstance(part, nodes.Output) and joined and isinstance(joined[-1], nodes.Output):
            joined[-1].nodes.extend(part.nodes)
        else:
            joined.append(part)
    return joined

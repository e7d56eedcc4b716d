"""Evaluates, when a template is compiled, what is the same on every page of a language.

These are texts, settings, switches, the URLs of pages and files, and icons. Jinja joins them with the markup around
them into one string.
"""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from jinja2 import Environment, TemplateNotFound, nodes
from jinja2.visitor import NodeTransformer

# Of components.html. Their output depends only on arguments, settings and the language.
CONSTANT_MACROS = {"icon", "last_used", "logo", "passkey_button"}


class Fold(NodeTransformer):
    """Replaces constant expressions by their values, conditions by the chosen branch, and includes by their content.

    In development, includes and macros are left alone, so that a changed file takes effect.

    Args:
        constants: values and functions by their names in templates. The result of a function depends on nothing but
            its arguments, the settings and the language; it is None if the function can't tell.
        names: of the template, and before it of those that include it.
    """

    def __init__(self, environment: Environment, constants: Mapping[str, Any], *names: str | None):
        self.environment, self.constants, self.names = environment, constants, names
        self.context, self.known = nodes.EvalContext(environment, names[-1]), dict(constants)

    def visit_Template(self, node: nodes.Template) -> nodes.Node:
        found = list(node.find_all((nodes.Name, nodes.Import, nodes.Macro, nodes.FromImport)))
        assigned = {name for part in found for name in _assigned(part)}
        self.known = {name: value for name, value in self.constants.items() if name not in assigned}
        if not self.environment.auto_reload:
            for part in (part for part in found if isinstance(part, nodes.FromImport)):
                self.known |= {name: macro for name, macro in self._macros(part) if name not in assigned}
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

    def visit_If(self, node: nodes.If) -> nodes.Node | list[nodes.Node]:
        for alternative in reversed(node.elif_):
            alternative.else_, node.else_ = node.else_, [alternative]
        node.elif_, node.test = [], self.visit(node.test)
        try:
            chosen = node.body if node.test.as_const(self.context) else node.else_
        except nodes.Impossible:
            return self.generic_visit(node)
        return [folded for child in chosen for folded in self.visit_list(child)]

    def visit_Include(self, node: nodes.Include) -> nodes.Node:
        loader = self.environment.loader
        name = node.template.value if isinstance(node.template, nodes.Const) else None
        if self.environment.auto_reload or loader is None or not node.with_context or not isinstance(name, str):
            return self.generic_visit(node)
        if name in self.names:  # it includes itself, as for the replies to a comment
            return node
        try:
            tree = self.environment.parse(loader.get_source(self.environment, name)[0], name)
        except TemplateNotFound:  # only a page that shows it fails
            return node
        if tree.find((nodes.Extends, nodes.Block)):
            return node
        content = Unused().visit(Fold(self.environment, self.constants, *self.names, name).visit(tree))
        return nodes.Scope(content.body).set_lineno(node.lineno, override=True)

    def generic_visit(self, node: nodes.Node, *args: Any, **options: Any) -> nodes.Node:
        """Fold the parts of a node, and join neighbouring outputs, since Jinja joins the constants of one output."""
        super().generic_visit(node, *args, **options)
        for _, value in node.iter_fields():
            if isinstance(value, list):
                value[:] = _joined(value)
        return node

    def _macros(self, node: nodes.FromImport) -> Iterator[tuple[str, Any]]:
        template = node.template.value if isinstance(node.template, nodes.Const) else None
        for name in CONSTANT_MACROS if template == "components.html" else ():
            if name in node.names:
                yield name, getattr(self.environment.get_template(template).module, name)

    def _value(self, node: nodes.Node) -> Any:
        if isinstance(node, nodes.Name) and node.name in self.known:
            return self.known[node.name]
        if isinstance(node, nodes.Getattr):
            return self.environment.getattr(self._value(node.node), node.attr)
        raise nodes.Impossible

    def _const(self, value: Any, node: nodes.Node) -> nodes.Const:
        return nodes.Const.from_untrusted(value, lineno=node.lineno, environment=self.environment)


class Unused(NodeTransformer):
    """Drops the imports of names that an included template does not use any more."""

    def visit_Template(self, node: nodes.Template) -> nodes.Node:
        self.used = {*_used(node)}
        return node if node.find(nodes.Include) else self.generic_visit(node)

    def visit_Scope(self, node: nodes.Scope) -> nodes.Node:
        return node  # the content of another template, which is done

    def visit_FromImport(self, node: nodes.FromImport) -> nodes.Node | None:
        return node if _imported(node) & self.used else None


def _used(node: nodes.Node) -> Iterator[str]:
    """Yield the names that a part of a template uses, except those that an included template imports for itself."""
    if isinstance(node, nodes.Name) and node.ctx == "load":
        yield node.name
    own = (
        {name for part in node.body if isinstance(part, nodes.FromImport) for name in _imported(part)}
        if isinstance(node, nodes.Scope)
        else set()
    )
    for child in node.iter_child_nodes():
        yield from (name for name in _used(child) if name not in own)


def _imported(node: nodes.FromImport) -> set[str]:
    return {name if isinstance(name, str) else name[1] for name in node.names}


def _assigned(node: nodes.Node) -> set[str]:
    """Return the names to which a part of a template assigns something, except those that it imports by themselves."""
    if isinstance(node, nodes.Name):
        return {node.name} if node.ctx != "load" else set()
    if isinstance(node, nodes.FromImport):
        return {name[1] for name in node.names if not isinstance(name, str)}
    return {node.target if isinstance(node, nodes.Import) else cast(nodes.Macro, node).name}


def _joined(parts: list[Any]) -> list[Any]:
    joined: list[Any] = []
    for part in parts:
        if isinstance(part, nodes.Output) and joined and isinstance(joined[-1], nodes.Output):
            joined[-1].nodes.extend(part.nodes)
        else:
            joined.append(part)
    return joined

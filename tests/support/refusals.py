"""What can refuse a login, collected from the code: from all functions that a view may call on the way to a session."""

import ast
from collections import defaultdict

from support.clients import ROOT

GUARDS = {"before_app_request", "before_request"}
REFUSING = {"abort", "fail", "sso_flow.fail", "errors.invalid_link", "audit.refused", "hold_back"}
FAILURES = ("FAILED", "COMPROMISED", "COPIED")
LOGS_IN = {"app.auth.login_flow.complete_login", "app.auth.login_flow._start_session"}
# Views on the way to a login that don't log in themselves.
ON_THE_WAY = {
    "app.auth.magic_links.magic_link",
    "app.auth.passkeys.passkey_request_options",
    "app.auth.passwords.request_reset",
    "app.auth.passwords.reset_password",
    "app.auth.sso.start_sso",
}
MAX_IMPORTS = 5  # of one name, from module to module
REGISTRATION = "app.auth.registration.register"  # which logs in new accounts


class Code:
    """The functions of the application, and what each mentions."""

    def __init__(self):
        self.functions, self.methods, self.imports = {}, defaultdict(list), {}
        self.hooks, self.graph = set(), {}
        for path in (ROOT / "app").rglob("*.py"):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            self._read(name, ast.parse(path.read_text()))

    def _read(self, module, tree):
        known = self.imports[module] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                known.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
            elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") in GUARDS and node.args:
                self.hooks.add(f"{module}.{ast.unparse(node.args[0])}")
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                self.functions[f"{module}.{node.name}"] = module, node
            for method in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(method, ast.FunctionDef):
                    name = f"{module}.{node.name}.{method.name}"
                    self.functions[name] = module, method
                    self.methods[method.name].append(name)

    def mentioned(self, function):
        """Yield the functions and classes that a function may call."""
        module, node = self.functions[function]
        for part in ast.walk(node):
            if isinstance(part, ast.Name):
                yield from self._named(module, part.id)
            elif isinstance(part, ast.Attribute):
                of = self.imports[module].get(getattr(part.value, "id", ""))
                if of in self.imports:
                    yield from self._named(of, part.attr)
                elif f"{of}.{part.attr}" in self.functions:
                    yield f"{of}.{part.attr}"
                else:  # a method of some object
                    yield from (name for name in self.methods[part.attr] if name.startswith(("app.models", "app.sec")))

    def _named(self, module, name):
        found = f"{module}.{name}"
        for _ in range(MAX_IMPORTS):
            if found in self.functions:
                yield found
                return
            module, _, name = found.rpartition(".")
            found = self.imports.get(module, {}).get(name, "")

    def reached(self, function):
        seen, new = {function}, [function]
        while new:
            mentioned = new.pop()
            if mentioned not in self.graph:
                self.graph[mentioned] = {*self.mentioned(mentioned)}
            more = self.graph[mentioned] - seen
            seen |= more
            new += more
        return seen

    def decorators(self, function):
        return [ast.unparse(one) for one in getattr(self.functions[function][1], "decorator_list", ())]

    def login_views(self):
        views = {name for name in self.functions if any(".route(" in one for one in self.decorators(name))}
        assert views >= ON_THE_WAY
        assert REGISTRATION in views
        return {name for name in views if self.reached(name) & LOGS_IN} - {REGISTRATION} | ON_THE_WAY

    def on_the_way(self):
        """Return all functions that may run before a login succeeds, also those that run before each request."""
        hooks = {
            name
            for name in self.functions
            if not name.startswith("app.admin.")
            and any(guard in one for one in self.decorators(name) for guard in GUARDS)
        }
        roots = self.login_views() | hooks | self.hooks & self.functions.keys()
        return set().union(*map(self.reached, roots))


def refusals():
    """Return how many refusals each function on the way to a login has."""
    code = Code()
    found = {name: _refusals(code.functions[name][1]) for name in code.on_the_way()}
    return {name.removeprefix("app."): number for name, number in found.items() if number}


def policies():
    """Return the rate limits that the views and services on the way to a login name."""
    code, found = Code(), {"requests"}  # which every limited view has
    for name in code.on_the_way():
        for call in ast.walk(code.functions[name][1]):
            if isinstance(call, ast.Call) and ast.unparse(call.func).rpartition(".")[2] in {
                "rate_limited",
                "hit",
                "allows",
            }:
                given = [*call.args, *(word.value for word in call.keywords if word.arg != "methods")]
                found |= {one.value for part in given for one in ast.walk(part) if isinstance(one, ast.Constant)}
    return found


def _refusals(node):
    if isinstance(node, ast.ClassDef):  # its methods count alone; what remains are the validators of a form
        node = ast.Module([part for part in node.body if not isinstance(part, ast.FunctionDef)], [])
    return sum(map(_is_refusal, ast.walk(node)))


def _is_refusal(node):
    if isinstance(node, ast.Raise):
        return node.exc is not None
    if isinstance(node, ast.Assign):
        return ast.unparse(node.targets[0]).endswith(".errors")
    if not isinstance(node, ast.Call):
        return False
    name, text = ast.unparse(node.func), ast.unparse(node)
    if name == "flash":
        return not text.endswith("'success')")
    if name == "audit.record":
        return any(word in text for word in FAILURES)
    return name in REFUSING or name.endswith("errors.append")

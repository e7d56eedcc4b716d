"""The register of what stands in the Flask session and in flask.g: nothing else uses either."""

import ast
import re
from dataclasses import fields
from pathlib import Path

import pytest
from support.ours import is_ours, module_of

from app.request_state import (
    MagicLinkRequest,
    PendingLogin,
    RequestState,
    SessionKey,
)

ROOT = Path(__file__).parent.parent
REGISTER = ROOT / "app/request_state.py"
LIBRARIES = {"_id", "_fresh", "_permanent", "_flashes", "_user_id", "csrf_token"}  # keys that they set themselves
SOURCES = {path: ast.parse(path.read_text("utf-8")) for path in ROOT.glob("app/**/*.py") if is_ours(module_of(path))}


def session_keys(tree):
    """Return how each key of the Flask session is written, in `session[...]`, `... in session` and its methods."""

    def is_session(node):
        return isinstance(node, ast.Name) and node.id == "session"

    calls = {node.func: node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and is_session(node.value):
            yield ast.unparse(node.slice)
        elif isinstance(node, ast.Compare) and is_session(node.comparators[0]):
            yield ast.unparse(node.left)
        elif isinstance(node, ast.Attribute) and node.attr in {"get", "pop", "setdefault"} and is_session(node.value):
            yield ast.unparse(calls[node].args[0])


def imports(tree, module):
    """Return the names that a module imports from another one."""
    found = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == module)
    return {alias.name for node in found for alias in node.names}


def test_every_key_of_the_flask_session_is_in_the_register():
    names = {f"SessionKey.{key.name}" for key in SessionKey} | {"key", "other", "name"}  # loops over such keys
    written = {
        key: path.name
        for path, tree in SOURCES.items()
        if "session" in imports(tree, "flask")
        for key in session_keys(tree)
    }
    assert {key: path for key, path in written.items() if key not in names} == {}


def test_every_key_in_the_register_is_used():
    code = "".join(path.read_text("utf-8") for path in SOURCES if path != REGISTER)
    assert [key.name for key in SessionKey if key not in LIBRARIES and f"SessionKey.{key.name}" not in code] == []


def test_only_the_register_uses_flask_g():
    assert [path.name for path, tree in SOURCES.items() if "g" in imports(tree, "flask")] == [REGISTER.name]
    templates = [path.name for path in ROOT.glob("app/templates/**/*") if re.search(r"\{[{%][^}]*\bg\.", _text(path))]
    assert templates == []


def test_every_attribute_of_the_request_state_is_declared_and_used():
    declared = {field.name for field in fields(RequestState)}
    used = {
        node.attr
        for path, tree in SOURCES.items()
        if "state" in imports(tree, "app.request_state")
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "state"
    }
    assert used == declared


def test_what_the_session_holds_of_a_pending_login_comes_back_as_it_was(app):
    pending = PendingLogin(1, 2, 3.5, "password", True, "/account", None, "a challenge")
    with app.test_request_context():
        assert (PendingLogin.load(SessionKey.TWO_FACTOR), MagicLinkRequest.load(SessionKey.MAGIC_LINK)) == (None, None)
        pending.store(SessionKey.TWO_FACTOR)
        MagicLinkRequest("a challenge", False).store(SessionKey.MAGIC_LINK)
        assert PendingLogin.load(SessionKey.TWO_FACTOR) == pending
        assert MagicLinkRequest.load(SessionKey.MAGIC_LINK) == MagicLinkRequest("a challenge", False)


@pytest.mark.parametrize("stored", [{"id": "a challenge", "user": 1}, {"challenge_id": "x"}])
def test_records_of_another_release_in_the_session_are_ignored(client, ada, stored):
    with client.session_transaction() as session:
        session.update({SessionKey.MAGIC_LINK: stored, SessionKey.TWO_FACTOR: stored})
        session.update({SessionKey.DEVICE_VERIFICATION: stored})
    for address in ("/auth/magic-link/sent", "/auth/two-factor/verify", "/auth/verify-device"):
        assert client.get(address).status_code == 302, address
    assert client.log_in(ada).location == "/"


def _text(path):
    return path.read_text("utf-8") if path.is_file() else ""

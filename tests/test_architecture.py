"""The floors of the house, as data; imports are read wherever they stand, in functions and under TYPE_CHECKING too.

A rule is a function over `{module: source}` that lists what breaks it. BROKEN has ways to break each.
"""

import ast
import re
from fnmatch import fnmatch
from functools import cache, wraps
from graphlib import CycleError, TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path

import pytest

FLOORS = {
    6: ["flasky", "gunicorn.conf"],
    5: ["app"],  # the assembly, app/__init__.py
    4: ["app.auth", "app.main", "app.dev", "app.cli"],  # entry points
    3.5: ["app.web"],  # request plumbing
    3: ["app.accounts"],  # services
    2: ["app.email", "app.security", "app.request_state"],  # tools
    1: ["app.models"],
    0: [
        "config",
        "settings",
        "app.connections",
        "app.extensions",
        "app.clock",
        "app.signals",
        "app.security.signing",
        "app.security.token_purposes",
        "app.database",
        "app.security.user_agents",
        "app.security.hashing",
        "app.security.remote",
        "app.schema",
    ],  # foundation
}
FLOOR = {room: floor for floor, rooms in FLOORS.items() for room in rooms}

SHARED_IN_AUTH = {
    f"app.auth.{name}"
    for name in (
        "access",
        "account_state",
        "blueprint",
        "forms",
        "login_flow",
        "next_url",
        "registration_forms",
        "sso_flow",
    )
}
OPEN_TO_ALL_DOORS = {"app.auth.access", "app.auth.login_flow", "app.auth.forms"}  # an application's own packages, too

FLASK_ON_FLOOR = {3: ["flask.current_app"], 1: ["flask.current_app"], 0: ["flask.current_app"]}  # elsewhere all of it
MORE_FLASK = {
    "app.models": ["flask_login.UserMixin"],
    "app.extensions": ["flask_*", "flask.Flask"],
    "app.signals": ["flask_sqlalchemy.session.Session"],
}

WITHOUT_FLASK = {"config", "settings"}

HOMES = {  # of libraries: who may import them
    "authlib": {
        "app.security.oidc",
        "app.security.oidc.claims",
        "app.security.oidc.token_endpoint",
        "app.dev.mock_provider",
    },
    "cryptography": {"app.security.signing"},
    "authlib.jose": set(),
    "email_validator": {"app.models.logins", "settings.domains"},
    "joserfc": {
        "app.security.signing",
        "app.security.oidc",
        "app.security.oidc.discovery",
        "app.security.oidc.token_endpoint",
        "app.dev.mock_provider",
    },
    "flask_login.login_user": {"app.auth.login_flow"},  # the one way in
    "flask_limiter": set(),
    "random": set(),  # secrets come from `secrets`
    "limits": {f"app.security.rate_limits{name}" for name in ("", ".counters", ".policies", ".report", ".storage")},
    "pyotp": {"app.accounts.authenticators"},
    "segno": {"app.auth.two_factor"},
    "smtplib": {"app.email.delivery", "app.cli.doctor_services"},
    "ssl": {"app.email.delivery", "app.cli.doctor_services"},
    "webauthn": {"app.accounts.passkey_ceremonies"},
    "werkzeug.security": {"app.security.hashing", "app.models.recovery_code"},
    "ua_parser": {"app.security.user_agents"},
    "zxcvbn": {"app.accounts.passwords"},
}

COMMITTING = {"commit", "begin"}  # a begin() block commits at its end
TRANSACTIONS_OF_THEIR_OWN = {
    "app.models.outbox_email.OutboxEmail.claim",
    "app.models.job.Job.claim",
    "app.models.job.Job._add",
    "app.accounts.sessions.touch",
    "app.accounts.jobs._commit",
    "app.accounts.jobs._record",
}


def imports(sources):
    """Pairs of a module and the full name of what it imports, such as `flask.current_app`."""
    for module, source in sources.items():
        is_package = any(other.startswith(f"{module}.") for other in sources)
        package = module if is_package else module.rpartition(".")[0]
        for node in ast.walk(parse(source)):
            if isinstance(node, ast.Import):
                yield from ((module, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                start = resolve_name("." * node.level + (node.module or ""), package)
                yield from ((module, f"{start}.{alias.name}") for alias in node.names)


def own_imports(sources):
    """Pairs of a module and one of the project's that it imports: `from app import clock` means `app.clock`."""
    for module, name in imports(sources):
        while name and name not in sources:
            name = name.rpartition(".")[0]
        if name:
            yield module, name


def forbidden(pairs):
    """Make a rule of a question about one import: where the answer is yes, the rule is broken."""

    def make_rule(question):
        @wraps(question)
        def rule(sources):
            return [f"{module} imports {name}" for module, name in pairs(sources) if question(module, name)]

        return rule

    return make_rule


def on_no_floor(sources):
    return [module for module in sources if room(module) not in FLOOR]


@forbidden(own_imports)
def import_from_above(module, target):
    """The assembly is above all but flasky.py."""
    return FLOOR.get(room(module), 0) < FLOOR.get(room(target), 0)


@forbidden(own_imports)
def import_of_what_is_behind_another_door(module, target):
    """A package's `__init__` assembles it. In `auth`, no capability knows another."""
    if not {room(module), room(target)} <= {*FLOORS[4]}:
        return False
    if room(module) != room(target):
        return target not in OPEN_TO_ALL_DOORS
    return room(module) == "app.auth" and module != "app.auth" and target not in SHARED_IN_AUTH


@forbidden(own_imports)
def import_of_what_production_lacks(module, target):
    return room(target) == "app.dev" and room(module) not in {"app", "app.dev"}


@forbidden(imports)
def too_much_flask(module, name):
    known = FLASK_ON_FLOOR.get(FLOOR.get(room(module)), ["*"]) + MORE_FLASK.get(room(module), [])
    if room(module) in WITHOUT_FLASK:
        known = []
    return fnmatch(f"{name}.", "flask[._]*") and not any(fnmatch(name, pattern) for pattern in known)


@forbidden(imports)
def library_away_from_home(module, name):
    return any(f"{name}.".startswith(f"{library}.") and module not in homes for library, homes in HOMES.items())


def circular_import(sources):
    graph = {module: set() for module in sources}
    for module, target in own_imports(sources):
        graph[module].add(target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [" imports ".join(reversed(error.args[1]))]
    return []


def commit_by_a_verb_or_noun(sources):
    lower = {module: parse(source) for module, source in sources.items() if FLOOR.get(room(module)) in {1, 3}}
    places = [place for module, tree in lower.items() for place, word in lookups(tree, module) if word in COMMITTING]
    return [place for place in places if place not in TRANSACTIONS_OF_THEIR_OWN]


parse = cache(ast.parse)


def lookups(node, place):
    """Pairs of the full name of a function, class or module, and an attribute that it asks for."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Attribute):
            yield place, child.attr
        named = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        yield from lookups(child, f"{place}.{child.name}" if named else place)


def room(module):
    """What stands on a floor: `app.auth` for `app.auth.login`."""
    return module if module in FLOOR else ".".join(module.split(".")[: 2 if module.startswith("app.") else 1])


BROKEN = [  # a module, a line that it must not have, the rule that forbids it
    ("app.helpers", "", on_no_floor),
    ("manage", "", on_no_floor),
    ("app.auth.login", "from app import create_app", import_from_above),
    ("app.accounts.sessions", "from ..auth.login_flow import complete_login", import_from_above),
    ("app.security.audit", "import app.accounts.sessions as sessions", import_from_above),
    ("app.models.user", "def late():\n    from app import mail", import_from_above),
    ("app.models", "if TYPE_CHECKING:\n    from app.security.audit import record", import_from_above),
    ("app.security.signing", "from app.models import User", import_from_above),
    ("config", "import app", import_from_above),
    ("app.auth.login", "from app.auth import registration", import_of_what_is_behind_another_door),
    ("app.auth.login", "from . import registration", import_of_what_is_behind_another_door),
    ("app.auth.login", "from app.auth import bp", import_of_what_is_behind_another_door),
    ("app.web.errors", "from app.auth.login_flow import log_out", import_from_above),
    ("app.main.views", "from app.auth.login import *", import_of_what_is_behind_another_door),
    ("app.cli", "from app import auth", import_of_what_is_behind_another_door),
    ("app.cli.users", "from app.dev import serve", import_of_what_production_lacks),
    ("flasky", "from app import dev", import_of_what_production_lacks),
    ("app.accounts.passwords", "def late():\n    import flask", too_much_flask),
    ("app.accounts.sessions", "from flask_login import UserMixin", too_much_flask),
    ("app.models.user", "from flask import current_app, request", too_much_flask),
    ("app.models.user", "from flask_login import current_user", too_much_flask),
    ("app.extensions", "from flask import *", too_much_flask),
    ("config", "from flask import current_app", too_much_flask),
    ("settings.domains", "import flask_mail", too_much_flask),
    ("settings.validation", "import app", import_from_above),
    ("app.email.outbox", "from joserfc import jws", library_away_from_home),
    ("app.email.worker", "import smtplib", library_away_from_home),
    ("app.email.worker", "import ssl", library_away_from_home),
    ("app.accounts.passwords", "from werkzeug import security", library_away_from_home),
    ("app.auth.registration", "import zxcvbn", library_away_from_home),
    ("app.auth.forms", "from email_validator import validate_email", library_away_from_home),
    ("app.auth.two_factor", "import pyotp", library_away_from_home),
    ("app.accounts.two_factor", "from cryptography.fernet import Fernet", library_away_from_home),
    ("app.accounts.two_factor", "import segno", library_away_from_home),
    ("app.auth.passkeys", "from webauthn.helpers import base64url_to_bytes", library_away_from_home),
    ("app.accounts.sso", "from authlib.integrations.flask_client import OAuth", library_away_from_home),
    ("app.extensions", "from authlib.jose import jwt", library_away_from_home),
    ("app.auth.passkeys", "from flask_login import current_user, login_user", library_away_from_home),
    ("app.accounts.recovery_codes", "import random", library_away_from_home),
    ("app.clock", "from app import tokens", circular_import),
    ("app.models.user", "if TYPE_CHECKING:\n    from app.models import UserSession", circular_import),
    ("app.accounts.sessions", "def late():\n    from app.accounts import account_deletion", circular_import),
    ("app.accounts.account_deletion", "db.session.commit()", commit_by_a_verb_or_noun),
    ("app.accounts.sessions", "def start():\n    with db.engine.begin(): ...", commit_by_a_verb_or_noun),
    (
        "app.models.outbox_email",
        "class OutboxEmail:\n    def done(self): db.session.commit()",
        commit_by_a_verb_or_noun,
    ),
]
RULES = list(dict.fromkeys(rule for _, _, rule in BROKEN))  # so no rule is without a way to break it

ROOT = Path(__file__).parent.parent
SOURCES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path.read_text("utf-8")
    for path in [*ROOT.glob("*.py"), *ROOT.glob("app/**/*.py"), *ROOT.glob("settings/**/*.py")]
}


def test_the_table_of_contents_of_the_services_is_complete():
    listed = re.findall(r"^ {4}(\w+) {2,}\w+", SOURCES["app.accounts"], re.MULTILINE)
    assert sorted(listed) == sorted(name.removeprefix("app.accounts.") for name in SOURCES if "app.accounts." in name)


@pytest.mark.parametrize("rule", RULES)
def test_the_house_has_no(rule):
    assert rule(SOURCES) == []


def test_nothing_is_shown_unescaped_but_our_own_picture():
    unescaped = re.compile(r"\|\s*safe\b|autoescape|Markup\b|render_template_string|from_string")
    files = [path for path in ROOT.glob("app/**/*") if path.suffix in {".py", ".html", ".txt"}]
    found = [line.strip() for path in files for line in path.read_text("utf-8").splitlines() if unescaped.search(line)]
    assert len(files) > 150
    assert found == ['<p class="text-center">{{ picture | safe }}</p>'], "the QR code, which segno draws"


def test_no_test_module_imports_another():
    """What several of them share belongs in tests/support/."""
    imported = re.compile(r"^ *(?:from|import) +(?:[\w.]+\.)?test_\w*.*", re.MULTILINE)
    files = list(ROOT.glob("tests/**/*.py"))
    assert [line for file in files for line in imported.findall(file.read_text("utf-8"))] == []


@pytest.mark.parametrize(("module", "line", "rule"), BROKEN)
def test_whoever_breaks_a_rule_is_named(module, line, rule):
    broken = SOURCES | {module: f"{SOURCES.get(module, '')}\n{line}"}
    assert any(module in violation for violation in rule(broken))

"""The layers of the application: which module may import which (docs/architecture.md).

A module imports from its own layer and from the layers below. Imports count wherever they stand, in functions and under
TYPE_CHECKING as well. Each rule is a function that takes `{module: source}` and returns what breaks it; BROKEN breaks
each of them. A module or package that is not listed belongs to the application built on this one: it may import
anything, and no layer below the entry points may import it.
"""

import ast
import re
from fnmatch import fnmatch
from functools import cache, wraps
from graphlib import CycleError, TopologicalSorter
from importlib.util import resolve_name

import pytest
from support.clients import ROOT

LAYERS = {  # from the highest to the lowest; a package stands for all its modules but those listed below it
    "start": ["flasky", "gunicorn.conf", "settings.failed_start"],
    "assembly": ["app"],  # app/__init__.py
    "entry points": ["app.admin", "app.auth", "app.cli", "app.dev", "app.main"],
    "web": ["app.web"],
    "diagnosis": ["app.doctor"],
    "services": ["app.accounts"],
    "tools": ["app.email", "app.security", "app.request_state"],
    "models": ["app.models"],
    "foundation": [
        "config",
        "settings",
        "app.connections",
        "app.extensions",
        "app.metrics",
        "app.clock",
        "app.csv_lines",
        "app.folding",
        "app.formats",
        "app.keyset",
        "app.languages",
        "app.templating",
        "app.signals",
        "app.time_zones",
        "app.switches",
        "app.security.signing",
        "app.security.token_purposes",
        "app.database",
        "app.orphans",
        "app.security.user_agents",
        "app.security.hashing",
        "app.security.hash_threads",
        "app.security.origin",
        "app.security.imported_hashes",
        "app.security.remote",
        "app.schema",
    ],
}
LAYER = {part: layer for layer, parts in LAYERS.items() for part in parts}
HEIGHT = {layer: -number for number, layer in enumerate(LAYERS)}

# The modules of app/auth that its other modules share; apart from these, no page imports another.
SHARED_BY_PAGES = {
    f"app.auth.{name}"
    for name in (
        "access",
        "account_state",
        "blueprint",
        "fields",
        "forms",
        "login_flow",
        "personal_data",
        "next_url",
        "passkey_offer",
        "registration_flow",
        "registration_forms",
        "settings_pages",
        "sso_flow",
    )
}

# What a layer may import of Flask and its extensions; the other layers may import all of it.
TEXTS = [f"flask_babel.{name}" for name in ("gettext", "ngettext", "pgettext", "lazy_gettext", "lazy_pgettext")]
FLASK = {layer: ["flask.current_app", *TEXTS] for layer in ("diagnosis", "services", "models", "foundation")}
MORE_FLASK = {
    "app.models": ["flask_login.UserMixin"],
    "app.extensions": ["flask_*", "flask.Flask"],
    "app.languages": ["flask_babel.*", "flask.Flask", "flask.has_app_context"],
    "app.formats": ["flask_babel.get_locale"],
    "app.templating": ["flask.templating*", "flask_babel.get_domain"],
    "app.security.origin": ["flask.request", "flask.has_request_context"],
    "app.signals": ["flask_sqlalchemy.session.Session"],
    "app.switches": ["flask.*"],
}

WITHOUT_FLASK = {"config", "settings"}

# Which of our modules may import a library; a package stands for all its modules.
HOMES = {
    "authlib": {"app.email.oauth", "app.security.oidc", "app.dev.mock_provider"},
    "altcha": {"app.security.proof_of_work"},
    "coloraide": {"settings.brand"},
    "cryptography": {"app.security.signing"},
    "authlib.jose": set(),
    "dns": {"app.doctor.sender_domain"},
    "email_validator": {"app.models.logins", "settings.domains"},
    "joserfc": {"app.email.oauth", "app.security.signing", "app.security.oidc", "app.dev.mock_provider"},
    "flask_login.login_user": {"app.auth.login_flow"},  # every login method ends there
    "flask_limiter": set(),
    "random": set(),  # secrets come from `secrets`
    "limits": {"app.security.rate_limits"},
    "passlib": {"app.security.imported_hashes"},
    "prometheus_client": {"app.metrics", "gunicorn.conf"},
    "pyotp": {"app.accounts.authenticators"},
    "pythonjsonlogger": {"settings.log_format"},
    "segno": {"app.auth.two_factor"},
    "smtplib": {
        "app.cli.mail_test",
        "app.doctor.services",
        "app.email.delivery",
        "app.email.oauth",
        "app.email.smtp_answers",
    },
    "ssl": {"app.email.delivery", "app.doctor.findings", "app.doctor.services"},
    "webauthn": {"app.accounts.passkey_ceremonies"},
    "werkzeug.security": {"app.security.hashing", "app.models.recovery_code"},
    "ua_parser": {"app.security.user_agents"},
    "zxcvbn": {"app.accounts.password_strength"},
}

COMMITTING = {"commit", "begin"}  # a begin() block commits at its end
TRANSACTIONS_OF_THEIR_OWN = {
    "app.models.outbox_email.OutboxEmail.claim",
    "app.models.outbox_email.OutboxEmail.renew",
    "app.models.job.Job.claim",
    "app.models.job.Job._add",
    "app.accounts.sessions.touch",
    "app.accounts.jobs._commit",
    "app.accounts.jobs._record",
}

MAX_LINES = 250
OF_OWNERS = {"app.models.user": 100}  # lines for an application's own columns


def part_of(module):
    """Return the listed module or package that a module belongs to: `app.auth` for `app.auth.login`."""
    while module and module not in LAYER:
        module = module.rpartition(".")[0]
    return module


def is_ours(module):
    return module in LAYER or part_of(module) not in {"", "app"}


def layer_of(module):
    """Return the layer of a module; that of an application built on this one is an entry point."""
    return LAYER[part_of(module)] if is_ours(module) else "entry points"


def imports(sources):
    """Yield each module with the full name of everything that it imports, such as `flask.current_app`."""
    for module, source in sources.items():
        is_package = any(other.startswith(f"{module}.") for other in sources)
        package = module if is_package else module.rpartition(".")[0]
        yield from ((module, name) for name in names_imported(source, package))


@cache
def names_imported(source, package):
    names = []
    for node in ast.walk(parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = resolve_name("." * node.level + (node.module or ""), package)
            names += [f"{start}.{alias.name}" for alias in node.names]
    return names


def own_imports(sources):
    """Yield each module with every module of the project that it imports: `from app import clock` means `app.clock`."""
    for module, name in imports(sources):
        while name and name not in sources:
            name = name.rpartition(".")[0]
        if name:
            yield module, name


def forbidden(pairs):
    """Make a rule of a question about one import: True breaks the rule."""

    def make_rule(question):
        @wraps(question)
        def rule(sources):
            found = ((module, name) for module, name in pairs(sources) if is_ours(module))
            return [f"{module} imports {name}" for module, name in found if question(module, name)]

        return rule

    return make_rule


@forbidden(own_imports)
def import_from_a_higher_layer(module, target):
    return HEIGHT[layer_of(module)] < HEIGHT[layer_of(target)]


@forbidden(own_imports)
def import_of_another_entry_point(module, target):
    """In app/auth, no page imports another. A package's `__init__` imports all its modules.

    app/admin uses what the pages of app/auth share.
    """
    if not {layer_of(module), layer_of(target)} <= {"entry points"} or not is_ours(target):
        return False
    if part_of(module) == "app.admin" and target in SHARED_BY_PAGES:
        return False
    if part_of(module) != part_of(target):
        return True
    return part_of(module) == "app.auth" and module != "app.auth" and target not in SHARED_BY_PAGES


@forbidden(own_imports)
def import_of_development_code(module, target):
    """Production does not import app/dev."""
    return part_of(target) == "app.dev" and part_of(module) not in {"app", "app.dev"}


@forbidden(imports)
def flask_outside_its_layers(module, name):
    part = part_of(module)
    known = [] if part in WITHOUT_FLASK else FLASK.get(layer_of(module), ["*"]) + MORE_FLASK.get(part, [])
    return fnmatch(f"{name}.", "flask[._]*") and not any(fnmatch(name, pattern) for pattern in known)


@forbidden(imports)
def library_outside_its_module(module, name):
    return any(
        f"{name}.".startswith(f"{library}.") and not any(f"{module}.".startswith(f"{home}.") for home in homes)
        for library, homes in HOMES.items()
    )


def circular_import(sources):
    graph = {module: set() for module in sources}
    for module, target in own_imports(sources):
        graph[module].add(target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [" imports ".join(reversed(error.args[1]))]
    return []


def commit_below_the_entry_points(sources):
    """Services and models do not commit, so that they combine in one transaction; the view commits."""
    lower = {module: parse(source) for module, source in sources.items() if layer_of(module) in {"services", "models"}}
    places = [place for module, tree in lower.items() for place, word in lookups(tree, module) if word in COMMITTING]
    return [place for place in places if place not in TRANSACTIONS_OF_THEIR_OWN]


def module_that_is_too_long(sources):
    lengths = {module: len(source.splitlines()) for module, source in sources.items() if is_ours(module)}
    return [f"{module}: {lines}" for module, lines in lengths.items() if lines > MAX_LINES + OF_OWNERS.get(module, 0)]


parse = cache(ast.parse)


def lookups(node, place):
    """Yield every attribute that is looked up, with the full name of the function, class or module that does so."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Attribute):
            yield place, child.attr
        named = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        yield from lookups(child, f"{place}.{child.name}" if named else place)


BROKEN = [  # a module, a line that breaks a rule there, and the rule
    ("app.accounts.sessions", "from app.garden.models import Plant", import_from_a_higher_layer),
    ("app.models.user", "from app import helpers", import_from_a_higher_layer),
    ("app.auth.login", "from app import create_app", import_from_a_higher_layer),
    ("app.accounts.sessions", "from ..auth.login_flow import complete_login", import_from_a_higher_layer),
    ("app.security.audit", "import app.accounts.sessions as sessions", import_from_a_higher_layer),
    ("app.models.user", "def late():\n    from app import mail", import_from_a_higher_layer),
    ("app.models", "if TYPE_CHECKING:\n    from app.security.audit import record", import_from_a_higher_layer),
    ("app.security.signing", "from app.models import User", import_from_a_higher_layer),
    ("config", "import app", import_from_a_higher_layer),
    ("app.auth.login", "from app.auth import registration", import_of_another_entry_point),
    ("app.auth.login", "from . import registration", import_of_another_entry_point),
    ("app.auth.login", "from app.auth import bp", import_of_another_entry_point),
    ("app.web.errors", "from app.auth.login_flow import log_out", import_from_a_higher_layer),
    ("app.main.views", "from app.auth.login import *", import_of_another_entry_point),
    ("app.main.views", "from app.auth.login_flow import log_out", import_of_another_entry_point),
    ("app.main.views", "from app.auth import access", import_of_another_entry_point),
    ("app.cli", "from app import auth", import_of_another_entry_point),
    ("app.admin", "from app.auth.login import login", import_of_another_entry_point),
    ("app.cli.users", "from app.dev import serve", import_of_development_code),
    ("flasky", "from app import dev", import_of_development_code),
    ("app.accounts.passwords", "def late():\n    import flask", flask_outside_its_layers),
    ("app.accounts.sessions", "from flask_login import UserMixin", flask_outside_its_layers),
    ("app.models.user", "from flask import current_app, request", flask_outside_its_layers),
    ("app.models.user", "from flask_login import current_user", flask_outside_its_layers),
    ("app.extensions", "from flask import *", flask_outside_its_layers),
    ("config", "from flask import current_app", flask_outside_its_layers),
    ("settings.domains", "import flask_mail", flask_outside_its_layers),
    ("settings.validation", "import app", import_from_a_higher_layer),
    ("app.email.outbox", "from joserfc import jws", library_outside_its_module),
    ("app.email.worker", "import smtplib", library_outside_its_module),
    ("app.email.worker", "import ssl", library_outside_its_module),
    ("app.accounts.passwords", "from werkzeug import security", library_outside_its_module),
    ("app.auth.registration", "import zxcvbn", library_outside_its_module),
    ("app.auth.forms", "from email_validator import validate_email", library_outside_its_module),
    ("app.auth.two_factor", "import pyotp", library_outside_its_module),
    ("app.accounts.two_factor", "from cryptography.fernet import Fernet", library_outside_its_module),
    ("app.accounts.two_factor", "import segno", library_outside_its_module),
    ("app.auth.passkeys", "from webauthn.helpers import base64url_to_bytes", library_outside_its_module),
    ("app.accounts.sso", "from authlib.integrations.flask_client import OAuth", library_outside_its_module),
    ("app.extensions", "from authlib.jose import jwt", library_outside_its_module),
    ("app.auth.passkeys", "from flask_login import current_user, login_user", library_outside_its_module),
    ("app.accounts.recovery_codes", "import random", library_outside_its_module),
    ("app.clock", "from app import tokens", circular_import),
    ("app.models.user", "if TYPE_CHECKING:\n    from app.models import UserSession", circular_import),
    ("app.accounts.sessions", "def late():\n    from app.accounts import account_deletion", circular_import),
    ("app.accounts.account_deletion", "db.session.commit()", commit_below_the_entry_points),
    ("app.accounts.sessions", "def start():\n    with db.engine.begin(): ...", commit_below_the_entry_points),
    (
        "app.models.outbox_email",
        "class OutboxEmail:\n    def done(self): db.session.commit()",
        commit_below_the_entry_points,
    ),
    ("app.accounts.sessions", "\n" * MAX_LINES, module_that_is_too_long),
]

RULES = list(dict.fromkeys(rule for _, _, rule in BROKEN))

SOURCES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path.read_text("utf-8")
    for path in [*ROOT.glob("*.py"), *ROOT.glob("app/**/*.py"), *ROOT.glob("settings/**/*.py")]
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_no_module_breaks(rule):
    assert rule(SOURCES) == []


@pytest.mark.parametrize(("module", "line", "rule"), BROKEN)
def test_a_broken_rule_is_reported(module, line, rule):
    broken = SOURCES | {module: f"{SOURCES.get(module, '')}\n{line}"}
    assert any(module in violation for violation in rule(broken))


def test_a_package_of_an_application_built_on_this_needs_no_entry_here():
    garden = "import random\nimport flask_login\nfrom app.accounts import passwords\nfrom app.auth.forms import Form"
    with_garden = SOURCES | {"app.garden": garden, "app.garden.models": "from app.extensions import db", "manage": ""}
    assert [rule.__name__ for rule in RULES if rule(with_garden)] == []


def test_templates_escape_everything_but_the_qr_code():
    unescaped = re.compile(r"\|\s*safe\b|autoescape|Markup\b|render_template_string|from_string")
    ours = [text for module, text in SOURCES.items() if is_ours(module) and module != "app.templating"]  # it overrides
    names = {"admin", "auth", "dev", "email", "errors", "main", "templates"}  # of folders; others are an application's
    templates = [path for path in ROOT.glob("app/templates/**/*.*") if path.parent.name in names]
    ours += [path.read_text("utf-8") for path in templates]
    assert len(templates) > 80
    found = [line.strip() for text in ours for line in text.splitlines() if unescaped.search(line)]
    assert found == ["<p>{{ picture | safe }}</p>"], "the QR code, which segno draws"


def test_no_test_module_imports_another():
    """What several of them share belongs in tests/support/."""
    imported = re.compile(r"^ *(?:from|import) +(?:[\w.]+\.)?test_\w*.*", re.MULTILINE)
    files = list(ROOT.glob("tests/**/*.py"))
    assert [line for file in files for line in imported.findall(file.read_text("utf-8"))] == []

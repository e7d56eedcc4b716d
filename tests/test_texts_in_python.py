"""Every text of Python that a user can read is marked for translation, in a way that pybabel extracts."""

import ast
import re

import pytest
from support.clients import ROOT
from support.ours import lines_of_owners_fields

APP = ROOT / "app"
TEXTS = set("_ _l gettext ngettext pgettext npgettext lazy_gettext lazy_ngettext lazy_pgettext".split())
MESSAGES = {name: 2 if name.endswith(("ngettext", "pgettext")) else 1 for name in TEXTS} | {"npgettext": 3}

# The packages with texts. What an application adds beside them may be in one language.
OURS = ("accounts", "admin", "auth", "email", "main", "models", "security", "web", "formats.py", "time_zones.py")
# Operators, developers and programs read these, in English: commands, logs, metrics, obstacles, names of software.
FOR_OTHERS = tuple(
    "security/oidc/ accounts/cbor.py accounts/login_obstacles/ accounts/cleanup.py accounts/email_ownership.py "
    "accounts/imports.py accounts/jobs.py email/bounces.py email/delivery.py email/message.py "
    "email/oauth.py email/rendering.py email/smtp_answers.py email/worker.py main/metrics.py main/probes.py "
    "models/__init__.py models/outbox_email.py models/personal_data.py "
    "security/hash_threads.py security/hashing.py security/imported_hashes.py security/remote.py security/signing.py "
    "security/user_agents.py web/hosts.py web/request_log.py".split()
)
FOR_OTHERS_BESIDE_TEXTS = re.compile(
    r"emailed code|^OIDC_|^_TENANTS|^It was linked at|personal_data\.register"  # obstacles of `flask users why`
    r"|^There already is an audit action|must be strings|contain NUL"  # developers
    r"|^it failed just now$|^Cookie$"  # the log, a header
)
# What these get is no text: names, SQL, the log, and reasons for the log.
CALLS = set("debug error get info record refused route split startswith text warning ParamSpec TypeVar cast".split())
FORMS = "auth/registration_forms.py"  # an application adds its fields here
PASS_ON = ("web/static_assets.py",)  # the texts of scripts
SHOWN = {"ValueError", "ValidationError", "StopValidation"}  # exceptions whose message a form shows
WORDS = re.compile(r"^[A-Z][a-z]{3,}$|\b[A-Z][a-z']+,? [a-z]+ |[a-z]{2,},? [a-z]{2,} [a-z]{2,}")
NAMED = re.compile(r"%\(\w+\)[sd]|%%")


def called(node):
    """Return the name of the function or class that a node calls, or ""."""
    function = getattr(node, "func", None)
    return getattr(function, "attr", None) or getattr(function, "id", "")


def unmarked(source):
    """Return the string constants that read like prose and that are passed to none of TEXTS."""

    def visit(node):
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        is_no_text = isinstance(node, ast.Compare | ast.Subscript) or called(node) in TEXTS | CALLS
        if is_docstring or is_no_text or (isinstance(node, ast.Raise) and called(node.exc) not in SHOWN):
            return
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and WORDS.search(node.value):
            yield node.value
        hidden = {getattr(node, name, None) for name in ("annotation", "returns")}
        keys = node.keys if isinstance(node, ast.Dict) else []
        for child in ast.iter_child_nodes(node):
            if child not in hidden and child not in keys:
                yield from visit(child)

    return list(visit(ast.parse(source)))


def mistaken(source):
    """Return the calls that pybabel can't extract, or that a translator can't work with."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):  # Python before 3.12 has no tokens for its parts
            yield from (ast.unparse(part) for part in ast.walk(node) if called(part) in TEXTS)
        if called(node) in TEXTS:
            messages = [getattr(message, "value", None) for message in node.args[: MESSAGES[called(node)]]]
            if not all(isinstance(message, str) and is_well_formed(message) for message in messages):
                yield ast.unparse(node)


def is_well_formed(message):
    is_named = not re.search(r"%[sd]|\{\w*\}", NAMED.sub("", message))
    return is_named and message == message.strip() != ""


def modules(skipped=()):
    ours = [path for path in sorted(APP.rglob("*.py")) if path.relative_to(APP).parts[0] in OURS]
    paths = {path.relative_to(APP).as_posix(): path for path in ours}
    sources = {name: path.read_text() for name, path in paths.items() if not name.startswith((*skipped,))}
    forms, theirs = sources[FORMS].splitlines(), lines_of_owners_fields()
    return sources | {FORMS: "\n".join("" if number in theirs else line for number, line in enumerate(forms, 1))}


def test_every_text_of_python_is_marked():
    found = {name: unmarked(source) for name, source in modules(FOR_OTHERS).items()}
    shown = {
        name: [text for text in texts if not FOR_OTHERS_BESIDE_TEXTS.search(text)] for name, texts in found.items()
    }
    assert {name: texts for name, texts in shown.items() if texts} == {}


def test_every_message_of_python_is_a_constant_with_named_placeholders():
    found = {name: list(mistaken(source)) for name, source in modules(PASS_ON).items()}
    assert {name: calls for name, calls in found.items() if calls} == {}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('flash("You have been logged out.")', ["You have been logged out."]),
        ('flash(_("You have been logged out."))', []),
        ('field("Password", [DataRequired(_l("Enter it."))])', ["Password"]),
        ('flash(f"{name} was removed from here.")', [" was removed from here."]),
        ('raise ValueError("This is too long.")', ["This is too long."]),
        ('raise ConfigError("This is too long.")', []),
        ('log.info("You have been logged out.")', []),
        ('def view():\n    """Log out this browser."""', []),
        ('flash(ngettext("%(num)d device", "%(num)d devices", count))', []),
        ('TITLES = {"logins": "Logins"}', ["Logins"]),
    ],
)
def test_the_check_of_python_bites(source, found):
    assert unmarked(source) == found


@pytest.mark.parametrize(
    ("call", "is_right"),
    [
        ('_("Log out %(device)s", device=name)', True),
        ('_("Log out " "here")', True),
        ('ngettext("%(num)d device", "%(num)d devices", count)', True),
        ('pgettext("role", "User")', True),
        ('_(f"Log out {name}")', False),
        ('_("Log out " + name)', False),
        ('_("Log out {}".format(name))', False),
        ("_(WORDS)", False),
        ('_("Log out %s") % name', False),
        ('_("Log out {name}")', False),
        ('_("Log out ")', False),
        ("""f"{_('Log out')} here\"""", False),
        ('ngettext("%d device", "%(num)d devices", count)', False),
    ],
)
def test_the_check_of_messages_bites(call, is_right):
    assert (list(mistaken(call)) == []) is is_right

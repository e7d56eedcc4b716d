"""What is ours. All other modules and views belong to an application built on this one, and need no edit here."""

import ast
import inspect
from pathlib import Path

from wtforms.fields.core import UnboundField
from wtforms.validators import DataRequired, InputRequired, Optional

from app.auth.registration_forms import BUILT_IN_FIELDS, RegistrationForm
from support.clients import ROOT

PARTS = {"accounts", "admin", "auth", "cli", "dev", "doctor", "email", "main", "models", "security", "web"}  # of app/
REQUIRED = (DataRequired, InputRequired)
PARTS |= {
    "clock",
    "connections",
    "csv_lines",
    "database",
    "extensions",
    "keyset",
    "orphans",
    "request_state",
    "schema",
    "signals",
    "switches",
}


def is_ours(thing):
    """Say whether a view function, a class or a module's name is ours, or a library's."""
    module = thing if isinstance(thing, str) else thing.__module__
    first, _, rest = module.partition(".")
    return first != "app" or rest.partition(".")[0] in {"", *PARTS}


def owners_fields():
    """Return the fields that an application built on this added to registration, and with them their columns."""
    return {name for name, field in vars(RegistrationForm).items() if isinstance(field, UnboundField)} - BUILT_IN_FIELDS


def lines_of_owners_fields():
    """Return the numbers of the lines of app/auth/registration_forms.py that declare owners_fields()."""
    tree = ast.parse(Path(inspect.getfile(RegistrationForm)).read_text("utf-8"))
    fields = [node for node in ast.walk(tree) if isinstance(node, ast.Assign) and names(node) & owners_fields()]
    return {number for node in fields for number in range(node.lineno, node.end_lineno + 1)}


def names(assignment):
    return {target.id for target in assignment.targets if isinstance(target, ast.Name)}


def make_optional(form):
    """Accept a registration form without the fields that an application built on this added."""
    for field in [form[name] for name in owners_fields() if name in form]:
        field.validators = [Optional(), *(it for it in field.validators if not isinstance(it, REQUIRED))]
        field.flags.required = field.validate_choice = False


def module_of(path):
    """Return the name of the module in a file below the project's folder."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")

"""A registration field of an application's own: it arrives in the account, whichever way the account is created."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EDITS = {
    "app/models/user.py": (
        "    created_at: Mapped[datetime]",
        "    city: Mapped[str | None] = mapped_column(String(64))\n    age: Mapped[int | None]\n",
    ),
    "app/auth/registration_forms.py": (
        "    captcha = captcha_field()\n",
        '    city = StringField("City", [DataRequired("Name your city.")])\n'
        '    age = IntegerField(_l("Age"), [Optional()])\n'
        '    rules = BooleanField("I accept the rules", [DataRequired("Accept the rules.")])\n',
    ),
}
IMPORTED = "from wtforms import *\nfrom wtforms.validators import DataRequired, Optional\n"
IMPORTS = ("app/auth/registration_forms.py", "from typing import Any\n", f"from typing import Any\n{IMPORTED}")
OWNERS_TESTS = """
import pytest
from support.clients import PASSWORD
from support.registration import FORM

from app.accounts import registration
from app.accounts.registration import NewAccount
from app.models import User

FIELDS = {"city": "Lima", "rules": "y"}


@pytest.fixture
def settings(own_fields, issuer):
    return {"OIDC_PROVIDERS": {"acme": issuer.provider()}}


@pytest.mark.parametrize("way", ["password", "passkey", "enumeration prevented"])
def test_the_form(app, client, way):
    app.config["PREVENT_ENUMERATION"] = way == "enumeration prevented"
    form = FORM | ({"by_passkey": "y"} if way == "passkey" else {})
    page = client.post("/auth/register", data=form)
    assert page.status_code == 422
    assert "Name your city." in page.text and "Accept the rules." in page.text
    assert client.post("/auth/register", data=form | FIELDS).status_code == 302
    assert User.find("eve").city == "Lima"


@pytest.mark.parametrize("claims", [{"email": "eve@example.com", "email_verified": True}, {}])
def test_a_provider(client, issuer, claims):
    going = client.post("/auth/sso/acme").headers["Refresh"]
    page = client.get(issuer.agree(going, name="Eve", **claims), follow_redirects=True)
    assert 'name="city"' in page.text
    assert ('name="email"' in page.text) is not bool(claims)
    address = {} if claims else {"email": "eve@example.com"}
    assert client.post(page.request.path, data=address).status_code == 422
    assert User.find("eve") is None
    assert client.post(page.request.path, data=FIELDS | address).status_code == 302
    assert (User.find("eve").city, User.find("eve").confirmed) == ("Lima", bool(claims))


def test_who_has_an_account_is_not_asked_again(app, client, issuer):
    test_a_provider(client, issuer, {})
    other = app.test_client()
    going = other.post("/auth/sso/acme").headers["Refresh"]
    assert other.get(issuer.agree(going, name="Eve")).location == "/auth/unconfirmed"


def test_the_command_line(app, tmp_path):
    create = ["users", "create", "--email", "eve@example.com", "--username", "eve", "--no-input"]
    for wrong in ("town=Lima", "email=x@example.com", "age=old"):
        assert app.test_cli_runner().invoke(args=[*create, "--profile", wrong]).exit_code == 2
    made = app.test_cli_runner().invoke(args=[*create, "--profile", "city=Lima", "--profile", "age=33"])
    assert made.exit_code == 0, made.output
    assert (User.find("eve").city, User.find("eve").age) == ("Lima", 33)
    (tmp_path / "a.csv").write_text("email,username,city,age\\nida@example.com,ida,Quito,44\\n")
    assert "Imported: 1." in app.test_cli_runner().invoke(args=["users", "import", str(tmp_path / "a.csv")]).output
    assert (User.find("ida").city, User.find("ida").age) == ("Quito", 44)


def test_a_service(app):
    user = registration.create(NewAccount("eve@example.com", "eve", PASSWORD, profile={"city": "Lima"}))
    assert user.city == "Lima"
"""


@pytest.fixture
def clone(tmp_path):
    """A copy of the application with two more columns of User, and two more fields in the registration form."""
    for name in ("app", "migrations", "settings", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.pyc.*", "node_modules"))
    for name in ("config.py", "flasky.py", "pyproject.toml", ".env.example", "babel.cfg"):
        shutil.copy(ROOT / name, tmp_path)
    for name, (before, added) in EDITS.items():
        change(tmp_path / name, before, added + before if "created_at" in before else before + added)
    file, old, new = IMPORTS
    change(tmp_path / file, old, new)
    (tmp_path / "tests/test_city.py").write_text(OWNERS_TESTS)
    run(tmp_path, "flask", "db", "upgrade")
    run(tmp_path, "flask", "db", "migrate", "-m", "Add the city and the age")
    return tmp_path


def change(file, old, new):
    text = file.read_text("utf-8")
    assert text.count(old) == 1, f"{file.name} has {text.count(old)} times {old!r}"
    file.write_text(text.replace(old, new), "utf-8")


def run(clone, *command):
    own = {"FLASK_APP": "flasky.py", "FLASK_CONFIG": "development", "PYTHON_DOTENV_DISABLED": "1", "PYTHONPATH": "."}
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=clone, env=os.environ | own, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.extended
def test_a_registration_field_arrives_by_every_entrance(clone):
    """The form with a password, the passkey button, PREVENT_ENUMERATION, a provider, the command line, the service."""
    pytest = ["pytest", "-q", "-p", "no:cacheprovider"]
    names = "city access catalogs email_ownership registration texts_in_python".split()
    some = "test_city or every_field or every_column or leads_to_passkeys or every_text"
    said = run(clone, *pytest, *(f"tests/test_{name}.py" for name in names), "-k", some)
    assert "14 passed" in said, "ours need no edit"

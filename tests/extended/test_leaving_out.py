"""docs/leaving-out.md: each capability is deleted in a copy as the page says, and the rest passes lint, types, tests.

The tests of the rest are those below, which open every page and follow an account from registration to deletion, and
MODULES of ours, without the tests whose name has a word of the capability. The whole suite would take too long.
"""

import re
import shutil
import subprocess
import sys

import pytest
from support.leaving_out import leave_out, problems, run, sections, unused
from support.repository import ROOT, copy_to

pytestmark = pytest.mark.extended

MODULES = "rest architecture"
WORDS = {  # of the names of tests that are about a capability
    "Passkeys": "passkey or without_a_password",
    "Two-factor authentication": "two_factor or recovery or authenticator or factor or qr_code",
    "Emailed login links": "magic or link or every_form",
    "Single sign-on": "provider or sso or mock",
    "ALTCHA": "captcha",
    "Importing accounts": "import",
}
REST = r'''
import re

import pytest
from support.clients import PASSWORD

from app import create_app
from app.email.templates import Email
from app.models import User

REFERRED = re.compile(r"""{%-? (?:extends|include|from|import) "([^"]+)" (?:-?%}|import|ignore|with)""")


@pytest.mark.parametrize("settings", [{}, {"LANGUAGES": ["de", "en"]}], ids=["English", "German"])
def test_every_page_opens(app, client, another_client, ada):
    another_client.log_in(ada)
    assert client.get("/auth/login").status_code == 200
    paths = [rule.rule for rule in app.url_map.iter_rules() if "GET" in rule.methods and not rule.arguments]
    assert len(paths) > 30
    for path in paths:
        for browser in (client, another_client):
            with browser.get(path) as answer:
                assert answer.status_code < 500, path


def test_an_account_is_made_used_and_deleted(client, another_client, outbox):
    fields = {"email": "eve@example.com", "username": "eve", "password": PASSWORD, "confirm_password": PASSWORD}
    client.post("/auth/register", data=fields)
    client.get(outbox.link())
    assert User.find("eve").confirmed
    assert another_client.post("/auth/login", data={"login": "eve", "password": PASSWORD}).location == "/"
    words = {"password": "a new lantern", "confirm_password": "a new lantern"}
    assert client.post("/auth/change-password", data={"old_password": PASSWORD} | words).status_code == 302
    assert another_client.get("/account").location.startswith("/auth/login"), "it is logged out"
    another_client.post("/auth/reset", data={"email": "eve@example.com"})
    words = {"password": "another old lantern", "confirm_password": "another old lantern"}
    assert another_client.post(outbox.link(), data=words).status_code == 302
    assert client.post("/auth/login", data={"login": "eve", "password": words["password"]}).location == "/"
    for path in ("/account", "/auth/login-methods", "/auth/devices", "/auth/history", "/auth/export"):
        assert client.get(path).status_code == 200, path
    client.post("/auth/delete", data={"email": "eve@example.com"})
    assert User.find("eve").deletion_due_at


def test_templates_that_are_named_are_there(app):
    for name in app.jinja_env.list_templates():
        app.jinja_env.get_template(name)
        for referred in REFERRED.findall(app.jinja_env.loader.get_source(app.jinja_env, name)[0]):
            app.jinja_env.get_template(referred)
    for email in Email:
        app.jinja_env.get_template(f"email/{email}.txt")


def test_development_starts():
    create_app("development", SECRET_KEY="x" * 64, SQLALCHEMY_DATABASE_URI="sqlite://")
'''


@pytest.mark.parametrize("title", sections())
def test_the_rest_works_without(title, tmp_path):
    copy_to(tmp_path)
    body = sections()[title]
    assert problems(body, tmp_path) == []
    leave_out(tmp_path, body)
    assert unused(tmp_path) - unused(ROOT) == set(), "the list misses files"
    if (ROOT / ".mypy_cache").is_dir():
        shutil.copytree(ROOT / ".mypy_cache", tmp_path / ".mypy_cache")
    run(tmp_path, "ruff", "check", "--quiet", "--no-cache", ".")
    run(tmp_path, "mypy")
    (tmp_path / "tests/test_rest.py").write_text(REST)
    modules = [f"tests/test_{name}.py" for name in MODULES.split()]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *modules]
    command += ["-k", f"not ({WORDS[title]})"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout
    assert int(re.search(r"(\d+) passed", ran.stdout)[1]) > 10

"""The examples of README and docs: followed as they stand there, in a clone, with its lint, types and migrations."""

import ast
import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import select
from support.tutorial import Copy, for_an_untouched_clone, parts

from app.extensions import db
from app.models import Role, User

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted(ROOT.glob("docs/**/*.md"))]
# tests/extended/test_tutorial.py and test_github_login.py follow these pages.
PAGES = [page for page in PAGES if not page.name.startswith(("tutorial", "github-login"))]
BLOCK = re.compile(r"^( *)```(python|html)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
NAMED = re.compile(r"(?:# |\{# )((?:app|tests)/[\w./]+)(?: #\})?\n")
EXAMPLES = [
    pytest.param(kind, dedent(text), id=f"{page.name}-{number}")
    for page in PAGES
    for number, (_, kind, text) in enumerate(BLOCK.findall(page.read_text("utf-8")))
]
# What looks at all pages, forms, tables and emails of ours, and must ignore those of the examples; and their own tests.
OURS = "garden access architecture csrf personal_data queries request_state"
CITY = [
    ("app/models/user.py", r" +created_at: Mapped.*\n", "    city: Mapped[str | None] = mapped_column(String(64))\n"),
    ("app/auth/registration_forms.py", r"from wtforms import Field", ", StringField"),
    ("app/auth/registration_forms.py", r"from wtforms\.validators import ", "Optional, "),
    (
        "app/auth/registration_forms.py",
        r"    confirm_password = .*\n",
        '    city = StringField("City", [Optional()])\n',
    ),
]
BLUEPRINTS = ["garden", "shop", "digest", "reminders", "wishes", "profile", "commands", "api"]
TRY = """
import io
import re
import threading

from app import clock, create_app
from app.accounts import account_deletion, personal_data
from app.extensions import db
from app.models import User

app = create_app("testing", SQLALCHEMY_DATABASE_URI=URI)
with app.app_context():
    from app.api.models import ApiToken
    from app.garden.models import Plant, Watering
    ada = User(email="ada@example.com", username="ada", password="cat cat cat", confirmed=True)
    db.session.add(ada)
    db.session.commit()
client = app.test_client()
site = app.config["PUBLIC_URL"]
post = lambda path, **data: client.post(path, data=data, base_url=site, headers={"Sec-Fetch-Site": "same-origin"})
get = lambda path: client.get(path, base_url=site)
assert get("/garden").status_code == 302
with client.session_transaction(base_url=site) as visitor:
    visitor["cart"] = ["Ivy"]
post("/auth/login", login="ADA@example.com", password="cat cat cat")
page = get("/garden").text
assert "<textarea" in page and "Plant it" in page and "Ivy" in page, page
wrong = post("/garden", name="", notes="one\\r\\ntwo")
assert wrong.status_code == 422 and "Name the plant." in wrong.text and "two</textarea>" in wrong.text
assert post("/garden", name=" Fern ", notes="").status_code == 302
assert "<h1>Reminders</h1>" in get("/garden/reminders").text and "Reminders</a>" in get("/account").text
photo = lambda size: client.post(
    "/shop/photo", data={"photo": (io.BytesIO(b"\\xff\\xd8\\xff".ljust(size)), "a.jpg")}, base_url=site,
    headers={"Sec-Fetch-Site": "same-origin"},
)
assert photo(4_000_000).text == "ada, your photo has 4000000 bytes."
assert photo(6_000_000).status_code == 413
assert "form-action 'self' https://checkout.stripe.com" in get("/shop/pay").headers["Content-Security-Policy"]
with app.app_context():
    from app.accounts import jobs
    from app.models import OutboxEmail
    jobs.run_due(threading.Event())
    [email] = OutboxEmail.query.filter_by(name="digest")
    assert (email.priority, email.details["plants"]) == (2, 2), email.details
    url = email.details["unsubscribe"].removeprefix(site)
for path, method, status in ((url, "GET", 200), (url + "x", "POST", 404), (url, "POST", 200)):
    answer = app.test_client().open(path, method=method, base_url=site, data={"List-Unsubscribe": "One-Click"})
    assert answer.status_code == status, answer.text
    assert ("<button" in answer.text and "Unsubscribe" in answer.text) == (method == "GET")
with app.app_context():
    assert jobs.run("digest", even_if_done=True).count == 0, "she unsubscribed"
def created():
    return re.search("<code.*?>(.*)</code>", post("/api/tokens").text)[1]
def status(token, path="/api/me"):
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    answer = app.test_client().get(path, base_url=site, headers=headers)
    assert answer.status_code != 200 or answer.json == {"user": "ada"}
    assert (answer.headers.get("WWW-Authenticate") == "Bearer") == (answer.status_code == 401)
    return answer.status_code
assert app.test_cli_runner().invoke(args=["plants", "add", "ada", "Oak"]).exit_code == 0
assert post("/profile", city="Lima").status_code == 302 and 'value="Lima"' in get("/profile").text
tokens = [created(), created(), created()]
assert "<code" not in get("/api/tokens").text and "3 tokens" in get("/api/tokens").text
with app.app_context():
    ApiToken.query.filter_by(id=2).one().expires_at = clock.now()
    db.session.commit()
assert [status(token) for token in tokens] == [200, 401, 200]
assert (status("x"), status(tokens[0], "/api/tokens")) == (401, 403)
post("/api/tokens/1/revoke")
assert [status(token) for token in tokens] == [401, 401, 200]
words = {"old_password": "cat cat cat", "password": "a new lantern", "confirm_password": "a new lantern"}
assert post("/auth/change-password", **words).status_code == 302
assert status(tokens[2]) == 401
with app.app_context():
    from app.accounts import secure_account
    from app.models import AuditEvent
    changes = {event.action for event in AuditEvent.query.filter(AuditEvent.action.in_(secure_account.CHANGES))}
    assert changes == {"token_created", "token_revoked", "password_changed"}, changes
tokens = [created()]
with app.app_context():
    ada = db.session.get(User, 1)
    ada.two_factor_enabled_at = clock.now()
    db.session.commit()
    refused = post("/api/tokens").status_code
    ada.two_factor_enabled_at = None
    db.session.commit()
    link = f"/auth/change-email/{ada.generate_email_change_token('lovelace@example.com')}"
assert refused == 403, "a token needs both factors"
assert (status(tokens[0]), get(link).location, status(tokens[0])) == (200, "/account", 401)
tokens = [created()]
wrong = post("/wishes", name="")
assert wrong.status_code == 422 and 'hx-select="#wishes"' in wrong.text and "Name the plant." in wrong.text
assert post("/wishes", name="Ivy").location == "/wishes" and "<li>Ivy</li>" in get("/wishes").text
words = {"old_password": "a new lantern", "password": "my fern by the sea", "confirm_password": "my fern by the sea"}
wrong = post("/auth/change-password", **words)
assert wrong.status_code == 422 and "names of plants" in wrong.text and "common words, and plants." in wrong.text
wrong = post("/auth/change-username", username="gardener2")
assert wrong.status_code == 422 and "Only our staff" in wrong.text and "Leave gardeners to us." in wrong.text
form = {"password": "a new lantern", "confirm_password": "a new lantern"}
client = app.test_client()
for name, status in (("eve", 302), ("eva", 403)):
    email = f"{name}@{'example.com' if name == 'eve' else 'rival.example'}"
    assert post("/auth/register", email=email, username=name, **form).status_code == status
    client = app.test_client()
with app.app_context():
    [welcome] = Plant.query.filter_by(name="Welcome fern")
    assert (User.find("eve").id, User.find("eva")) == (welcome.owner_id, None)
    assert account_deletion.purge(User.find("eve"))
    db.session.commit()
    ada = db.session.get(User, 1)
    fern = Plant.query.filter_by(name="Fern").one()
    db.session.add(Watering(plant_id=fern.id))
    db.session.commit()
    held = personal_data.everything(ada)
    assert (len(held["plants"]), len(held["waterings"])) == (3, 1)
    assert held["waterings"][0]["plant"] == "Fern"
    assert "key" not in held["api_tokens"][0]
    assert account_deletion.purge(ada)
    db.session.commit()
    assert not Plant.query.all()
for name, is_elsewhere in (("kim", False), ("lou", True)):
    client = here = app.test_client()
    with client.session_transaction(base_url=site) as visitor:
        visitor["cart"] = ["Rose"]
    post("/auth/register", email=f"{name}@example.com", username=name, **form)
    get("/auth/unconfirmed")
    with client.session_transaction(base_url=site) as unconfirmed:
        assert unconfirmed["cart"] == ["Rose"]
        unconfirmed["cart"] = ["Rose", "Oak"]
    with app.app_context():
        link = f"/auth/confirm/{User.find(name).generate_confirmation_token()}"
    if is_elsewhere:
        client = app.test_client()
        post("/auth/login", login=name, password=form["password"])
    get(link)
    client = here
    page = get("/garden").text
    assert "<li>Rose</li>" in page and "<li>Oak</li>" in page, page
    with client.session_transaction(base_url=site) as confirmed:
        assert "cart" not in confirmed
print("followed")
"""


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A copy of what is here, with the files that the examples name, and what the README asks for in words."""
    clone = tmp_path_factory.mktemp("clone")
    for name in ("app", "migrations", "settings", "stubs", "tests"):
        shutil.copytree(ROOT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__", "*.db"))
    for name in ("config.py", "flasky.py", "pyproject.toml", ".env.example"):
        shutil.copy(ROOT / name, clone)
    if (ROOT / ".mypy_cache").is_dir():
        shutil.copytree(ROOT / ".mypy_cache", clone / ".mypy_cache")
    for example in EXAMPLES:
        _, text = example.values
        if named := NAMED.match(text):
            file = clone / named[1]
            assert not file.exists(), f"two examples are called {named[1]}"
            file.parent.mkdir(exist_ok=True)
            file.write_text(text, "utf-8")
    (clone / "app/static/htmx.min.js").write_text("// htmx")
    (clone / "app/templates/email/digest.txt").write_text("Subject: Your garden\n\n{{ plants }} plants grow in it.\n")
    change(
        clone / "app/__init__.py",
        r"from app import admin, auth, (.*) extensions, main",
        r"from app import admin, api, auth, \1 extensions, garden, main",
    )
    change(
        clone / "app/__init__.py",
        r"(from app\.email\.worker.*\n)",
        r"\1from app.garden import commands, digest, profile, reminders, shop, wishes\n",
    )
    change(
        clone / "app/__init__.py",
        r"( +app\.register_blueprint\(auth\.bp.*\n)",
        r"\1" + "".join(f"    app.register_blueprint({name}.bp)\n" for name in BLUEPRINTS),
    )
    for name, before, added in CITY:
        change(clone / name, f"({before})", rf"\1{added}")
    imports = "".join(f"from app.garden import {name} as {name}\n" for name in ("policies", "welcome"))
    garden = clone / "app/garden/__init__.py"
    change(garden, r"(from app\.garden\.models)", rf"from app.garden import cart\n{imports}\1")
    change(garden, r'(bp = Blueprint\("garden".*\n)', r"\1bp.before_request(cart.claim_cart)\n")
    return clone


def change(file, old, new):
    text, count = re.subn(old, new, file.read_text("utf-8"))
    assert count == 1, f"{file.name} has no {old}"
    file.write_text(text, "utf-8")


def run(clone, *command, **environment):
    """Run a command in the clone; return what it says, which has to end well."""
    own = {
        "FLASK_APP": "flasky.py",
        "FLASK_CONFIG": "development",
        "PYTHON_DOTENV_DISABLED": "1",
        "FLASK_SKIP_DOTENV": "1",
    }
    done = subprocess.run(
        [sys.executable, *command], cwd=clone, env=os.environ | own | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(("kind", "text"), EXAMPLES)
def test_an_example_can_be_read_and_what_it_imports_is_there(kind, text):
    if kind == "html":
        assert NAMED.match(text), "an example says in its first line in which file it stands"
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and not node.module.startswith(("app.garden", "app.api", "support")):
            module = importlib.import_module(node.module)
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")


def test_the_examples_pass_the_linter(clone):
    run(clone, "-m", "ruff", "check", "--no-cache", "app")
    run(clone, "-m", "ruff", "format", "--no-cache", "--check", "app")


@for_an_untouched_clone
def test_the_changes_of_the_tutorial_fit_the_files_and_pass_the_linter(tmp_path):
    """tests/extended/test_tutorial.py runs its commands and tests as well."""
    copy = Copy(tmp_path, runs_commands=False)
    copy.follow(len(parts()))
    copy.run("ruff", "check", "--no-cache", ".")
    copy.run("ruff", "format", "--no-cache", "--check", ".")


@pytest.mark.extended
def test_the_examples_pass_the_type_checker(clone):
    run(clone, "-m", "mypy")
    without_types = ("--allow-untyped-defs", "--allow-untyped-calls", "--allow-untyped-decorators")
    run(clone, "-m", "mypy", "--check-untyped-defs", *without_types, "app/garden", "app/api")


def test_the_migration_of_roles_runs_up_and_down_and_up_again(app, ada):
    [text] = [text for kind, text in (example.values for example in EXAMPLES) if "def upgrade" in text]
    exec(text, step := {})
    before = permissions()
    with Operations.context(MigrationContext.configure(db.session.connection())):
        step["upgrade"]()
        after = permissions()
        ada.role = db.session.get(Role, "gardener")
        db.session.flush()
        step["downgrade"]()
        assert permissions() == before
        step["downgrade"]()
        assert permissions() == before
        step["upgrade"]()
    assert permissions() == after == before | {"gardener": 7 | 256, "administrator": before["administrator"] | 256}
    assert db.session.scalar(select(User.role_name)) == "user"


def permissions():
    return dict(db.session.execute(select(Role.name, Role.permissions)).all())


@pytest.mark.extended
def test_the_examples_work_as_the_readme_says(clone):
    uri = f"sqlite:///{clone}/own.db"
    for command in (["upgrade"], ["migrate", "-m", "Add plants"], ["upgrade"], ["check"]):
        run(clone, "-m", "flask", "db", *command, DATABASE_URL=uri)
    assert "followed" in run(clone, "-c", f"URI = {uri!r}\n{TRY}", DATABASE_URL=uri)
    run(clone, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(f"tests/test_{name}.py" for name in OURS.split()))


def test_what_replaces_a_name_of_the_books_exists_and_the_name_does_not():
    rows = re.findall(
        r"^\| (`user\..*?) \| (.*?) \|", (ROOT / "docs/coming-from-flasky.md").read_text("utf-8"), re.MULTILINE
    )
    assert len(rows) > 10
    names = [[set(re.findall(r"`[uU]ser\.(\w+)", cell)) for cell in row] for row in rows]
    for _, new in names:
        assert all(hasattr(User, name) for name in new), new
    gone = {"set_password", "check_password", "ping", "gravatar", "get_reset_password_token"}
    assert gone <= set().union(*(old for old, _ in names))
    assert not [name for name in gone if hasattr(User, name)]


def test_every_name_that_the_books_page_calls_is_defined():
    rows = re.findall(r"^\| `.*? \| (.*?) \|", (ROOT / "docs/coming-from-flasky.md").read_text("utf-8"), re.MULTILINE)
    called = {name for cell in rows for name in re.findall(r"(\w+)\(", " ".join(re.findall(r"`([^`]+)`", cell)))}
    sources = [*(ROOT / "app").rglob("*.py"), ROOT / "app/templates/macros.html"]
    defined = re.findall(r"^ *(?:def|class|{% macro) (\w+)", "\n".join(map(Path.read_text, sources)), re.MULTILINE)
    assert called - {*defined} == set()

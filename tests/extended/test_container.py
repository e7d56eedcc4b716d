"""Carry out the Dockerfile and compose.yaml step by step in an empty folder, as an unprivileged user. Needs root."""

import json
import subprocess
import sys

import pytest
from support.clients import ROOT
from support.compose import Project
from support.containers import build, is_ignored

VALUES = {"SECRET_KEY": "3f9a1c5be0d24876a1b0c9d8e7f60514c2d3e4f5a6b79881", "POSTGRES_PASSWORD": "5d3c1b7f9e"}
VISITOR = """
import email, email.policy, http.cookiejar, json, mailbox, re, socket, ssl, sys, time, urllib.parse, urllib.request

site, authority, mail = sys.argv[1:]
with socket.socket() as proxy:
    while proxy.connect_ex(("localhost", urllib.parse.urlsplit(site).port)):
        time.sleep(0.1)
cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
tls = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=authority))
browser = urllib.request.build_opener(urllib.request.ProxyHandler({}), cookies, tls)
browser.addheaders = [("Sec-Fetch-Site", "same-origin"), ("User-Agent", "Mozilla/5.0")]

def read(file):
    return email.message_from_binary_file(file, policy=email.policy.default).get_body(["plain"]).get_content()

def link():
    texts = list(mailbox.Maildir(mail, factory=read, create=False))
    return next((found[0] for text in texts if (found := re.search(site + r"/auth/confirm/\\S+", text))), None)

browser.open(site + "/auth/register")
form = dict(email="ada@example.com", username="ada", password="cats sleep in sun", confirm_password="cats sleep in sun")
asked = browser.open(site + "/auth/register", urllib.parse.urlencode(form).encode())
while not link():
    time.sleep(0.1)
print(json.dumps({"asked": asked.url, "home": browser.open(link()).read().decode()}))
"""

pytestmark = [pytest.mark.extended, pytest.mark.xdist_group("container")]


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return build(ROOT, tmp_path_factory.mktemp("image"))


@pytest.fixture(scope="module")
def project(image, tmp_path_factory):
    project = Project(ROOT / "compose.yaml", image, tmp_path_factory.mktemp("compose"), VALUES)
    yield project
    project.stop()


def run(image, *command, **options):
    """Run a command in the image, without a network."""
    alone = ["unshare", "--net", *image.run(command, **options)]
    return subprocess.run(alone, capture_output=True, text=True, timeout=120)


def test_the_image_holds_the_application_and_nothing_else(image):
    names = {
        "app",
        "config.py",
        "flasky.py",
        "gunicorn.conf.py",
        "migrations",
        "settings",
        "translations",
        "__pycache__",
    }
    assert {path.name for path in image.path("/app").iterdir()} == names
    assert not list(image.path("/app").rglob("*.db"))


@pytest.mark.parametrize("name", [".env", "app/.env.local", "instance/app.db", ".git/config", "tests/conftest.py"])
def test_the_image_gets_no_secrets(name):
    assert is_ignored(name, (ROOT / ".dockerignore").read_text())


def test_the_container_runs_unprivileged_and_writes_nowhere_but_in_declared_directories(image):
    script = "id -u; for path in /app/x /venv/x /x /data/x /tmp/x; do touch $path 2>/dev/null && echo $path; done"
    assert run(image, "sh", "-c", script, tmpfs=["/tmp"]).stdout.split() == ["10001", "/tmp/x"]


def test_sqlite_needs_one_more_volume(image, tmp_path):
    volume = tmp_path / "data"
    subprocess.run(["cp", "--archive", image.path("/data"), volume], check=True)  # as Docker fills a new volume
    settings = VALUES | {
        "DATABASE_URL": "sqlite:////data/app.db",
        "PUBLIC_URL": "https://example.com",
        "MAIL_SERVER": "x",
    }
    options = {"tmpfs": ["/tmp"], "binds": [(volume, "/data")], "environment": settings}
    upgraded = run(image, "flask", "db", "upgrade", **options)
    assert upgraded.returncode == 0, upgraded.stderr
    assert (volume / "app.db").stat().st_uid == 10001


@pytest.mark.parametrize("command", [None, ["flask", "db", "upgrade"]], ids=["the server", "the migration"])
def test_a_container_without_settings_names_what_is_missing_and_ends(image, command):
    refused = run(image, *(command or image.command), tmpfs=["/tmp"])
    assert refused.returncode != 0
    assert "SECRET_KEY is missing" in refused.stderr


def test_a_visitor_registers_and_confirms_through_all_services(project):
    settings = project.services["app"]["environment"]
    authority = str(project.folder / "proxy/data/caddy/pki/authorities/local/root.crt")
    ran = project.outside(sys.executable, "-c", VISITOR, settings["PUBLIC_URL"], authority, str(project.mail))
    assert ran.returncode == 0, ran.stderr + project.log("proxy") + project.log("app")
    answers = json.loads(ran.stdout)
    assert answers["asked"] == f"{settings['PUBLIC_URL']}/auth/unconfirmed"
    assert "ada" in answers["home"]


def test_the_health_check_fails_once_the_server_is_gone(project):
    assert project.run("app", *project.image.health).returncode == 0
    project.processes["app"].terminate()
    assert project.processes["app"].wait(120) == 0
    assert project.run("app", *project.image.health).returncode != 0

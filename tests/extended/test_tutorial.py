"""docs/tutorial.md: each part is followed in a copy of the project, and passes tests, lint, types and migrations."""

import io
import re
import shutil

import psycopg
import pytest
import requests
from PIL import Image
from sqlalchemy import make_url
from support.clients import PASSWORD, ROOT
from support.mail_server import MailServer
from support.nginx import Gunicorn, Nginx, Visitor, free_port
from support.tutorial import Copy, for_an_untouched_clone, parts
from support.waiting import until

ONE_AFTER_ANOTHER = pytest.mark.xdist_group("tutorial")
pytestmark = [for_an_untouched_clone, pytest.mark.extended, ONE_AFTER_ANOTHER]

PARTS = parts()
PRODUCTION = re.compile(r"^```text\n(FLASK_CONFIG=production\n.*?)^```", re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    return Copy(tmp_path_factory.mktemp("tutorial"))


@pytest.fixture(scope="module")
def postgresql(databases):
    """The URL of a new PostgreSQL database."""
    server = databases("postgresql")
    with psycopg.connect(server.server.get_uri(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE tutorial")
    return make_url(server.url).set(database="tutorial").render_as_string(hide_password=False)


@pytest.mark.parametrize("number", range(1, len(PARTS) + 1), ids=[heading for heading, _ in PARTS])
def test_part(copy, postgresql, number):
    copy.follow(number)
    is_last = number == len(PARTS)  # where everything is checked, since that takes a while
    if not is_last and number % 2 == 0:
        copy.pytest(*copy.own_tests(since=number - 2))
    if is_last:
        copy.check()
        copy.pytest("-m", "not cluster", *copy.own_tests())  # on both databases
        for command in ("upgrade", "check"):
            copy.run("flask", "db", command, DATABASE_URL=postgresql)


def test_a_browser_goes_through_the_finished_site(copy, request):
    copy.follow(len(PARTS))
    shutil.copy(ROOT / "tests/support/tutorial_in_browser.py", copy.folder / "tests/browser/test_tutorial.py")
    folder = request.config.getoption("--screenshots")
    copy.pytest("tests/browser/test_tutorial.py", *([f"--screenshots={folder}"] if folder else []))


@pytest.fixture
def deployed(copy, postgresql, tmp_path):
    """The finished site with the settings of the tutorial, on PostgreSQL, behind nginx: its visitor's browser."""
    copy.follow(len(PARTS))
    mail_server, port = MailServer("normal", {}), free_port()
    [lines] = PRODUCTION.findall((ROOT / "docs/tutorial-2.md").read_text("utf-8"))
    settings = dict(line.split("=", 1) for line in lines.splitlines())
    settings |= {name: str(value) for name, value in mail_server.settings.items()} | {"MAIL_USERNAME": ""}
    url = settings.pop("PUBLIC_URL").replace("ladle.example", f"localhost:{port}")
    del settings["SECRET_KEY"], settings["DATABASE_URL"]
    copy.run("flask", "db", "upgrade", DATABASE_URL=postgresql)
    gunicorn = Gunicorn(tmp_path, url, postgresql, root=copy.folder, **settings)
    nginx = Nginx(tmp_path, port, [gunicorn.port], root=copy.folder)
    visitor = Visitor(url, nginx.authority)
    visitor.certificates, visitor.emails, visitor.settings = nginx.authority.file, mail_server, gunicorn.environment
    yield visitor
    nginx.stop()
    gunicorn.stop()
    mail_server.stop()


def test_the_finished_site_is_deployed(copy, deployed):
    settings = {name: value for name, value in deployed.settings.items() if name != "PATH"}
    said = copy.run("flask", "doctor", **settings | {"SSL_CERT_FILE": str(deployed.certificates)})
    assert "well   PUBLIC_URL, TLS and proxies\nwell   mail server" in said

    assert "Welcome to Ladle" in deployed.get("").text
    deployed.get("auth/register")
    form = {"email": "ada@example.com", "username": "ada", "password": PASSWORD, "confirm_password": PASSWORD}
    deployed.follow(deployed.post("auth/register", form))
    email = until(lambda: next(iter(deployed.emails.received), None))
    deployed.follow(deployed.get(re.search(r"https?://\S+", email.get_body(["plain"]).get_content())[0]))

    photo = io.BytesIO()
    Image.effect_noise((1500, 1500), 200).save(photo, "PNG")
    assert photo.tell() > 1024 * 1024, "as much as nginx accepts by default"
    known = {"cookies": deployed.cookies, "headers": {"Sec-Fetch-Site": "same-origin"}, "verify": deployed.certificates}
    page, files = f"{deployed.home}/account/picture", {"picture": photo.getvalue()}
    assert requests.post(page, files=files, allow_redirects=False, **known).status_code == 302
    assert deployed.get("pictures/1").headers["Content-Type"] == "image/webp"

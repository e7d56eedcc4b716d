"""docs/tutorial.md: each part is followed in a copy of the project, with its tests, lint, types and migrations."""

import shutil

import psycopg
import pytest
from sqlalchemy import make_url
from support.clients import ROOT
from support.tutorial import Copy, for_an_untouched_clone, parts

ONE_AFTER_ANOTHER = pytest.mark.xdist_group("tutorial")
pytestmark = [for_an_untouched_clone, pytest.mark.extended, ONE_AFTER_ANOTHER]

PARTS = parts()
LAST_OF_A_PAGE = {5, len(PARTS)}  # where everything is checked, since that takes a while


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
    copy.pytest(*copy.own_tests())
    if number in LAST_OF_A_PAGE:
        copy.check()
        copy.pytest("-m", "extended", "-k", "postgresql", *copy.own_tests())
        for command in ("upgrade", "check"):
            copy.run("flask", "db", command, DATABASE_URL=postgresql)


def test_a_browser_goes_through_the_finished_site(copy, request):
    copy.follow(len(PARTS))
    shutil.copy(ROOT / "tests/support/tutorial_in_browser.py", copy.folder / "tests/browser/test_tutorial.py")
    folder = request.config.getoption("--screenshots")
    copy.pytest("tests/browser/test_tutorial.py", *([f"--screenshots={folder}"] if folder else []))

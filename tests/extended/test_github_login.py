"""docs/github-login.md: followed in a copy of the project, which then logs in at a GitHub on the same machine."""

import shutil

import pytest
from support.clients import ROOT
from support.tutorial import Copy, steps

pytestmark = [pytest.mark.extended, pytest.mark.xdist_group("github-login")]


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    copy = Copy(tmp_path_factory.mktemp("github"))
    copy.apply(steps((ROOT / "docs/github-login.md").read_text("utf-8")))
    return copy


def test_the_guide_passes_lint_types_and_migrations(copy):
    copy.check()


def test_users_log_in_with_github(copy, request):
    shutil.copy(ROOT / "tests/support/github_stories.py", copy.folder / "tests/test_github.py")
    folder = request.config.getoption("--screenshots")
    copy.pytest("tests/test_github.py", *([f"--screenshots={folder}"] if folder else []))

"""Installed packages: pinned, with hashes, each with a reason."""

import re
import runpy
import tomllib

import pytest
from support.clients import ROOT

PROJECT = (ROOT / "pyproject.toml").read_text()
LOCKS = ["requirements.txt", "requirements-dev.txt"]


def pinned(lock):
    """The entries of a lock file: a package, its version and its hashes each."""
    text = (ROOT / lock).read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


@pytest.mark.parametrize("lock", LOCKS)
def test_dependencies_are_pinned_with_hashes(lock):
    assert len(pinned(lock)) > 20
    for entry in pinned(lock):
        assert re.match(r"[\w.-]+(\[[\w,-]+\])?==\S+ ", entry), entry
        assert "--hash=sha256:" in entry, entry


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_files_name_no_registry(lock):
    assert not re.search(r"https?://|--index|--find-links|--trusted-host", (ROOT / lock).read_text())


def test_direct_dependencies_are_locked_and_have_a_reason():
    names = {re.match(r"[\w.-]+", entry)[0].lower() for lock in LOCKS for entry in pinned(lock)}
    project = tomllib.loads(PROJECT)["project"]
    extras = project["optional-dependencies"]
    direct = [*project["dependencies"], *extras["import"], *extras["dev"]]
    direct.remove("flasky[import]")
    assert {re.match(r"[\w.-]+", entry)[0].lower() for entry in direct} <= names
    without = [entry for entry in project["dependencies"] if not re.search(re.escape(f'"{entry}",') + " *# ", PROJECT)]
    assert without == ["WTForms>=3.3", "SQLAlchemy>=2.1"], "they come with the line above them"


def test_bootstrap_is_what_make_bootstrap_writes():
    build = runpy.run_path(str(ROOT / "tools/bootstrap_css.py"))["build"]
    for name, text in build().items():
        assert (ROOT / "app/static" / name).read_text("utf-8") == text, "run make bootstrap"

"""The guides and README.md: their commands and paths exist, and their rules are enforced."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.repository import ROOT, code, is_flask_command, make_targets

BIN = Path(sys.executable).parent
IMPORTS = "from datetime import datetime\nimport pytest"  # what the examples of CONTRIBUTING.md use
GUIDES = [ROOT / name for name in ("AGENTS.md", "CONTRIBUTING.md", "docs/containers.md")]


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_the_commands_of_a_guide_exist(page):
    commands = [line.partition("#")[0].split() for line in code(page)]
    called = {command[1] for command in commands if command[:1] == ["make"] and len(command) > 1}
    assert called <= make_targets()
    assert [command for command in commands if "flask" in command and not is_flask_command(command)] == []


@pytest.mark.parametrize("page", [*GUIDES, ROOT / "README.md"], ids=lambda page: page.name)
def test_the_paths_of_a_guide_exist(page):
    known = {path.name for path in ROOT.iterdir()}
    words = [
        word.rstrip(".:,") for line in code(page) for word in re.findall(r"(?<![\w/.-])[\w.][\w./-]*(?![\w/.<-])", line)
    ]
    paths = {word for word in words if word.partition("/")[0] in known and ("/" in word or "." in word)}
    paths |= {span for span in code(page) if re.fullmatch(r"[\w.-]+(/[\w.-]*)+", span)}
    assert paths
    assert {path for path in paths if not (ROOT / path).exists() and not is_made(path)} == set()


def is_made(path):
    """Return whether a path is made here, by make or by the owner."""
    return path.startswith((".venv", "instance", ".env"))


def test_the_map_for_agents_is_short():
    assert len((ROOT / "AGENTS.md").read_text("utf-8").splitlines()) <= 100


# The rules of CONTRIBUTING.md


def rules():
    rows = re.findall(
        r"^\| (?!Rule|---)(.+?) \| (.+?) \| (.+?) \| (.+) \|$",
        (ROOT / "CONTRIBUTING.md").read_text("utf-8"),
        re.MULTILINE,
    )
    slow = {True: pytest.mark.extended, False: ()}
    return [pytest.param(*row[1:], id=row[0], marks=slow["mypy" in row[-1]]) for row in rows]


@pytest.mark.parametrize(("right", "wrong", "tool"), rules())
def test_a_rule_is_enforced_by_its_tool(right, wrong, tool):
    name = tool.split()[0]
    if name.strip("`").startswith("tests/"):
        assert (ROOT / name.strip("`")).is_file()
        return
    [number] = re.findall(r"`([\w-]+)`", tool)
    assert number not in complaints(name, right)
    assert number in complaints(name, wrong)


def complaints(tool, cell):
    """Return what a tool says of the code in a cell, in a module of the services."""
    text = "\n".join([IMPORTS, *re.findall(r"`([^`]+)`", cell), ""])
    ruff = ["ruff", "check", "--no-cache", "--output-format=concise", "--stdin-filename=app/accounts/example.py", "-"]
    mypy = ["mypy", "--config-file=", "--strict", "--cache-dir=/dev/null", "-c", text]
    program, *arguments = {"Ruff": ruff, "mypy": mypy}[tool]
    return subprocess.run([BIN / program, *arguments], input=text, cwd=ROOT, capture_output=True, text=True).stdout

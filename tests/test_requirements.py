"""docs/requirements.md: each requirement and each fault stands there once, with tests that exist, or a reason."""

import ast
import re
from functools import cache

import pytest
from support.clients import ROOT

PAGE = (ROOT / "docs/requirements.md").read_text()
NUMBERS = [f"R{number}" for number in range(1, 103)] + [f"F{number}" for number in range(1, 32)]
MOST = 3  # tests of one requirement: the strongest


def wrong(page):
    """Say what is wrong with the page, a line each."""
    rows = re.findall(r"^\| ([RF]\d+) \| (.+) \| (.+) \|$", page, re.MULTILINE)
    reasons = re.findall(r"^- ([RF]\d+)(, in part)?: \w", page, re.MULTILINE)
    found = [] if [number for number, *_ in rows] == NUMBERS else ["a number is missing, or not in its place"]
    found += [f"{number}: no such requirement" for number, _ in reasons if number not in NUMBERS]
    for number, _, proof in rows:
        named = re.findall(r"`([^`]+)`", proof)
        is_met = proof != "not met"
        if is_met == ((number, "") in reasons):
            found.append(f"{number}: a reason is missing, or one too many")
        if is_met and not (0 < len(named) <= MOST and proof == ", ".join(f"`{name}`" for name in named)):
            found.append(f"{number}: names no tests, or too many")
        found += [f"{number}: there is no {name}" for name in named if not exists(name)]
    return found


def exists(name):
    """Say whether a test, `path::function`, is there."""
    path, _, function = name.partition("::")
    return function in functions_of(path)


@cache
def functions_of(path):
    file = ROOT / "tests" / path
    if not file.is_file():
        return set()
    functions = (node.name for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef))
    return {name for name in functions if name.startswith("test_")}


def test_every_requirement_has_its_proof():
    assert wrong(PAGE) == []


def row(number):
    return re.search(rf"^\| {number} \|.*\n", PAGE, re.MULTILINE)[0]


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        (row("R9"), "", "a number is missing"),
        (row("R9"), row("R9") * 2, "a number is missing"),
        (row("F25"), row("F25").replace("F25", "F26"), "a number is missing"),
        ("::test_a_password_does_not_expire", "::test_a_password_grows_old", "R9: there is no test_login.py::test_a"),
        ("test_login.py::test_a_password_does", "test_logins.py::test_a_password_does", "R9: there is no test_logins"),
        ("`test_login.py::test_a_password_does_not_expire`", "it is so", "R9: names no tests"),
        ("`test_login.py::test_a_password_does_not_expire`", "not met", "R9: a reason is missing"),
        ("- R44: ", "", "R44: a reason is missing"),
        ("- R44: ", "- R199: ", "R199: no such requirement"),
    ],
)
def test_what_is_wrong_with_it_is_seen(before, after, complaint):
    assert any(line.startswith(complaint) for line in wrong(PAGE.replace(before, after)))

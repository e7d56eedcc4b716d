"""The functions that docs/flows.md names, and the files that docs/architecture.md names, exist."""

import re
from functools import reduce
from importlib import import_module

import pytest
from support.clients import ROOT

FLOWS = (ROOT / "docs/flows.md").read_text("utf-8")
CALLS = sorted(set(re.findall(r"\b((?:auth|accounts|email|security|models)(?:\.\w+)+)\(\)", FLOWS)))
ARCHITECTURE = (ROOT / "docs/architecture.md").read_text("utf-8")
PATHS = sorted(set(re.findall(r"`((?:app|settings|tests)/[\w/.]*|config\.py)`", ARCHITECTURE)))


@pytest.mark.parametrize("call", CALLS)
def test_each_function_of_the_flows_exists(call):
    names = f"app.{call}".split(".")
    length = next(length for length in range(len(names) - 1, 0, -1) if _is_module(".".join(names[:length])))
    found = reduce(getattr, names[length:], import_module(".".join(names[:length])))
    assert callable(found)


def _is_module(name):
    return (ROOT / f"{name.replace('.', '/')}.py").is_file() or (ROOT / name.replace(".", "/")).is_dir()


@pytest.mark.parametrize("path", PATHS)
def test_each_file_of_the_architecture_exists(path):
    assert (ROOT / path).exists()


def test_each_flow_has_a_diagram_whose_steps_name_functions():
    diagrams = re.findall(r"```mermaid\nsequenceDiagram\n(.*?)```", FLOWS, re.DOTALL)
    assert len(diagrams) == 6
    assert all(len(re.findall(r"\w\(\)", diagram)) >= 8 for diagram in diagrams)

"""ALTCHA's widget is the pinned one (Node)."""

import runpy

import pytest
from support.clients import ROOT

pytestmark = pytest.mark.extended


def test_altcha_is_what_make_altcha_copies():
    build = runpy.run_path(str(ROOT / "tools/altcha.py"))["build"]
    for name, text in build().items():
        assert (ROOT / "app/static/altcha" / name).read_text("utf-8") == text, "run make altcha"

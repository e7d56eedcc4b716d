"""The script that takes the screenshots of the README."""

import os
import subprocess
import sys

import pytest
from support.clients import ROOT


@pytest.mark.extended
def test_the_screenshots_can_be_taken_and_are_those_in_the_docs(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "FLASK_CONFIG"}
    command = [sys.executable, "-m", "tools.screenshots", tmp_path]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, timeout=300)
    taken = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert taken.keys() == {path.name for path in (ROOT / "docs/images").iterdir()}
    assert all(10_000 < size < 200_000 for size in taken.values()), taken
    text = (ROOT / "README.md").read_text("utf-8")
    assert all(f"docs/images/{name}" in text for name in taken)

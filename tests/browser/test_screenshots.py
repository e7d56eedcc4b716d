"""The script that takes the screenshots of the README."""

import pytest
from support.clients import ROOT

from tools import screenshots


@pytest.mark.extended
def test_the_screenshots_can_be_taken_and_are_those_in_the_docs(tmp_path, monkeypatch):
    monkeypatch.delenv("FLASK_CONFIG", raising=False)
    screenshots.main(tmp_path)
    taken = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert taken.keys() == {path.name for path in (ROOT / "docs/images").iterdir()}
    assert all(10_000 < size < 200_000 for size in taken.values()), taken
    text = (ROOT / "README.md").read_text("utf-8")
    assert all(f"docs/images/{name}" in text for name in taken)

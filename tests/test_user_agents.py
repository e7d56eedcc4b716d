"""User-Agent headers in words, as real browsers, apps and bots of 2024 to 2026 send them."""

import pytest
from support.clients import ROOT

from app.security.user_agents import device_kind, in_words

# Each line has the kind of device, the words, and the header.
TABLE = (ROOT / "tests/support/user_agents.txt").read_text()
REAL = [(line[:9].strip(), line[9:39].strip(), line[39:]) for line in TABLE.splitlines()]


@pytest.mark.parametrize(("kind", "words", "header"), REAL)
def test_user_agent_in_words(kind, words, header):
    assert (device_kind(header), in_words(header)) == (kind, words)


@pytest.mark.parametrize("header", ["", "Visit example.com/1.0", "<b>Firefox</b>", "\0", "x" * 100_000, "(" * 5_000])
def test_no_word_of_an_unknown_user_agent_is_shown(header):
    assert (device_kind(header), in_words(header)) == ("globe", "Unknown browser")

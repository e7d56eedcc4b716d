"""Browsers in words: "Firefox on Linux"."""

import re

import ua_parser


def in_words(user_agent: str) -> str:
    """Say which browser and system a User-Agent header names. Whatever it holds, no link can come of it."""
    found = ua_parser.parse(user_agent)
    names = [found.user_agent and found.user_agent.family, found.os and found.os.family]
    browser, system = (re.sub(r"[^A-Za-z0-9 ]", "", name or "")[:40] for name in names)
    return f"{browser or 'An unknown browser'} on {system}" if system else browser or "An unknown browser"

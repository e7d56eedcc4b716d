"""Portability to Windows, simulated: its strftime() lacks `%-d`, and its select module lacks poll()."""

import re
import select
import socket
from datetime import UTC, datetime

import pytest
from support.clients import ROOT, on_sqlite

from app import database

GLIBC_ONLY = re.compile(r"%[-_#^0][A-Za-z]|%[eklPRTDhnrtGgVuCs]")
FORMATS = re.compile(r"""strftime\(["'](.*?)["']\)|\{[^{}"']*?:([^{}"']*%[^{}"']*)\}""")


def formats():
    for file in [ROOT / "config.py", *(ROOT / "settings").rglob("*"), *(ROOT / "app").rglob("*")]:
        if file.suffix in {".py", ".html", ".txt"}:
            for found in FORMATS.finditer(file.read_text()):
                yield file.relative_to(ROOT), found[1] or found[2]


def test_no_time_format_depends_on_the_platform():
    found = list(formats())
    assert len(found) > 5
    assert [(file, form) for file, form in found if GLIBC_ONLY.search(form)] == []


@pytest.mark.parametrize("form", ["%-d %B %Y", "%#d", "%e", "%_d", "%R", "%-H:%M", "%k:%M", "%s"])
def test_platform_dependent_time_formats_are_found(form):
    assert GLIBC_ONLY.search(form)


@pytest.mark.parametrize("form", ["%d %B %Y", "%Y-%m-%d %H:%M:%S", "%H:%M UTC", "%A, %j", "%I %p"])
def test_portable_time_formats_are_allowed(form):
    assert not GLIBC_ONLY.search(form)


@on_sqlite
def test_pages_show_dates(client, ada, outbox, clock):
    clock.time = datetime(2031, 5, 4, 8, 5, tzinfo=UTC)
    client.log_in(ada)
    assert "4 May 2031, 08:05 UTC" in client.get("/auth/devices").text + client.get("/auth/history").text


@pytest.mark.parametrize("has_poll", [True, False], ids=["elsewhere", "on Windows"])
def test_a_connection_closed_by_the_server_is_detected(monkeypatch, has_poll):
    if not has_poll:
        monkeypatch.delattr(select, "poll")
    here, there = socket.socketpair()
    with here, there:
        assert not database._is_readable(here.fileno())
        there.send(b"X")
        assert database._is_readable(here.fileno())
        here.recv(1)
        there.close()
        assert database._is_readable(here.fileno())

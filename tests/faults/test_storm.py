"""Sixty-four simultaneous logins with the real hash: memory is bounded, and other pages answer meanwhile."""

import statistics
import threading
from collections import Counter
from pathlib import Path

import pytest
from support.clients import on_sqlite
from support.serving import Browser, all_at_once, ready

pytestmark = pytest.mark.extended

CROWD = 64
MIB = 2**20


def memory(site):
    """Bytes that the worker processes of a site hold."""
    page = 4096
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            if parent == site.web.process.pid:
                found.append(int((stat.parent / "statm").read_text().split()[1]) * page)
        except OSError:  # it has ended
            continue
    assert len(found) == site.processes
    return sum(found)


@on_sqlite
def test_a_storm_of_logins_bounds_memory_and_keeps_pages_answering(site, ada, capsys):
    running = site(wsgi="flasky:app", processes=2, RATELIMIT_ENABLED="0")
    visitor = Browser(running)
    stylesheet = visitor.get("/").text.partition('rel="stylesheet" href="')[2].partition('"')[0]
    assert {Browser(running).log_in("ada").status for _ in range(4)} == {302}, "its hash is renewed, both are warm"
    calls, pages, sizes = ready(running, "/auth/login", CROWD, login="ada", password="wrong"), [], []
    before, over = memory(running), threading.Event()

    def look():
        while not over.is_set():
            pages.extend([visitor.get("/"), visitor.get(stylesheet)])
            sizes.append(memory(running))

    looking = threading.Thread(target=look)
    looking.start()
    answers = all_at_once(calls)
    over.set()
    looking.join()
    statuses, growth = Counter(answer.status for answer in answers), max(sizes) - before
    slowest = max(answer.seconds for answer in answers)
    times = sorted(page.seconds for page in pages)
    with capsys.disabled():
        print(f"\n{dict(statuses)}, the slowest after {slowest:.1f} s; memory +{growth / MIB:.0f} MiB")
        print(f"{len(pages)} pages, median {statistics.median(times) * 1000:.0f} ms, slowest {times[-1] * 1000:.0f} ms")
    assert set(statuses) == {422, 503}
    assert all(0 < int(answer.headers["Retry-After"]) <= 60 for answer in answers if answer.status == 503)
    assert {page.status for page in pages} == {200}
    assert growth < 300 * MIB
    assert statistics.median(times) < slowest / 5
    assert Browser(running).log_in("ada").status == 302
    assert "500" not in running.requests()

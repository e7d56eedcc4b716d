"""Rate limits that several processes share, and locked counters."""

import sqlite3
from collections import Counter
from contextlib import closing

import pytest
from sqlalchemy import make_url
from support.clients import on_sqlite
from support.serving import Browser, all_at_once, ready

from app.models import User

pytestmark = pytest.mark.extended


def test_four_processes_check_five_of_fifty_simultaneous_wrong_passwords(site, ledger, ada):
    running = site(processes=4)
    answers = all_at_once(ready(running, "/auth/login", 50, login="ada", password="wrong"))
    answers += [Browser(running).log_in("ada", "wrong") for _ in range(8)]
    looked_at = Counter(answer.status for answer in answers)[422]
    assert {answer.status for answer in answers} == {422, 429}
    assert len({answer.headers["X-Process"] for answer in answers}) > 1
    assert ledger.times("login_failed") == looked_at
    # A process that waited for half a second for a lock, or a second for a connection, counts for itself, and says so.
    alone = running.log.read_text().count("counts for itself")
    assert 5 <= looked_at <= 5 + 5 * alone


def test_four_processes_allow_sixty_registrations_from_a_network(site, ledger):
    running = site(processes=4)
    answers = [Browser(running).register(f"person{number}") for number in range(61)]
    assert [answer.status for answer in answers] == [302] * 60 + [429]
    assert len({answer.headers["X-Process"] for answer in answers}) > 1
    assert ledger.count(User) == 60


@on_sqlite
def test_with_locked_counters_each_process_counts_alone(site, app, ada):
    """Nobody waits for the counts, nobody gets a 500, and nobody guesses without end."""
    running = site(processes=2)
    calls = ready(running, "/auth/login", 40, login="ada", password="wrong")
    with closing(sqlite3.connect(make_url(app.config["SQLALCHEMY_DATABASE_URI"]).database)) as another:
        another.execute("BEGIN IMMEDIATE")
        answers = all_at_once(calls)
        another.rollback()
    statuses = Counter(answer.status for answer in answers)
    assert statuses[429] >= 25, "five each, and a few whom the library's count in memory misses at its start"
    assert set(statuses) == {429, 503}, "the line of history can't be written"
    assert Browser(running).log_in("ada").status == 302
    assert running.log.read_text().count("counts for itself") == 2, "one warning for each process"

"""Limits where several processes share one count, and where what counts is locked."""

import sqlite3
from collections import Counter
from contextlib import closing

import pytest
from sqlalchemy import make_url
from support.clients import on_sqlite
from support.serving import Browser, all_at_once, ready

from app.extensions import db
from app.models import User

pytestmark = pytest.mark.extended


def test_of_fifty_wrong_passwords_at_once_to_four_processes_five_are_looked_at(site, ledger, ada):
    running = site(processes=4)
    answers = all_at_once(ready(running, "/auth/login", 50, login="ada", password="wrong"))
    answers += [Browser(running).log_in("ada", "wrong") for _ in range(8)]
    looked_at = Counter(answer.status for answer in answers)[422]
    assert {answer.status for answer in answers} == {422, 429}
    assert len({answer.headers["X-Process"] for answer in answers}) > 1
    assert ledger.times("login_failed") == looked_at
    # SQLite lets one write at a time: a process that has waited for half a second counts for itself, and says so.
    alone = running.log.read_text().count("counts for itself") if db.engine.dialect.name == "sqlite" else 0
    assert 5 <= looked_at <= 5 + 5 * alone


def test_sixty_people_register_from_a_network_whichever_process_answers(site, ledger):
    running = site(processes=4)
    answers = [Browser(running).register(f"person{number}") for number in range(61)]
    assert [answer.status for answer in answers] == [302] * 60 + [429]
    assert len({answer.headers["X-Process"] for answer in answers}) > 1
    assert ledger.count(User) == 60


@on_sqlite
def test_while_another_program_writes_each_process_counts_for_itself(site, app, ada):
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

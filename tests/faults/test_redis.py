"""Rate limits in a real Redis: shared, unreachable, hanging, restarted, flushed."""

import logging
import shutil
import signal
import socket
import subprocess
import threading
from collections import Counter
from contextlib import suppress
from itertools import count

import pytest
import redis
from sqlalchemy import func, select
from support.clients import PASSWORD, on_sqlite
from support.guesses import guess, statuses
from support.serving import Browser, all_at_once, ready
from support.waiting import until

from app.extensions import db
from app.models import RateLimitCounter
from app.security.rate_limits import report
from app.security.rate_limits.counters import shared_counters

pytestmark = [pytest.mark.extended, on_sqlite]


class Redis:
    """A server on a port of loopback, which keeps nothing."""

    def __init__(self, folder):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.folder, self.url = folder, f"redis://127.0.0.1:{self.port}/0"
        self.client = redis.Redis.from_url(self.url)
        self.start()

    def start(self):
        command = [shutil.which("redis-server"), "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self.process = subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL)
        until(self.answers, "Redis")

    def answers(self):
        with suppress(redis.ConnectionError):
            return self.client.ping()

    def stop(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()


@pytest.fixture
def server(tmp_path):
    server = Redis(tmp_path)
    yield server
    server.client.close()
    server.stop()


@pytest.fixture
def settings(server):
    return {"REDIS_URL": server.url}


@pytest.fixture(autouse=True)
def hung_up(app):
    yield
    shared_counters().storage.storage.close()


def test_rate_limits_are_counted_in_redis_and_not_in_the_database(browser_at, ada):
    assert statuses(guess(browser_at(), password=PASSWORD) for _ in range(7)) == [302] * 7
    assert statuses(guess(browser_at()) for _ in range(7)) == [422] * 5 + [429] * 2
    assert 0 < int(guess(browser_at()).headers["Retry-After"]) <= 301
    assert db.session.scalar(select(func.count()).select_from(RateLimitCounter)) == 0
    counted = {"login": 5, "login_attempts": 7 + 5, "session": 7, "requests": 7 + 7 + 1, "login_delay": 5}
    assert {entry.policy: entry.count for entry in report.entries()} == counted


def test_flask_limits_reads_redis(app, browser_at, ada):
    assert statuses(guess(browser_at()) for _ in range(6)) == [422] * 5 + [429]
    runner = app.test_cli_runner()
    assert "5 of 5" in runner.invoke(args=["limits", "show"]).output
    assert "3 counters cleared" in runner.invoke(args=["limits", "clear", "ada"]).output
    assert guess(browser_at()).status_code == 422


def test_four_processes_share_the_redis_counters(site, server, ledger, ada):
    running = site(processes=4, REDIS_URL=server.url)
    answers = all_at_once(ready(running, "/auth/login", 50, login="ada", password="wrong"))
    assert Counter(answer.status for answer in answers) == {422: 5, 429: 45}
    assert ledger.times("login_failed") == 5


@pytest.mark.parametrize("how", ["away", "hanging"])
def test_without_redis_login_works_and_each_process_counts_alone(app, browser_at, ada, server, caplog, how):
    guess(browser_at())
    if how == "away":
        server.stop()
    else:
        server.process.send_signal(signal.SIGSTOP)
    with caplog.at_level(logging.WARNING):
        assert statuses(guess(browser_at()) for _ in range(7)) == [422] * 5 + [429] * 2
        assert guess(browser_at("192.0.2.2"), password=PASSWORD).status_code == 302
    assert len([record for record in caplog.records if record.name == "app.security.rate_limits.counters"]) == 1
    shown, why = (app.test_cli_runner().invoke(args=args) for args in (["limits", "show"], ["users", "why", "ada"]))
    assert "The counters can't be reached" in shown.stderr
    assert "Is REDIS_URL right, and is Redis running?" in shown.stderr
    assert (why.exit_code, "The counters can't be reached" in why.stdout) == (0, True)


def test_a_restarted_redis_counts_again(browser_at, ada, server):
    guess(browser_at())
    server.stop()
    assert guess(browser_at("192.0.2.2")).status_code == 422
    server.start()

    networks = count()

    def counts_again():
        assert guess(browser_at(f"198.51.100.{next(networks) % 250}"), password=PASSWORD).status_code == 302
        return server.client.dbsize()

    until(counts_again, "Redis to count")
    assert statuses(guess(browser_at("192.0.2.4")) for _ in range(6)) == [422] * 5 + [429]


def test_a_flushed_redis_counts_from_zero_and_logs_nobody_out(browser_at, ada, server):
    owner = browser_at("192.0.2.2")
    guess(owner, password=PASSWORD)
    assert statuses(guess(browser_at()) for _ in range(6)) == [422] * 5 + [429]
    server.client.flushall()
    assert statuses(guess(browser_at()) for _ in range(6)) == [422] * 5 + [429]
    assert owner.get("/account").status_code == 200


def test_redis_killed_under_load_fails_no_request(site, server, ada):
    running = site(processes=2, REDIS_URL=server.url)
    calls = ready(running, "/auth/login", 60, login="ada", password=PASSWORD)
    killer = threading.Timer(0.05, server.stop)
    killer.start()
    answers = Counter(answer.status for answer in all_at_once(calls))
    killer.join()
    assert set(answers) <= {302, 429}

    def both_count_alone():
        assert Browser(running).log_in("ada").status in {302, 429}
        return running.log.read_text().count("counts for itself") == 2

    until(both_count_alone, "both processes to notice")
    assert "500" not in running.requests()

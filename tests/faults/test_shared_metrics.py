"""The numbers of several processes: added up by whichever answers, without those of a dead one."""

import os
import secrets
import signal
from functools import partial
from pathlib import Path
from tempfile import gettempdir

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.clients import on_sqlite
from support.serving import Browser, all_at_once
from support.waiting import until

pytestmark = [pytest.mark.extended, on_sqlite]
TOKEN = secrets.token_hex()


def folders():
    return set(Path(gettempdir()).glob("flasky-metrics-*"))


def test_processes_add_up_their_numbers_and_drop_those_of_a_dead_one(site, ada):
    running = site(processes=2, METRICS_TOKEN=TOKEN)
    scraper = Browser(running)
    scraper.headers = {"Authorization": f"Bearer {TOKEN}"}

    def numbers():
        read = text_string_to_metric_families(scraper.get("/metrics").text)
        return {(sample.name, *sample.labels.values()): sample.value for family in read for sample in family.samples}

    def health():
        return numbers()[("flasky_requests_total", "main.healthz", "200")]

    before = health()
    answers, who = [], set()

    def both_have_answered():
        answers.extend(all_at_once([partial(Browser(running).get, "/healthz") for _ in range(2)]))
        who.update(answer.headers["X-Process"] for answer in answers)
        return len(who) == 2

    until(both_have_answered, "both processes to answer")
    assert health() == before + len(answers), "whichever process answers"
    [folder] = [path for path in folders() if (path / f"gauge_livesum_{min(who)}.db").exists()]  # other tests have some
    os.kill(int(min(who)), signal.SIGKILL)
    until(lambda: not (folder / f"gauge_livesum_{min(who)}.db").exists())
    assert health() == before + len(answers), "what it counted stays"
    assert numbers()[("flasky_database_up",)] == 1
    running.stop()
    assert not folder.exists()

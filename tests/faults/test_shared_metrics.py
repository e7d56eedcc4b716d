"""The numbers of several processes: added up by whichever answers, without those of a dead one."""

import os
import secrets
import signal
import subprocess
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import gettempdir

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.clients import ROOT, on_sqlite
from support.serving import Browser, all_at_once
from support.waiting import PATIENCE, until

pytestmark = [pytest.mark.extended, on_sqlite]
FOLDERS = "flasky-metrics-*"
TOKEN = secrets.token_hex()


def folders():
    return set(Path(gettempdir()).glob(FOLDERS))


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


@pytest.mark.parametrize("is_reloaded", [False, True])
def test_a_server_that_replaces_another_has_a_folder_of_its_own_and_both_are_removed(site, tmp_path, is_reloaded):
    """kill -USR2 runs gunicorn again with the environment of its start or last reload; the latter has a folder."""
    environment = site(web=False).environment | {"TMPDIR": str(tmp_path)}
    gunicorn, pid = Path(sys.executable).with_name("gunicorn"), tmp_path / "pid"
    command = [gunicorn, "-b", "127.0.0.1:0", "--pid", pid, "cheap:app"]
    with (tmp_path / "log").open("w") as log:
        old = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=log, start_new_session=True)
    try:
        until(lambda: len(in_use(tmp_path)) == 1, "the server to start")
        [first] = in_use(tmp_path)
        before = workers(first)
        if is_reloaded:
            os.kill(old.pid, signal.SIGHUP)
            until(lambda: workers(first) and not workers(first) & before, "the reload")
        os.kill(old.pid, signal.SIGUSR2)
        until(lambda: len(in_use(tmp_path)) == 2, "the other server to start")
        new = int(pid.with_suffix(".2").read_text())
        old.terminate()
        old.wait(PATIENCE)
        assert not first.exists()
        assert len(in_use(tmp_path)) == 1, "that of the new server"
        os.kill(new, signal.SIGTERM)
        until(lambda: not list(tmp_path.glob(FOLDERS)), "the new server to end")
    finally:
        with suppress(ProcessLookupError):
            os.killpg(old.pid, signal.SIGKILL)
        old.wait(PATIENCE)


def workers(folder):
    return set(folder.glob("gauge_livesum_*.db"))


def in_use(parent):
    """Return the folders in which a worker counts."""
    return {path.parent for path in parent.glob(f"{FOLDERS}/*.db")}

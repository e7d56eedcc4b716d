"""The numbers of several processes: added up by whichever answers, without those of a dead one."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from functools import partial
from http.client import HTTPException
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.clients import ROOT, on_sqlite
from support.disks import fill, small_disk
from support.serving import Browser, Running, all_at_once
from support.waiting import PATIENCE, until

pytestmark = [pytest.mark.extended, on_sqlite]
FOLDERS = "flasky-metrics-*"
TOKEN = secrets.token_hex()
UNUSABLE = "PROMETHEUS_MULTIPROC_DIR names a folder that can't be used: "


def numbers_of(site):
    scraper = Browser(site)
    scraper.headers = {"Authorization": f"Bearer {TOKEN}"}
    answer = scraper.get("/metrics")
    assert answer.status == 200
    read = text_string_to_metric_families(answer.text)
    return {(sample.name, *sample.labels.values()): sample.value for family in read for sample in family.samples}


def health_of(site):
    return numbers_of(site)[("flasky_requests_total", "main.healthz", "200")]


def test_processes_add_up_their_numbers_and_drop_those_of_a_dead_one(site, ada):
    running = site(processes=2, METRICS_TOKEN=TOKEN)
    numbers, health = partial(numbers_of, running), partial(health_of, running)
    before = health()
    answers, who = [], set()

    def both_have_answered():
        answers.extend(all_at_once([partial(Browser(running).get, "/healthz") for _ in range(2)]))
        who.update(answer.headers["X-Process"] for answer in answers)
        return len(who) == 2

    until(both_have_answered, "both processes to answer")
    assert health() == before + len(answers), "whichever process answers"
    [folder] = running.folder.glob(FOLDERS)
    os.kill(int(min(who)), signal.SIGKILL)
    until(lambda: not (folder / f"gauge_livesum_{min(who)}.db").exists())
    assert health() == before + len(answers), "what it counted stays"
    assert numbers()[("flasky_database_up",)] == 1
    running.stop()
    assert not folder.exists()


def test_a_full_disk_for_temporary_files_stops_no_process(site, ada):
    """A number that finds no room in a mapped file would end the process."""
    with small_disk() as make:
        folder = make("1m")
        running = site(processes=2, TMPDIR=str(folder), METRICS_TOKEN=TOKEN)
        processes = set(running.web.processes())
        fill(folder)
        browser = Browser(running)
        pages = ["/", "/healthz", "/readyz", "/auth/login", "/auth/register", "/auth/reset"] * 4
        assert [browser.get(page).status for page in pages] == [200] * len(pages)
        assert set(running.web.processes()) == processes
        running.stop()


def test_a_lost_folder_stops_no_process_and_is_made_again(site, tmp_path, ada):
    folder = tmp_path / "not" / "there yet"
    running = site(METRICS_TOKEN=TOKEN, PROMETHEUS_MULTIPROC_DIR=str(folder))
    assert list(folder.glob("*.db"))
    shutil.rmtree(folder)
    assert health_of(running) > 0
    before = Browser(running).get("/healthz").headers["X-Process"]
    os.kill(running.web.process.pid, signal.SIGHUP)
    until(lambda: Browser(running).get("/healthz").headers["X-Process"] != before, "the new process")
    assert list(folder.glob("*.db"))
    assert health_of(running) > 0


def test_a_full_folder_is_named_in_the_log_until_there_is_room(site, ada):
    with small_disk() as make:
        folder = make("2m")
        running = site(METRICS_TOKEN=TOKEN, PROMETHEUS_MULTIPROC_DIR=str(folder))
        before = Browser(running).get("/healthz").headers["X-Process"]
        fill(folder)
        os.kill(int(before), signal.SIGKILL)
        until(lambda: f"{UNUSABLE}[Errno 28] No space left" in running.log.read_text(), "the reason")
        (folder / "full").unlink()
        until(lambda: answers(running), "the next process")
        assert health_of(running) > 0
        running.stop()


def answers(site):
    try:
        return Browser(site, patience=1).get("/healthz").status == 200
    except (OSError, HTTPException):  # the process has ended
        return False


def test_a_folder_that_can_not_be_used_is_named_with_its_setting(site, tmp_path):
    (tmp_path / "file").touch()
    running = site(web=False, PROMETHEUS_MULTIPROC_DIR=str(tmp_path / "file" / "folder"))
    running.web = Running(["gunicorn", "-b", "127.0.0.1:0", running.wsgi], running.environment, running.log)
    assert running.web.process.wait(PATIENCE) == 1
    log = running.log.read_text()
    assert UNUSABLE in log
    assert "Traceback" not in log


@pytest.mark.parametrize("is_reloaded", [False, True])
def test_a_server_that_replaces_another_has_a_folder_of_its_own_and_both_are_removed(site, tmp_path, is_reloaded):
    """kill -USR2 runs gunicorn again with the environment of its start or last reload; the latter has a folder."""
    environment = site(web=False).environment
    gunicorn, pid = Path(sys.executable).with_name("gunicorn"), tmp_path / "pid"
    command = [gunicorn, "-b", "127.0.0.1:0", "--pid", pid, "--worker-tmp-dir", tmp_path, "cheap:app"]
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

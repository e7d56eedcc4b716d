"""`make run` in an empty folder with an empty HOME, then registration and login in a browser."""

import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from urllib.request import urlopen

import pytest
from support.clients import PASSWORD, ROOT
from support.waiting import PATIENCE, until

pytestmark = [pytest.mark.extended, pytest.mark.xdist_group("make run")]  # one clone, one installation


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """What a newcomer has after cloning."""
    folder = tmp_path_factory.mktemp("newcomer") / "flasky"
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class MakeRun:
    """`make run`, until it is left."""

    def __init__(self, folder, port):
        self.port, self.output = port, folder.parent / f"output-{port}"
        home = folder.parent / "home"
        home.mkdir(exist_ok=True)
        kept = {
            name: value for name, value in os.environ.items() if name in {"PATH", "LANG"} or name.startswith("PIP_")
        }
        environment = kept | {"HOME": str(home), "PORT": str(port)}
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                ["make", "run"],
                cwd=folder,
                env=environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
            )

    def wait_until_it_answers(self):
        until(self._answers, "make run", 600)  # it installs what the application needs

    def _answers(self):
        assert self.process.poll() is None, f"make run ended:\n{self.output.read_text()}"
        try:
            with urlopen(f"http://localhost:{self.port}/", timeout=PATIENCE):
                return True
        except OSError:
            return False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """What Ctrl-C does."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            raise


def test_make_run_serves_registration_confirmation_and_remember_me(clone, playwright, launch, tmp_path):
    def open_browser():
        context = playwright.chromium.launch_persistent_context(tmp_path / "profile", base_url=url, **launch)
        context.set_default_timeout(60_000)
        return context, context.pages[0]

    with MakeRun(clone, free_port()) as run:
        run.wait_until_it_answers()
        url = f"http://localhost:{run.port}"
        context, page = open_browser()
        home, mailbox = re.findall(rf"{url}/\S*", run.output.read_text())
        assert mailbox.startswith(f"{url}/dev/mailbox?token=")

        page.goto(home)
        assert page.url == f"{url}/"
        page.get_by_role("link", name="Create account").first.click()
        for label, value in {"Email address": "ada@example.com", "Username": "ada"}.items():
            page.get_by_label(label).fill(value)
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.get_by_role("button", name="Create account", exact=True).click()
        page.get_by_text("We sent a link and a code to").wait_for()
        page.get_by_role("link", name="Open the development mailbox").click()
        email = page.get_by_role("link", name="Confirm your email address")
        until(lambda: page.reload() and email.count(), "the email")  # a thread delivers it
        email.click()
        page.frame_locator("iframe").get_by_role("link", name="Confirm email address").click()
        page.get_by_text("Your email address is confirmed").wait_for()
        page.get_by_role("heading", name="Hello, ada!").wait_for()

        for remember in (True, False):
            page.locator("header summary").click()
            page.get_by_role("button", name="Log out").click()
            page.get_by_text("You have been logged out.").wait_for()
            page.get_by_label("Email or username").fill("ada")
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_label("Keep me logged in").set_checked(remember)
            page.get_by_role("button", name="Log in", exact=True).click()
            page.get_by_role("heading", name="Hello, ada!").wait_for()
            context.close()
            context, page = open_browser()
            page.goto("/")
            page.get_by_role("heading", name="Hello, ada!" if remember else "Welcome to Flasky").wait_for()
        context.close()


def test_make_run_again_installs_and_changes_nothing(clone):
    with MakeRun(clone, free_port()) as run:
        run.wait_until_it_answers()
    before = tree(clone)
    with MakeRun(clone, free_port()) as run:
        run.wait_until_it_answers()
    assert "Installing" not in run.output.read_text()
    assert tree(clone) == before


def test_make_run_names_the_setting_when_the_port_is_taken(clone):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with MakeRun(clone, port) as run:
            assert run.process.wait(600) != 0
    assert f"Another program uses port {port}" in run.output.read_text()
    assert f"PORT={port + 1} make run" in run.output.read_text()
    assert "Traceback" not in run.output.read_text()


def tree(folder):
    """All files but caches and the database's side files, with what is in them."""
    return {
        path: path.read_bytes()
        for path in Path(folder).rglob("*")
        if path.is_file() and ".venv" not in path.parts and "__pycache__" not in path.parts and "-" not in path.suffix
    }

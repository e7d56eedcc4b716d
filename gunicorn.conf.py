"""The configuration of the WSGI server: `gunicorn flasky:app`. WEB_CONCURRENCY is the number of processes (2).

Gunicorn finds it in the working directory. From elsewhere: `gunicorn -c /path/gunicorn.conf.py flasky:app`.
"""

import os
from contextlib import suppress
from pathlib import Path

from dotenv import dotenv_values

FILE = Path(__file__).resolve()

settings = dict(os.environ)
# python-dotenv reads this variable in the same way.
if os.environ.get("PYTHON_DOTENV_DISABLED", "").lower() not in {"1", "true", "t", "yes", "y"}:
    with suppress(OSError, ValueError):  # the application reports it at start
        settings = dotenv_values(FILE.with_name(".env")) | settings  # each reload reads the file again

os.environ["GUNICORN_CONF"] = str(FILE)  # flasky.py warns where it is missing
chdir = str(FILE.parent)
bind = "127.0.0.1:8000"
workers = int(settings.get("WEB_CONCURRENCY") or 2)
worker_class = "gthread"
threads = 32  # many, so that requests that wait for a password hash leave some for pages
limit_request_line = 8190  # bytes, gunicorn's maximum: some callbacks exceed its default; then web/request_size.py
graceful_timeout = 10  # seconds that a request may take after SIGTERM

# The application decides which X-Forwarded-* headers count (TRUSTED_PROXIES, TRUSTED_PROXY_NETWORKS).
forwarded_allow_ips = ""
secure_scheme_headers = {}
forwarder_headers = ""

control_socket_disable = True  # all servers of a user would share it


def post_worker_init(worker):
    """Share the cores with the other workers, and start delivering emails before the first request."""
    from app.security import hashing

    hashing.share(worker.cfg.workers)
    if worker.wsgi.config["MAIL_DELIVERY"] == "thread":
        worker.wsgi.extensions["delivery"].start()


def worker_exit(server, worker):
    """Finish the email that is being delivered."""
    if hasattr(worker, "wsgi"):  # it may have failed to start
        worker.wsgi.extensions["delivery"].stop(wait=10)

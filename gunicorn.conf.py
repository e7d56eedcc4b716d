"""How the WSGI server runs it: `gunicorn flasky:app`. WEB_CONCURRENCY says how many processes; 2 if it is not set.

It is found in the working directory. From elsewhere: `gunicorn -c /path/gunicorn.conf.py flasky:app`.
"""

import os
from contextlib import suppress
from pathlib import Path

from dotenv import dotenv_values

FILE = Path(__file__).resolve()

settings = dict(os.environ)
if os.environ.get("PYTHON_DOTENV_DISABLED", "").lower() not in {
    "1",
    "true",
    "t",
    "yes",
    "y",
}:  # as python-dotenv has it
    with suppress(OSError, ValueError):  # the application reports it at start
        settings = dotenv_values(FILE.with_name(".env")) | settings  # the workers read it anew at each reload

os.environ["GUNICORN_CONF"] = str(FILE)  # flasky.py warns where it is missing
chdir = str(FILE.parent)
bind = "127.0.0.1:8000"
workers = int(settings.get("WEB_CONCURRENCY") or 2)
worker_class = "gthread"
threads = 32  # many: those who wait for a password to be checked leave some for pages
limit_request_line = 8190  # bytes, gunicorn's most: callbacks and links are longer than its default; then bounds.py
graceful_timeout = 10  # seconds that a request may take after SIGTERM

# TRUSTED_PROXIES and TRUSTED_PROXY_NETWORKS say which X-Forwarded-* headers count, not the server.
forwarded_allow_ips = ""
secure_scheme_headers = {}
forwarder_headers = ""

control_socket_disable = True  # it would be one for all the servers of a user


def post_worker_init(worker):
    """Share the cores with the other workers; deliver emails from the start, not from the first request on."""
    from app.security import hashing

    hashing.share(worker.cfg.workers)
    if worker.wsgi.config["MAIL_DELIVERY"] == "thread":
        worker.wsgi.extensions["delivery"].start()


def worker_exit(server, worker):
    """Let the email in hand be finished."""
    if hasattr(worker, "wsgi"):  # it may have failed to start
        worker.wsgi.extensions["delivery"].stop(wait=10)

"""A site as strangers reach it: real processes with production settings, on loopback, and browsers that ask it.

Every process is the head of a group of its own, and ended by the group's number.
"""

import html
import http.client
import json
import os
import re
import secrets
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from copy import copy
from dataclasses import dataclass
from functools import partial
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import urlencode

from support.clients import PASSWORD, ROOT
from support.waiting import PATIENCE, until


class Running:
    """A command and all its children. Its end of a pipe is open for as long as one of them lives."""

    def __init__(self, command, environment, log, pass_fds=()):
        self.alive, theirs = os.pipe()
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *command], cwd=ROOT, env=environment, stdout=output, stderr=output,
                stdin=subprocess.DEVNULL, pass_fds=[theirs, *pass_fds], start_new_session=True,
            )  # fmt: skip
        os.close(theirs)

    def processes(self):
        """The numbers of all that live: its own, and its children's."""
        living = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):  # it has ended
                if int(stat.read_text().rpartition(")")[2].split()[2]) == self.process.pid:
                    living.append(int(stat.parent.name))
        return living

    def kill(self):
        """Kill -9, the whole group at once; return when the last one is dead."""
        self.end(signal.SIGKILL)

    def end(self, how=signal.SIGTERM):
        """End it, by force if it takes too long."""
        if self.alive is None:
            return
        try:
            os.killpg(self.process.pid, how)
            if not select.select([self.alive], [], [], PATIENCE)[0]:
                os.killpg(self.process.pid, signal.SIGKILL)
                select.select([self.alive], [], [], PATIENCE)
        except ProcessLookupError:  # it has ended by itself
            pass
        self.process.wait(PATIENCE)
        os.close(self.alive)
        self.alive = None


class Site:
    """One deployment: its settings, its web server, its workers. Its port is its own even while no server runs."""

    def __init__(self, folder, database_url, sink, wsgi="cheap:app", processes=1, **settings):
        self.folder, self.wsgi, self.processes = folder, wsgi, processes
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.socket.getsockname()[1]
        self.log = folder / "site.log"
        self.order = folder / "kill-at-commit"  # see cheap.py
        self.web, self.workers = None, []
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": str(Path(__file__).parent),
            "PYTHON_DOTENV_DISABLED": "1",
            "FLASK_APP": "flasky",
            "FLASK_CONFIG": "production",
            "SECRET_KEY": secrets.token_hex(),
            "DATABASE_URL": database_url,
            "PUBLIC_URL": f"https://localhost:{self.port}",
            "MAIL_SERVER": "127.0.0.1",
            "MAIL_PORT": str(sink.port),
            "MAIL_USE_TLS": "0",
            "TRUSTED_PROXIES": "1",
            "WEB_CONCURRENCY": str(processes),
            "KILL_AT_COMMIT": str(self.order),
        } | settings

    def start(self):
        """Start the web server, and wait until each of its processes answers."""
        bind = ["-b", f"fd://{self.socket.fileno()}"]
        # A server that is killed leaves its temporary folder behind.
        place = [] if "TMPDIR" in self.environment else ["--worker-tmp-dir", str(self.folder)]
        command = ["gunicorn", *bind, *place, self.wsgi]
        self.web = Running(command, self.environment, self.log, [self.socket.fileno()])
        seen, expected = set(), self.processes if self.wsgi == "cheap:app" else 1
        with ThreadPoolExecutor(self.processes) as pool:  # at once: one alone is answered by the same again and again

            def all_are_seen():
                seen.update(pool.map(lambda _: self._who_answers(), range(self.processes)))
                return len(seen - {None}) == expected

            until(all_are_seen, "every process to answer")
        return self

    def work(self):
        """Start another `flask mail worker`."""
        self.workers.append(Running(["flask", "mail", "worker"], self.environment, self.log))
        return self.workers[-1]

    def kill(self):
        self.web.kill()

    def stop(self):
        for running in [self.web, *self.workers]:
            if running:
                running.end()
        self.socket.close()

    def _who_answers(self):
        assert self.web.process.poll() is None, f"gunicorn ended: {self.log.read_text()[-2000:]}"
        try:
            answer = Browser(self, patience=1).get("/healthz")
        except TimeoutError:  # nobody is there yet
            return None
        assert answer.status == 200
        return answer.headers["X-Process"] or "flasky:app"

    def requests(self):
        """How often each status was answered, by the site's own log."""
        return Counter(
            line["message"].rpartition(" ")[2]
            for line in map(_json, self.log.read_text().splitlines())
            if line.get("log.logger") == "request"
        )


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    text: str
    seconds: float
    body: bytes = b""

    @property
    def token(self):
        return html.unescape(re.search(r'name="csrf_token" value="([^"]+)"', self.text)[1])


class Browser:
    """A browser behind a proxy that speaks TLS: it says so, keeps cookies, and names the page that it comes from."""

    def __init__(self, site, patience=PATIENCE):
        known = {f"__Host-device-{site.port}": "d" * 43}  # to everybody's account: no email tells of a new one
        self.port, self.patience, self.cookies = site.port, patience, known
        self.headers = {}  # what it says instead

    def copy(self):
        """Another browser, which has got hold of this one's cookies."""
        other = copy(self)
        other.cookies = dict(self.cookies)
        return other

    def get(self, path):
        return self.ask("GET", path)

    def post(self, path, **fields):
        return self.ask("POST", path, urlencode(fields))

    def submit(self, path, **fields):
        """Open a form, fill it in and send it."""
        return self.post(path, csrf_token=self.get(path).token, **fields)

    def register(self, username, email=None):
        return self.submit("/auth/register", **registration(username, email))

    def log_in(self, username, password=PASSWORD):
        return self.submit("/auth/login", login=username, password=password)

    def ask(self, method, path, body=None):
        """Send a request. Raises OSError or HTTPException if no answer comes."""
        origin = f"https://localhost:{self.port}"
        headers = {"Host": f"localhost:{self.port}", "X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7"}
        headers |= {"Connection": "close", "Accept": "text/html", "Referer": origin + path, "Origin": origin}
        headers |= self.headers
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        begun = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.patience)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        for line in response.headers.get_all("Set-Cookie", []):
            for name, morsel in SimpleCookie(line).items():
                self.cookies[name] = morsel.value
        return Answer(response.status, response.headers, body.decode(errors="replace"), time.monotonic() - begun, body)


def all_at_once(askings):
    """Do all of it at the same moment, and return the answers."""

    def ask(asking):
        start.wait()
        return asking()

    start = threading.Barrier(len(askings))
    with ThreadPoolExecutor(len(askings)) as threads:
        return list(threads.map(ask, askings))


def registration(username, email=None):
    """What a person writes into the form."""
    email = email or f"{username}@example.com"
    return {"email": email, "username": username, "password": PASSWORD, "confirm_password": PASSWORD}


def _json(line):
    try:
        return json.loads(line)
    except ValueError:  # gunicorn's own
        return {}


def ready(site, address, count, **form):
    """So many browsers that have opened a form, each ready to send it."""
    browsers = [Browser(site) for _ in range(count)]
    return [partial(browser.post, address, csrf_token=browser.get(address).token, **form) for browser in browsers]

"""A real nginx with the configuration of docs/nginx.conf, a real gunicorn behind it, and a visitor to both."""

import http.client
import os
import re
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from contextlib import closing
from http.cookies import SimpleCookie
from urllib.parse import urlencode, urljoin, urlsplit

from support.clients import ROOT
from support.mail_server import Authority
from support.waiting import until

HERE, VISITOR = "127.0.0.1", "127.0.0.2"  # where the servers are, and where their visitor is: not the same
SECRET_KEY = secrets.token_hex()

SURROUNDINGS = """
pid {folder}/nginx.pid;
daemon off;
worker_processes 1;
events {{ }}
http {{
    access_log off;
    client_body_buffer_size 16m;  # uploads stay in memory: its processes can't write into a folder of the tests
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind((HERE, 0))
        return probe.getsockname()[1]


class Process:
    """A server in the foreground, its standard error in a file."""

    def __init__(self, command, log, port, **options):
        self.log = log
        with log.open("w") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True, **options)
        try:
            until(lambda: self._answers(port))
        except AssertionError:
            self.stop()
            raise RuntimeError(log.read_text()) from None

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(120)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def _answers(self, port):
        assert self.process.poll() is None
        with socket.socket() as caller:
            return caller.connect_ex((HERE, port)) == 0


class Gunicorn(Process):
    """The application as production runs it, with these settings alone. `root` is where its code is."""

    def __init__(self, folder, public_url, database_url, root=ROOT, **settings):
        self.port = free_port()
        settings |= {"SECRET_KEY": SECRET_KEY, "PUBLIC_URL": public_url, "DATABASE_URL": database_url}
        command = [sys.executable, "-m", "gunicorn", "--bind", f"{HERE}:{self.port}", "flasky:app"]
        alone = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHON_DOTENV_DISABLED": "1", "WEB_CONCURRENCY": "2"}
        self.environment = alone | settings
        super().__init__(command, folder / "gunicorn.log", self.port, cwd=root, env=self.environment)


class Nginx(Process):
    """docs/nginx.conf, with our addresses in the place of its own.

    `behind` are the ports that it passes requests to. `path` is where the application is, with a slash at its end;
    nginx takes it off on the way if `take_off` says so. `root` is where docs/nginx.conf is.
    """

    def __init__(self, folder, port, behind, path="/", take_off=False, changes=(), root=ROOT):
        self.port, self.http_port, self.authority = port, free_port(), Authority(folder)
        certificate = self.authority.certify("localhost").rename(folder / "certificate.pem")
        ours = {
            "listen 80;": f"listen {HERE}:{self.http_port};",
            "listen 443 ssl;": f"listen {HERE}:{self.port} ssl;",
            "server_name example.com;": "server_name localhost;",
            "/etc/letsencrypt/live/example.com/fullchain.pem": str(certificate),
            "/etc/letsencrypt/live/example.com/privkey.pem": str(certificate),  # the key is in it
            "location / {": f"location {path} {{",
            "server 127.0.0.1:8000;": " ".join(f"server {HERE}:{port};" for port in behind),
            "http://flasky;": f"http://flasky{'/' if take_off else ''};",
        }
        site = (root / "docs/nginx.conf").read_text()
        for example, own in (ours | dict(changes)).items():
            assert site.count(example) == 1, example
            site = site.replace(example, own)
        (folder / "site.conf").write_text(site)
        (folder / "nginx.conf").write_text(SURROUNDINGS.format(folder=folder))
        nginx = shutil.which("nginx") or "/usr/sbin/nginx"
        command = [nginx, "-c", str(folder / "nginx.conf"), "-p", str(folder), "-e", "stderr"]
        super().__init__(command, folder / "nginx.log", self.port)


class Answer:
    def __init__(self, response, url):
        self.status, self.headers, self.url = response.status, response.headers, url
        self.text = response.read().decode(errors="replace")  # an icon is no text

    def set_cookies(self):
        return [cookie for line in self.headers.get_all("Set-Cookie", []) for cookie in SimpleCookie(line).values()]

    @property
    def location(self):
        """Where it leads, in full."""
        return urljoin(self.url, self.headers["Location"])

    @property
    def csrf_token(self):
        return re.search(r'name="csrf_token" value="([^"]+)"', self.text)[1]


class Visitor:
    """A browser without a screen: it keeps cookies, says where it comes from, and checks the certificate."""

    def __init__(self, home, authority=None, address=VISITOR):
        self.home, self.address = home, address
        self.trust = authority and ssl.create_default_context(cafile=authority.file)
        self.cookies = {}  # what it holds
        self.answers = []  # what it got

    def get(self, url, **headers):
        return self.ask("GET", url, None, headers)

    def post(self, url, form, **headers):
        """Send a form from the page that was shown last."""
        page = self.answers[-1]
        return self.ask("POST", url, {"csrf_token": page.csrf_token} | form, {"Referer": page.url} | headers)

    def follow(self, answer):
        """Go where redirects lead."""
        while answer.status in {301, 302, 303}:
            answer = self.get(answer.location)
        return answer

    def ask(self, method, url, form, headers):
        """Ask for a full address, or for a path below home. In names of headers, _ is -; None leaves one out."""
        url = urljoin(f"{self.home}/", url)
        place = urlsplit(url)
        known = {name.replace("_", "-"): value for name, value in headers.items() if value is not None}
        sent = {"Host": place.netloc, "Cookie": "; ".join(map("=".join, self.cookies.items()))} | known
        if form is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        with closing(self._connect(place)) as connection:
            connection.request(method, place._replace(scheme="", netloc="").geturl(), form and urlencode(form), sent)
            self.answers.append(Answer(connection.getresponse(), url))
        for cookie in self.answers[-1].set_cookies():
            self.cookies[cookie.key] = cookie.value
        return self.answers[-1]

    def _connect(self, place):
        if place.scheme == "http":
            return http.client.HTTPConnection(HERE, place.port, timeout=120, source_address=(self.address, 0))
        return http.client.HTTPSConnection(
            place.hostname, place.port, timeout=120, source_address=(self.address, 0), context=self.trust
        )

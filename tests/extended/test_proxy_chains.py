"""Chains of proxies: one or two more nginx before that of docs/nginx.conf, as a CDN or a load balancer would stand."""

import json
import shutil
import subprocess
import sys

import pytest
from support.clients import ROOT
from support.nginx import HERE, SURROUNDINGS, VISITOR, Gunicorn, Nginx, Process, Visitor, free_port

pytestmark = [pytest.mark.extended, pytest.mark.xdist_group("proxy chains")]

OUTER = """
server {{
    listen {here}:{port} ssl;
    ssl_certificate {certificate};
    ssl_certificate_key {certificate};
    location / {{
        proxy_pass https://{here}:{behind};
        proxy_set_header Host $http_host;
        {headers}
    }}
}}
"""
FOR = "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;"
APPENDED = (
    FOR
    + """
        proxy_set_header X-Forwarded-Proto "$http_x_forwarded_proto, $scheme";
        proxy_set_header X-Forwarded-Host "$http_x_forwarded_host, $http_host";"""
)
PRODUCTS = {
    "overwrites": FOR + " proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $http_host;",
    "appends": APPENDED,
    "drops": FOR + ' proxy_set_header X-Forwarded-Proto ""; proxy_set_header X-Forwarded-Host "";',
}


class Outer(Process):
    """One more nginx, which speaks TLS on both sides."""

    def __init__(self, folder, port, behind, certificate, headers):
        folder.mkdir()
        site = OUTER.format(here=HERE, port=port, behind=behind, certificate=certificate, headers=headers)
        (folder / "site.conf").write_text(site)
        (folder / "nginx.conf").write_text(SURROUNDINGS.format(folder=folder))
        nginx = shutil.which("nginx") or "/usr/sbin/nginx"
        command = [nginx, "-c", str(folder / "nginx.conf"), "-p", str(folder), "-e", "stderr"]
        super().__init__(command, folder / "nginx.log", port)


@pytest.mark.parametrize(("more", "product"), [(1, "overwrites"), (2, "appends"), (2, "drops")])
def test_a_page_through_two_and_three_proxies(tmp_path, databases, more, product):
    port, started = free_port(), []
    url = f"https://localhost:{port}"
    settings = {"TRUSTED_PROXIES": str(1 + more), "MAIL_SERVER": HERE, "MAIL_DELIVERY": "worker"}
    try:
        gunicorn = Gunicorn(tmp_path, url, databases("sqlite").make(tmp_path), **settings)
        started.append(gunicorn)
        inner = Nginx(tmp_path, free_port(), [gunicorn.port])
        started.append(inner)
        behind = inner.port
        for number in reversed(range(more)):
            own = free_port() if number else port
            folder = tmp_path / f"outer{number}"
            started.append(Outer(folder, own, behind, tmp_path / "certificate.pem", PRODUCTS[product]))
            behind = own
        visitor = Visitor(url, inner.authority)
        answer = visitor.get("auth/login", X_Forwarded_For="203.0.113.9")
        assert answer.status == 200, answer.headers["Location"]
        assert "Strict-Transport-Security" in answer.headers
        lines = [json.loads(line) for line in gunicorn.log.read_text().splitlines() if line.startswith("{")]
        assert [line["client.ip"] for line in lines if "/auth/login" in line["message"]] == [VISITOR]
    finally:
        for process in reversed(started):
            process.stop()


HAPROXY = """
global
    log stderr format raw local0
defaults
    mode http
    timeout connect 10s
    timeout client 30s
    timeout server 30s
frontend in
    bind {here}:{port} ssl crt {certificate}
    option forwardfor
    http-request set-header X-Forwarded-Proto https
    default_backend out
backend out
    server next {here}:{behind}{tls}
"""
BY_HTTP = {  # what docs/nginx.conf says where TLS ends before it
    "        proxy_set_header X-Forwarded-Proto $scheme;\n        #proxy_set_header": "        proxy_set_header",
}


class HAProxy(Process):
    """HAProxy as its documentation has it: it ends TLS, adds the address of its peer, and says that it was https."""

    def __init__(self, folder, port, behind, certificate, by_tls):
        folder.mkdir()
        tls = " ssl verify none" if by_tls else ""
        config = HAPROXY.format(here=HERE, port=port, behind=behind, certificate=certificate, tls=tls)
        (folder / "haproxy.cfg").write_text(config)
        haproxy = shutil.which("haproxy") or "/usr/sbin/haproxy"
        super().__init__([haproxy, "-db", "-f", str(folder / "haproxy.cfg")], folder / "haproxy.log", port)


class Chain:
    """HAProxy, once or twice, before nginx, before gunicorn; to nginx by TLS or by http."""

    def __init__(self, folder, database_url, haproxies=1, by_tls=True, changes=(), trusted=None):
        self.port, self.started = free_port(), []
        self.url, self.folder = f"https://localhost:{self.port}", folder
        trusted = haproxies + 1 if trusted is None else trusted
        settings = {"TRUSTED_PROXIES": str(trusted), "MAIL_SERVER": HERE, "MAIL_DELIVERY": "worker"}
        try:
            self.gunicorn = self._start(Gunicorn, folder, self.url, database_url, **settings)
            nginx = self._start(Nginx, folder, free_port(), [self.gunicorn.port], changes=changes)
            self.authority, certificate = nginx.authority, folder / "certificate.pem"
            behind = nginx.port if by_tls else nginx.http_port
            for number in reversed(range(haproxies)):
                own = free_port() if number else self.port
                is_last = number == haproxies - 1
                self._start(HAProxy, folder / f"haproxy{number}", own, behind, certificate, by_tls or not is_last)
                behind = own
        except BaseException:
            self.stop()
            raise

    def _start(self, kind, *args, **options):
        self.started.append(kind(*args, **options))
        return self.started[-1]

    def doctor(self):
        """What `flask doctor` says of the proxies."""
        environment = self.gunicorn.environment | {"SSL_CERT_FILE": str(self.authority.file), "FLASK_APP": "flasky.py"}
        command = [sys.executable, "-m", "flask", "doctor"]
        ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
        return ran.stdout.partition("PUBLIC_URL, TLS and proxies")[2].partition("mail server")[0]

    def stop(self):
        for process in reversed(self.started):
            process.stop()


@pytest.fixture
def chain(tmp_path, databases):
    chains = []

    def start(**options):
        chains.append(Chain(tmp_path, databases("sqlite").make(tmp_path), **options))
        return chains[-1]

    yield start
    for started in chains:
        started.stop()


@pytest.mark.parametrize(
    ("haproxies", "options"), [(2, {"by_tls": True}), (1, {"by_tls": False, "changes": BY_HTTP})], ids=["TLS", "http"]
)
def test_behind_haproxy_visitors_keep_their_ip_address(chain, haproxies, options):
    served = chain(haproxies=haproxies, **options)
    answer = Visitor(served.url, served.authority).get("auth/login", X_Forwarded_For="203.0.113.9")
    assert answer.status == 200, answer.headers["Location"]
    lines = [json.loads(line) for line in served.gunicorn.log.read_text().splitlines() if line.startswith("{")]
    assert [line["client.ip"] for line in lines if "/auth/login" in line["message"]] == [VISITOR]
    said = served.doctor()
    assert "TRUSTED_PROX" not in said
    assert "redirects to itself" not in said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"trusted": 0}, "Set TRUSTED_PROXIES to the number of proxies in front."),
        ({"by_tls": False}, "Let the nearest proxy send X-Forwarded-Proto: https."),
        ({"trusted": 1}, "TRUSTED_PROXIES is 1, but there are 2"),
        ({"trusted": 3}, "TRUSTED_PROXIES is 3, but 2 wrote into X-Forwarded-For"),
    ],
)
def test_doctor_reports_a_wrong_chain_of_proxies(chain, options, words):
    served = chain(**options)
    said = served.doctor()
    assert words in said
    answer = Visitor(served.url, served.authority).get("auth/login")
    is_loop = (answer.status, answer.headers["Location"]) == (301, f"{served.url}/auth/login")
    assert ("redirects to itself" in said) == is_loop

"""The application behind a real nginx with TLS, at the root and under a path, and forged headers."""

import json
import re
import socket
import sqlite3
import ssl
import subprocess
import sys
from urllib.parse import urljoin, urlsplit

import pytest
from support.clients import PASSWORD, ROOT
from support.issuer import CLIENT, SECRET, Issuer
from support.mail_server import Authority, MailServer
from support.nginx import HERE, SECRET_KEY, VISITOR, Gunicorn, Nginx, Visitor, free_port
from support.waiting import until

from settings.derived import own_cookie_name

pytestmark = [pytest.mark.extended, pytest.mark.xdist_group("proxy")]  # its servers are started once

FORGED = {
    "X_Forwarded_For": "203.0.113.9",
    "X_Forwarded_Proto": "https",
    "X_Forwarded_Host": "evil.example",
    "X_Forwarded_Port": "1",
    "X_Forwarded_Prefix": "/evil",
    "X_Forwarded_Protocol": "ssl",
    "X_Forwarded_Ssl": "on",
    "Forwarded": "for=203.0.113.9;proto=https;host=evil.example",
}

WAYS = {  # the path of PUBLIC_URL, the path in nginx, whether nginx takes it off
    "at the root": ("", "/", False),
    "under a path": ("/app", "/app/", False),
    "under a path that nginx takes off": ("/app", "/app/", True),
}


class Site:
    """nginx, gunicorn behind it, a database and a mailbox."""

    def __init__(self, folder, databases, path, location, take_off):
        port = free_port()
        self.url, self.database = f"https://localhost:{port}{path}", folder / "app.db"
        self.mail_server = MailServer("normal", {})
        settings = {name: str(value) for name, value in self.mail_server.settings.items()} | {"TRUSTED_PROXIES": "1"}
        authority = Authority(folder, "the issuer's authority")
        self.issuer = Issuer(authority.certify(HERE))
        settings |= {"REQUESTS_CA_BUNDLE": str(authority.file), "OIDC_PROVIDERS": "acme", "OIDC_ACME_CLIENT_ID": CLIENT}
        settings |= {"OIDC_ACME_ISSUER": self.issuer.url, "OIDC_ACME_CLIENT_SECRET": SECRET}
        self.gunicorn = Gunicorn(folder, self.url, databases("sqlite").make(folder), **settings)
        self.nginx = Nginx(folder, port, [self.gunicorn.port], location, take_off)
        self.http = f"http://localhost:{self.nginx.http_port}{path}"

    def visitor(self):
        return Visitor(self.url, self.nginx.authority)

    def register(self, name, **headers):
        """A visitor who has just registered, and the answer."""
        visitor = self.visitor()
        visitor.get("auth/register")
        form = {"email": f"{name}@example.com", "username": name, "password": PASSWORD, "confirm_password": PASSWORD}
        return visitor, visitor.post("auth/register", form, **headers)

    def link_to(self, recipient):
        """The link in the email to `recipient`, once it has come."""
        emails = self.mail_server.received
        email = until(lambda: next((email for email in emails if email["To"] == recipient), None))
        return re.search(r"https?://\S+", email.get_body(["plain"]).get_content())[0]

    def events(self):
        with sqlite3.connect(self.database) as connection:
            found = connection.execute("SELECT action, ip FROM audit_events").fetchall()
        connection.close()
        return found

    def stop(self):
        self.nginx.stop()
        self.gunicorn.stop()
        self.mail_server.stop()
        self.issuer.stop()


@pytest.fixture(scope="module", params=WAYS)
def site(request, tmp_path_factory, databases):
    site = Site(tmp_path_factory.mktemp("site"), databases, *WAYS[request.param])
    yield site
    site.stop()


@pytest.fixture
def visitor(site):
    return site.visitor()


def logged(gunicorn):
    """The log of the application and of gunicorn: every line of it is JSON."""
    return [json.loads(line) for line in gunicorn.log.read_text().splitlines()]


def test_registration_and_login_work_behind_nginx(site):
    ada, answer = site.register("ada")
    assert ada.follow(answer).url == f"{site.url}/auth/unconfirmed"
    link = site.link_to("ada@example.com")
    assert link.startswith(f"{site.url}/auth/confirm/")
    home = ada.follow(ada.get(link))
    assert home.url == f"{site.url}/"
    assert "Hello, <bdi>ada</bdi>!" in home.text

    ada.follow(ada.post("auth/logout", {}))
    assert "Welcome to" in ada.get("").text
    assert ada.get("account").location == f"{site.url}/auth/login?next={urlsplit(site.url).path}/account"
    ada.follow(ada.answers[-1])
    account = ada.follow(ada.post(ada.answers[-1].url, {"login": "ada", "password": PASSWORD, "remember_me": "y"}))
    assert account.url == f"{site.url}/account"

    led = [answer.location for answer in ada.answers if "Location" in answer.headers]
    assert len(led) >= 5
    assert all(location.startswith(f"{site.url}/") for location in led), led
    cookies = [cookie for answer in ada.answers for cookie in answer.set_cookies()]
    assert {(cookie.key, cookie["path"], cookie["domain"], cookie["samesite"]) for cookie in cookies} == {
        (own_cookie_name("__Host-session", site.url), urlsplit(site.url).path or "/", "", "Lax"),
        (own_cookie_name("__Host-device", site.url), urlsplit(site.url).path or "/", "", "Lax"),
        (own_cookie_name("__Host-method", site.url), urlsplit(site.url).path or "/", "", "Lax"),
    }
    assert all(cookie["secure"] and cookie["httponly"] for cookie in cookies)


@pytest.mark.parametrize("length", [3000, 4090, 4200, 6000, 8000])
def test_long_urls_get_a_page_of_the_application(site, visitor, length):
    room = length - len(urlsplit(site.url).path) - 60
    callback = visitor.get(f"auth/sso/acme/callback?state=x&code={'c' * room}")
    assert callback.location == f"{site.url}/auth/login"
    link = visitor.get(f"auth/confirm/{'t' * room}")
    assert (link.status, "/assets/" in link.text) == (410, True)
    page = visitor.get(f"auth/login?next=/{'n' * room}")
    assert page.status == 200
    led = visitor.get(f"{site.http}/auth/confirm/{'t' * room}", Host=urlsplit(site.url).netloc)
    assert (led.status, led.location) == (301, f"{site.url}/auth/confirm/{'t' * room}")


def test_sso_returns_to_the_public_url(site, visitor):
    visitor.get("auth/sso/acme")
    going = visitor.post("auth/sso/acme", {})
    back = site.issuer.agree(going.headers["Refresh"], sub=site.url, email="vera@example.com", email_verified=True)
    assert back.startswith(f"{site.url}/auth/sso/acme/callback?")
    home = visitor.follow(visitor.get(back))
    assert home.url == f"{site.url}/"
    assert "Your username is vera" in home.text


def test_every_url_on_a_page_is_within_the_site(site, visitor):
    page = visitor.get("auth/login")
    named = [urljoin(page.url, name) for name in re.findall(r'(?:href|src|action)="([^"#]+)"', page.text)]
    assert len(named) >= 6
    assert all(address.startswith(f"{site.url}/") for address in named)
    assert {visitor.get(address).status for address in named} == {200}


@pytest.mark.parametrize(
    "referer", [None, "https://evil.example/", "http://localhost/", "https://localhost.evil.example/"]
)
def test_forms_are_accepted_from_our_own_pages_only(visitor, referer):
    form = {"login": "nobody", "password": PASSWORD}
    visitor.get("auth/login")
    assert visitor.post("auth/login", form, Referer=referer).status == 400
    visitor.get("auth/login")
    assert visitor.post("auth/login", form).status == 422  # understood; there is no such person


@pytest.mark.parametrize(("method", "status"), [("GET", 301), ("HEAD", 301), ("POST", 308)])
def test_http_is_redirected_to_https(site, visitor, method, status):
    public = urlsplit(site.url).netloc  # on port 80, as on 443, no port is said
    for way in ("/", "/auth/login?next=%2Faccount", "/nowhere%0D%0ASet-Cookie:%20a=b"):
        answer = visitor.ask(method, site.http + way, None, {"Host": public})
        assert (answer.status, answer.headers["Location"]) == (status, site.url + way)
        assert "Set-Cookie" not in answer.headers


def test_the_recorded_ip_address_is_the_visitors_despite_forged_headers(site):
    events, lines = len(site.events()), len(logged(site.gunicorn))
    eve, answer = site.register("eve", **FORGED)
    assert eve.follow(answer).status == 200
    assert site.events()[events:] == [("registered", VISITOR), ("logged_in", VISITOR)]
    requests = [line for line in logged(site.gunicorn)[lines:] if line["log.logger"] == "request"]
    assert [line["client.ip"] for line in requests] == [VISITOR] * len(eve.answers)


def test_forged_headers_change_no_page(site, visitor):
    assert visitor.get("auth/login", **FORGED).status == 200
    assert "evil" not in visitor.answers[-1].text
    assert visitor.get("account", **FORGED).location.startswith(f"{site.url}/auth/login")
    answer = visitor.get(f"{site.http}/", Host=urlsplit(site.url).netloc, **FORGED)
    assert answer.headers["Location"] == f"{site.url}/"


@pytest.mark.parametrize("host", ["evil.example", "localhost", "localhost.evil.example", HERE])
def test_other_hosts_are_refused_except_for_probes(visitor, site, host):
    for place in (site.url, site.http):
        refused = visitor.get(f"{place}/auth/login", Host=host)
        assert (refused.status, refused.text) == (400, "This site has another address.\n")
        assert refused.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert [visitor.get(f"{place}/{name}", Host=host).status for name in ("healthz", "readyz")] == [200, 200]
    assert visitor.cookies == {}


def test_the_log_holds_no_secret_and_no_forged_line(site):
    mallory, _ = site.register("mallory")
    link = site.link_to("mallory@example.com")
    secrets = {PASSWORD, SECRET_KEY, link.rpartition("/")[2], mallory.answers[0].csrf_token}
    secrets |= set(mallory.cookies.values())
    for way in ("", "/", "?again=1"):
        mallory.get(link + way)
    mallory.ask("POST", link, {}, {"Referer": link})
    mallory.get(link.replace(site.url, site.http), Host=urlsplit(site.url).netloc)
    mallory.get(link, Host="evil.example")
    secrets |= set(mallory.cookies.values())

    forged = '{"log.logger": "forged"}'
    another = site.visitor()
    another.get("auth/login")
    another.post("auth/login", {"login": f"mallory\r\n{forged}", "password": f"secret {PASSWORD}\n{forged}"})
    another.get(f"nowhere%0A{forged.replace(' ', '')}", User_Agent=f"a\t{forged}")
    for line_break in (b"\n", b"\r", b"\r\n ", b"\x0b", "\u2028".encode(), b"\x85"):
        for name in (b"User-Agent", b"X-Forwarded-For", b"Referer"):
            send_past_nginx(site, name + b": a" + line_break + forged.encode())

    text = site.gunicorn.log.read_text()
    assert [secret for secret in secrets if secret in text] == []
    assert "forged" not in {line["log.logger"] for line in logged(site.gunicorn)}


def send_past_nginx(site, header):
    """Ask gunicorn itself, with a header that no HTTP library would send."""
    host = urlsplit(site.url).netloc.encode()
    with socket.create_connection((HERE, site.gunicorn.port), 10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n%s\r\n\r\n" % (host, header))
        while connection.recv(1000):
            pass


def test_slow_clients_do_not_block_others(site, visitor):
    """Of each kind there are more than gunicorn has threads, and they never end."""
    begun = (
        b"GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: sl",
        b"POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        b"Content-Length: 99\r\n\r\nsl",
    )
    login = urlsplit(f"{site.url}/auth/login")
    trust = ssl.create_default_context(cafile=site.nginx.authority.file)
    slow = []
    for number in range(160):
        plain = socket.create_connection((HERE, site.nginx.port), 10)
        slow.append(trust.wrap_socket(plain, server_hostname="localhost"))
        slow[-1].sendall(begun[number % 2] % (login.path.encode(), login.netloc.encode()))
    try:
        assert [visitor.get("auth/login").status for _ in range(5)] == [200] * 5
    finally:
        for connection in slow:
            connection.close()


def test_without_a_trusted_proxy_forged_headers_are_ignored(tmp_path, databases):
    public = "https://localhost:8443"
    gunicorn = Gunicorn(
        tmp_path,
        public,
        databases("sqlite").make(tmp_path),
        MAIL_SERVER=HERE,
        MAIL_DELIVERY="worker",
        TRUSTED_PROXIES="0",
    )
    try:
        visitor = Visitor(f"http://{HERE}:{gunicorn.port}", address=HERE)  # whom gunicorn would trust by itself
        for host in ("localhost:8443", "evil.example"):
            for path in ("auth/login", "account", "healthz"):
                answers = [visitor.get(path, Host=host, **forged) for forged in ({}, FORGED)]
                plain, forged = ((a.status, a.text, a.headers["Location"], a.set_cookies()) for a in answers)
                assert plain == forged
        assert visitor.get("auth/login", Host="localhost:8443", **FORGED).headers["Location"] == f"{public}/auth/login"
        assert visitor.get("auth/login", Host="evil.example", X_Forwarded_Host="localhost:8443").status == 400
        assert {line["client.ip"] for line in logged(gunicorn) if "client.ip" in line} == {HERE}
    finally:
        gunicorn.stop()


def test_the_doctor_finds_the_proxies_well(site):
    check_doctor(site, "1", None)


@pytest.mark.parametrize("site", ["at the root"], indirect=True, scope="module")
@pytest.mark.parametrize(
    ("trusted", "words"), [("0", "all visitors seem to come from"), ("2", "clients can forge their address")]
)
def test_the_doctor_counts_the_proxies(site, trusted, words):
    check_doctor(site, trusted, words)


def check_doctor(site, trusted, words):
    known = {"SSL_CERT_FILE": str(site.nginx.authority.file), "TRUSTED_PROXIES": trusted, "VERIFY_NEW_DEVICES": "1"}
    command = [sys.executable, "-m", "flask", "doctor"]
    done = subprocess.run(command, cwd=ROOT, env=site.gunicorn.environment | known, capture_output=True, text=True)
    assert done.returncode == (1 if words else 0), done.stdout + done.stderr
    assert [words in line for line in done.stdout.splitlines() if line.startswith(" ")] == ([True] if words else [])

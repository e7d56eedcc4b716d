"""The development pages and the debugger, also behind a proxy or a tunnel."""

import http.client
import re
import socket
import subprocess
import sys

import pytest
from flask_mail import Message
from support.browsing import served
from support.clients import ROOT

from app.dev import access
from app.dev.server import GuardedDebugger

TOKEN = "token=[0-9a-f]{24}"
PUBLIC = "demo.example"  # where a proxy or a tunnel makes the development server public
LOCAL = {"Host": "localhost:{port}"}
FROM_A_BROWSER = {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-User": "?1", "Accept": "text/html"}
WAYS = {  # how a stranger's request arrives: the version of HTTP, and the headers
    "nginx, its shortest configuration": ("1.0", LOCAL | {"Connection": "close"}),
    "the same with a browser before it": ("1.0", LOCAL | FROM_A_BROWSER | {"Referer": f"https://{PUBLIC}/"}),
    "nginx with proxy_http_version 1.1": ("1.1", LOCAL | {"Connection": "close"}),
    "ssh -R, with all that the stranger writes": (
        "1.1",
        LOCAL | FROM_A_BROWSER | {"Origin": "http://localhost:{port}"},
    ),
    "a tunnel that keeps the Host": ("1.1", {"Host": PUBLIC}),
    "a tunnel for another port": ("1.1", {"Host": "localhost:8080"}),
    "HAProxy": ("1.1", {"Host": PUBLIC, "X-Forwarded-For": "203.0.113.9"}),
    "HAProxy with another Host": ("1.1", LOCAL | {"X-Forwarded-For": "203.0.113.9"}),
    "Caddy": (
        "1.1",
        LOCAL | {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Host": PUBLIC, "X-Forwarded-Proto": "https"},
    ),
    "RFC 7239": ("1.1", LOCAL | {"Forwarded": "for=203.0.113.9"}),
    "a proxy that names itself alone": ("1.1", LOCAL | {"Via": "1.1 proxy"}),
    "an empty Host": ("1.0", {"Host": ""}),
}
each_way = pytest.mark.parametrize("way", WAYS)
DEBUGGERS = [
    "/broken",
    "/console",
    "/?__debugger__=yes&cmd=resource&f=debugger.js",
    "/?__debugger__=yes&cmd=pinauth&pin=000-000-000&s=x",
    "/?__debugger__=yes&cmd=printpin&s=x",
    "/?__debugger__=yes&cmd=1%2B1&frm=0&s=x",
]


@pytest.fixture
def app(make_app, databases, tmp_path):
    settings = {"SECRET_KEY": "for tests alone", "MAILBOX": str(tmp_path / "mailbox"), "MAIL_DELIVERY": "off"}
    with make_app("development", databases("sqlite"), settings) as app:
        app.add_url_rule("/broken", view_func=lambda: 1 // 0)
        app.debug = True
        yield app


@pytest.fixture
def ask(app):
    """Ask the development server as a stranger's request arrives there, and return the answer."""
    app.extensions["mail"].send(Message("News", ["ada@example.com"], "Nothing new.", "<p>Nothing new.</p>"))

    def ask(way, path, **more):
        version, headers = WAYS[way]
        headers = {name: value.format(port=port) for name, value in (headers | more).items()}
        lines = [f"GET {path} HTTP/{version}", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        with socket.create_connection(("localhost", port), timeout=120) as connection:
            connection.sendall("\r\n".join(lines).encode())
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            answer.text = answer.read().decode()
            answer.close()
        return answer

    with served(app, GuardedDebugger(app)) as port:
        yield ask


@pytest.fixture
def browser(client):
    """A browser that has not opened the link."""
    client.delete_cookie(access.cookie_name(client.application))
    return client


def link(path="/"):
    return access.link(path).removeprefix("http://localhost:5000")


@each_way
def test_development_pages_are_hidden_behind_a_proxy(ask, way):
    for path in ("/dev/mailbox", "/dev/mailbox?address=ada", "/dev/mock-provider/authorize?client_id=flasky"):
        answer = ask(way, path, Cookie="dev_5000=x; dev_token=")
        assert answer.status in {400, 403, 404}, path
        assert "News" not in answer.text
        assert not re.search(TOKEN, answer.text + str(answer.headers))


@each_way
def test_debugger_is_hidden_behind_a_proxy(ask, way):
    for path in DEBUGGERS:
        answer = ask(way, path)
        assert not re.search(r"EVALEX|SECRET|debugger|Traceback|ZeroDivision|console|[Pp]in\b", answer.text), path


@pytest.mark.parametrize("path", ["/", "/dev/mailbox", "/auth/register?next=account", "/nowhere"])
def test_development_link_opens_the_pages_and_leaves_the_address_bar(browser, path):
    assert browser.get("/dev/mailbox").status_code == 403
    token = link("").lstrip("?")
    answer = browser.get(f"{path}{'&' if '?' in path else '?'}{token}")
    assert (answer.status_code, answer.location) == (302, path)
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert browser.get("/dev/mailbox").status_code == 200


def test_development_link_works_for_unconfirmed_users(browser, bob):
    browser.log_in(bob)
    assert browser.get(link()).location == "/"
    assert browser.get("/dev/mailbox").status_code == 200


def test_development_link_redirects_to_no_other_host(browser):
    answer = browser.get(link(), environ_overrides={"PATH_INFO": "//evil.example"})
    assert answer.location == "/evil.example"


@pytest.mark.parametrize("token", ["", "x", "0" * 24, "\0", "é", "\ud800", "None"])
def test_wrong_development_token_opens_nothing(browser, token):
    assert browser.get("/", query_string={"token": token.encode(errors="surrogatepass")}).status_code == 200
    browser.set_cookie(access.cookie_name(browser.application), token.encode("ascii", "ignore").decode())
    assert browser.get("/dev/mailbox").status_code == 403


def test_a_browser_without_the_cookie_is_told_what_to_do_and_the_terminal_shows_the_link(browser, caplog):
    answer = browser.get("/dev/mailbox")
    assert "The terminal where it runs shows a link" in answer.text
    assert not re.search(TOKEN, answer.text)
    assert access.link("/dev/mailbox") in caplog.text
    caplog.clear()
    assert browser.get("/dev/mailbox", headers={"X-Forwarded-For": "203.0.113.9"}).status_code == 404
    assert "token=" not in caplog.text


def test_the_application_reaches_its_mock_provider_without_a_cookie(browser):
    pages = (".well-known/openid-configuration", "keys")
    answers = [browser.get(f"/dev/mock-provider/{page}") for page in pages]
    answers.append(browser.post("/dev/mock-provider/token"))
    assert [answer.status_code for answer in answers] == [200, 200, 400]
    assert browser.get("/dev/mock-provider/authorize").status_code == 403


def test_development_token_survives_a_restart_and_is_private(app, make_app, databases, tmp_path):
    kept = tmp_path / "mailbox_token"
    assert kept.stat().st_mode & 0o777 == 0o600
    with make_app("development", databases("sqlite"), {"MAILBOX": app.config["MAILBOX"]}) as again:
        assert again.extensions["dev_token"] == app.extensions["dev_token"] == kept.read_text()[:24]


@pytest.mark.parametrize("way", ["nginx, its shortest configuration", "ssh -R, with all that the stranger writes"])
def test_developer_has_the_mailbox_and_the_debugger(app, ask, way):
    answer = ask(way, link(""))
    cookie = answer.headers["Set-Cookie"].partition(";")[0]
    assert "News" in ask(way, "/dev/mailbox", Cookie=cookie).text
    page = ask(way, "/broken", Cookie=cookie)
    assert page.status == 500
    assert "ZeroDivisionError" in page.text
    assert "EVALEX = true" in page.text
    assert ask(way, "/console", Cookie=cookie).status == 200


@pytest.mark.extended
@pytest.mark.parametrize("arguments", [["--debug"], ["--debug", "--reload"]])
def test_flask_run_has_no_debugger(arguments):
    look = f"""
import flask.cli, sys
flask.cli.run_simple = lambda *_, use_debugger, **__: print("debugger:", use_debugger)
sys.argv = ["flask", "run", *{arguments!r}]
flask.cli.main()
"""
    environment = {"FLASK_CONFIG": "testing", "PATH": "/usr/bin:/bin"}
    ran = subprocess.run(
        [sys.executable, "-c", look], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )
    assert "debugger: False" in ran.stdout, ran.stderr

"""docs/deploy.md as written, on an empty machine: user, code, settings, administrator, units, proxies. Needs root."""

import configparser
import re
import secrets
import subprocess
import sys
from pathlib import Path

import pytest
from support.clients import PASSWORD, ROOT
from support.machine import Machine, indented_lines, reloads
from support.mail_server import Authority
from support.nginx import HERE, Process, Visitor, free_port
from support.repository import is_flask_command
from support.waiting import until

pytestmark = [pytest.mark.extended, pytest.mark.xdist_group("deploy")]

PAGE = (ROOT / "docs/deploy.md").read_text("utf-8")
SERVER = PAGE.partition("## One small server")[2].partition("\n## ")[0]
SETTINGS = re.search(r"```ini\n(.*?)```", SERVER, re.DOTALL)[1]
BIN = Path(sys.executable).parent
UNITS = sorted((ROOT / "docs/deploy").glob("*.service"))
LIVE = "/etc/letsencrypt/live/your.domain"
MOST_EXPOSED = 1.5  # systemd's scale goes from 0 to 10

LOG_IN = """
import http.cookiejar, re, sys, urllib.parse, urllib.request

site, password = sys.argv[1:]
browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
browser.addheaders = [("Sec-Fetch-Site", "same-origin"), ("User-Agent", "Mozilla/5.0")]
browser.open(site + "/auth/login")
page = browser.open(site + "/auth/login", urllib.parse.urlencode({"login": "ada", "password": password}).encode())
print(page.url, page.read().decode())
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("machine")
    machine = Machine(folder, "your.domain")
    authority = Authority(folder)
    machine.path("/etc/authority.pem").write_text(authority.file.read_text())
    live = machine.path(LIVE)
    live.mkdir(parents=True)
    certificate = authority.certify("your.domain").read_text()
    for name in ("fullchain.pem", "privkey.pem"):
        (live / name).write_text(certificate)
    yield machine
    machine.shut_down()


def write_settings(machine):
    """Fill in what the page leaves out."""
    values = {"SECRET_KEY=…": f"SECRET_KEY={secrets.token_hex()}", "…": "x", "example.com": "your.domain"}
    text = SETTINGS
    for example, own in values.items():
        text = text.replace(example, own)
    machine.path(".env").write_text(text)


def well(machine, check):
    said = subprocess.run(
        machine.command("runuser", "-u", "flasky", "--", ".venv/bin/flask", "doctor"), capture_output=True, text=True
    ).stdout
    return re.search(rf"^well +{check}", said, re.MULTILINE) or said


def test_an_empty_machine_becomes_a_server_by_the_commands_of_the_page(machine):
    lines = indented_lines(SERVER)  # those of PostgreSQL have their test beside backups
    assert len(lines) > 25
    for line in lines:
        if "flask db upgrade" in line and machine.path(".env").stat().st_size == 0:
            write_settings(machine)
        if "flask doctor" in line:
            is_well = well(machine, "PUBLIC_URL, TLS and proxies")  # here Caddy's; the mail server is missing
            assert isinstance(is_well, re.Match), is_well
            continue
        machine.follow(line, typed=f"{PASSWORD}\n{PASSWORD}\n")
        if line == "systemctl reload nginx":
            page = until(lambda: log_in(machine))
            assert page.startswith("https://your.domain/"), page
            assert "Hello, <bdi>ada</bdi>!" in page
        if "Caddyfile >" in line:
            caddy = machine.path("/etc/caddy/Caddyfile")
            caddy.write_text(
                caddy.read_text().replace(
                    "your.domain {", f"your.domain {{\n\ttls {LIVE}/fullchain.pem {LIVE}/privkey.pem"
                )
            )
        if line == "systemctl reload caddy":
            assert "Hello, <bdi>ada</bdi>!" in until(lambda: log_in(machine))


def log_in(machine):
    """Return where the administrator arrives, and the page; nothing while the proxy starts."""
    site = ["https://your.domain", PASSWORD]
    ran = subprocess.run(machine.command("python", "-c", LOG_IN, *site), capture_output=True, text=True)
    assert ran.returncode == 0 or "Connection refused" in ran.stderr, ran.stderr + machine.logs()
    return ran.stdout


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_is_correct_and_hardened(unit, tmp_path):
    """Its program stands for the one on the server, which this machine hasn't."""
    copy = tmp_path / unit.name
    copy.write_text(re.sub(r"/srv/flasky/\.venv/bin/\w+", "/bin/true", unit.read_text()))
    verified = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True)
    assert (verified.returncode, verified.stderr) == (0, "")
    rated = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", copy], capture_output=True, text=True
    )
    exposure = float(re.search(r"Overall exposure level for .*: ([\d.]+)", rated.stdout)[1])
    print(unit.name, exposure)
    assert exposure <= MOST_EXPOSED
    assert f"{exposure} of 10" in SERVER


@pytest.mark.parametrize("page", ["deploy/flasky.service", "tutorial-2.md"])
@pytest.mark.parametrize(
    ("setting", "value", "reason"),
    [
        ("MAIL_DELIVERY", "off", None),
        ("MAIL_DELIVERY", "wrkr", "MAIL_DELIVERY"),
        ("SECRET_KEY", "", "SECRET_KEY is missing"),
        ("WEB_CONCURRENCY", "two", "invalid literal for int() with base 10: 'two'"),
    ],
)
def test_a_reload_checks_the_settings_before_it_ends_the_old_processes(page, setting, value, reason, tmp_path):
    check, reload = reloads((ROOT / "docs" / page).read_text())
    assert reload == "/bin/kill -HUP $MAINPID"
    settings = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHON_DOTENV_DISABLED": "1", "MAIL_SERVER": "x"}
    settings |= {"DATABASE_URL": "sqlite://", "PUBLIC_URL": "https://example.com", "SECRET_KEY": secrets.token_hex()}
    words = re.sub(r"/srv/\w+/\.venv/bin", str(BIN), check).split()
    ran = subprocess.run(words, cwd=ROOT, env=settings | {setting: value}, capture_output=True, text=True)
    assert (ran.returncode == 0) == (reason is None), ran.stderr
    assert (reason or "") in ran.stderr


def test_the_two_units_have_the_same_rights():
    rights = [unit.read_text().partition("StateDirectory=")[2] for unit in UNITS]
    assert rights[0] == rights[1] != ""


def test_journald_knows_the_settings_of_the_log():
    known = re.findall(r"^#(\w+)=", Path("/etc/systemd/journald.conf").read_text(), re.MULTILINE)
    file = configparser.ConfigParser()
    file.optionxform = str
    file.read(ROOT / "docs/deploy/journald.conf")
    assert set(file["Journal"]) <= set(known)
    assert file["Journal"]["SystemMaxUse"] == "1G"


def test_the_procfile_serves_on_the_port_of_the_platform_with_the_configuration_of_gunicorn(tmp_path, databases):
    lines = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
    assert set(lines) == {"release", "web", "worker"}
    port = free_port()
    settings = {"PATH": f"{BIN}:/usr/bin:/bin", "HOME": str(tmp_path), "PYTHON_DOTENV_DISABLED": "1", "PORT": str(port)}
    settings |= {
        "DATABASE_URL": databases("sqlite").make(tmp_path),
        "SECRET_KEY": secrets.token_hex(),
        "MAIL_SERVER": "x",
    }
    settings |= {"PUBLIC_URL": "https://example.com", "TRUSTED_PROXIES": "1", "WEB_CONCURRENCY": "1"}
    settings |= dict(line.split("=") for line in indented_lines(PAGE.partition("## Platforms")[2]))
    server = Process(["sh", "-c", f"exec {lines['web']}"], tmp_path / "log", port, cwd=ROOT, env=settings)
    try:
        headers = {"Host": "example.com", "X_Forwarded_Proto": "https", "X_Forwarded_For": "192.0.2.9"}
        assert Visitor(f"http://{HERE}:{port}").get("auth/login", **headers).status == 200
    finally:
        server.stop()
    log = server.log.read_text()
    assert '"client.ip": "192.0.2.9"' in log, log
    assert "gunicorn.conf.py was not loaded" not in log
    for name in ("release", "worker"):
        assert is_flask_command(lines[name].split())

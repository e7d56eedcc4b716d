"""`flask dev` behind a real nginx with a minimal configuration."""

import os
import re
import shutil
import subprocess
import sys
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from support.clients import ROOT
from support.nginx import HERE, SURROUNDINGS, Process, free_port

pytestmark = pytest.mark.extended

SHORTEST = """
server {{
    listen {here}:{port};
    location / {{ proxy_pass http://localhost:{behind}; {more} }}
}}
"""
BROKEN = '\napp.add_url_rule("/broken", view_func=lambda: 1 // 0)\n'
MORE = ["", "proxy_http_version 1.1;", "proxy_http_version 1.1; proxy_set_header Connection ''; proxy_redirect off;"]


@pytest.fixture(scope="module", params=[["dev"], ["run", "--debug", "--no-reload"]], ids=" ".join)
def server(request, tmp_path_factory):
    """A development server in a checkout of its own, and what its terminal shows."""
    folder, port = tmp_path_factory.mktemp("checkout"), free_port()
    for name in ("app", "migrations", "settings"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("config.py", ".flaskenv"):
        shutil.copy(ROOT / name, folder)
    (folder / "flasky.py").write_text((ROOT / "flasky.py").read_text() + BROKEN)
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "PORT": str(port), "PYTHONDONTWRITEBYTECODE": "1"}
    flask = [sys.executable, "-m", "flask"]
    subprocess.run([*flask, "db", "upgrade"], cwd=folder, env=environment, check=True, capture_output=True)
    command = [*flask, *request.param, *(["-p", str(port)] if "run" in request.param else [])]
    # `localhost` may be ::1, so ask by name whether it is up.
    server = Process(command, folder / "terminal", port, cwd=folder, env=environment)
    server.port = port
    yield server
    server.stop()


def nginx(folder, behind, more):
    port = free_port()
    (folder / "site.conf").write_text(SHORTEST.format(here=HERE, port=port, behind=behind, more=more))
    (folder / "nginx.conf").write_text(SURROUNDINGS.format(folder=folder))
    command = [shutil.which("nginx") or "/usr/sbin/nginx", "-c", str(folder / "nginx.conf"), "-p", str(folder)]
    started = Process([*command, "-e", "stderr"], folder / "nginx.log", port)
    started.port = port
    return started


def ask(url, **headers):
    try:
        with urlopen(Request(url, headers=headers), timeout=120) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as refused:
        return refused.code, refused.read().decode()


@pytest.mark.parametrize("more", MORE)
def test_visitors_behind_nginx_reach_neither_the_mailbox_nor_the_debugger(server, tmp_path, more):
    proxy = nginx(tmp_path, server.port, more)
    try:
        site = f"http://{HERE}:{proxy.port}"
        assert ask(f"{site}/")[0] == 200, "the application itself is there"
        assert ask(f"{site}/dev/mailbox")[0] == 403
        assert ask(f"{site}/dev/mock-provider/authorize")[0] == 403
        for path in ("broken", "console", "?__debugger__=yes&cmd=resource&f=debugger.js"):
            _, page = ask(f"{site}/{path}")
            assert not re.search(r"EVALEX|debugger|ZeroDivision|Traceback", page), path

        token = re.findall(r"token=\w+", server.log.read_text())[-1]
        name = f"dev_{server.port}"
        assert ask(f"{site}/dev/mailbox", Cookie=f"{name}={token.partition('=')[2]}")[0] == 200, "the developer's own"
    finally:
        proxy.stop()

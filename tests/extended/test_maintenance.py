"""docs/maintenance.md: nginx answers with a page of its own while the file is there, and leads from the old domain."""

import re
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from support.clients import ROOT
from support.local_server import LocalServer, send
from support.nginx import HERE, Nginx, Visitor, free_port

pytestmark = [pytest.mark.extended, pytest.mark.xdist_group("deploy")]

SWITCHED, MOVED = re.findall(r"```nginx\n(.*?)```", (ROOT / "docs/maintenance.md").read_text("utf-8"), re.DOTALL)


class Application(LocalServer):
    def answer(self, handler):
        send(handler, b"of the application", 503 if handler.path == "/busy" else 200)


@pytest.fixture
def application():
    application = Application()
    yield application.server.server_port
    application.stop()


@pytest.fixture
def public():
    """A folder that nginx's processes, which belong to nobody, can look into, as /etc/nginx."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_file_switches_maintenance_on_and_off_and_the_old_domain_leads_to_the_new_one(tmp_path, public, application):
    file, port = public / "maintenance", free_port()
    switched = SWITCHED.replace("/etc/nginx/maintenance", str(file))
    moved = MOVED.replace("listen 80;", "").replace("listen 443 ssl", f"listen {HERE}:{port} ssl")
    moved = re.sub(r"/etc/letsencrypt\S+(?=;)", str(tmp_path / "certificate.pem"), moved)
    changes = {"access_log off;": f"access_log off;\n{switched}", "upstream flasky {": f"{moved}\nupstream flasky {{"}
    nginx = Nginx(tmp_path, port, [application], changes=changes)
    try:
        visitor = Visitor(f"https://localhost:{port}", nginx.authority)
        assert (visitor.get("").status, visitor.get("").text) == (200, "of the application")
        assert (visitor.get("busy").status, visitor.get("busy").text) == (503, "of the application")
        file.touch()
        paused = visitor.get("auth/login")
        assert (paused.status, paused.headers["Retry-After"]) == (503, "600")
        assert paused.headers["Content-Type"] == "text/html; charset=utf-8"
        assert paused.headers["Cache-Control"] == "no-store"
        assert "Back soon" in paused.text
        file.unlink()
        assert visitor.get("").status == 200
        old = visitor.get("auth/login?next=/account", Host="old.example.com")
        assert (old.status, old.headers["Location"]) == (308, "https://example.com/auth/login?next=/account")
    finally:
        nginx.stop()

"""Chains of proxies: one or two more nginx before that of docs/nginx.conf, as a CDN or a load balancer would stand."""

import json
import shutil

import pytest
from nginx import HERE, SURROUNDINGS, VISITOR, Gunicorn, Nginx, Process, Visitor, free_port

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


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("more", [1, 2])
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
        assert [line["ip"] for line in lines if "/auth/login" in line["message"]] == [VISITOR]
    finally:
        for process in reversed(started):
            process.stop()

"""What a server does not load at start, to save time and memory; and what gunicorn.conf.py says."""

import ast
import gc
import io
import json
import runpy
import subprocess
import sys
from datetime import timedelta
from types import SimpleNamespace

import gunicorn.http.message
from gunicorn.config import Config
from support.clients import ROOT

from app.security import hashing

UNUSED = {"alembic", "altcha", "authlib", "coloraide", "cryptography", "email_validator", "flask_migrate", "limits"}
UNUSED |= {"requests", "segno", "webauthn", "zxcvbn"}
LAZY = {  # imported in functions; the milliseconds that they would add to a start of 600
    "app": 90,  # app.security.limited_session, with Requests; the development package, which production does not have
    "altcha": 5,
    "authlib": 110,
    "coloraide": 200,
    "cryptography": 10,
    "dns": 50,
    "email_validator": 30,
    "flask_migrate": 85,
    "joserfc": 40,  # with most of cryptography
    "limits": 17,
    "passlib": 30,  # of the extra "import"
    "psycopg": 100,
    "redis": 100,
    "segno": 30,
    "ua_parser": 14,
    "webauthn": 100,
    "zxcvbn": 17,
}


def test_server_starts_without_rarely_used_libraries():
    loaded = "import sys; from app import create_app; create_app('testing'); print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", loaded], cwd=ROOT, capture_output=True, text=True, check=True)
    assert UNUSED & set(ran.stdout.split()) == set()


def test_only_listed_libraries_are_imported_in_functions():
    files = [*(ROOT / "app").rglob("*.py"), *(ROOT / "settings").rglob("*.py")]
    functions = [
        node
        for file in files
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef)
    ]
    found = set()
    for node in (node for function in functions for node in ast.walk(function)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    assert found == LAZY.keys()


def test_a_worker_loads_the_application_without_garbage_collection(app, monkeypatch, tmp_path):
    """290 collections would free 700 objects, and take an eighth of the CPU of a start."""
    settings = runpy.run_path(str(ROOT / "gunicorn.conf.py"))
    monkeypatch.setattr(hashing, "share", lambda workers: None)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    gc.unfreeze()
    try:
        settings["post_fork"](None, None)
        assert not gc.isenabled()
        settings["post_worker_init"](SimpleNamespace(cfg=SimpleNamespace(workers=2), wsgi=app))
        assert gc.isenabled()
        assert gc.get_freeze_count() > 10_000
    finally:
        gc.enable()


def test_gunicorn_accepts_the_longest_request_line():
    """Its default, 4,094 bytes, is less than some providers' callbacks have; above it visitors got its bare page."""
    assert (
        runpy.run_path(str(ROOT / "gunicorn.conf.py"))["limit_request_line"] == gunicorn.http.message.MAX_REQUEST_LINE
    )


def test_lines_of_gunicorn_have_the_same_schema_and_no_token():
    """Its lines about workers and signals come by `error_log`, as does the request that it could not handle."""
    settings = runpy.run_path(str(ROOT / "gunicorn.conf.py"))
    config = Config()
    config.set("accesslog", "-")
    config.set("access_log_format", settings["access_log_format"])
    logger, written = settings["logger_class"](config), io.StringIO()
    try:
        for handler in logger.error_log.handlers + logger.access_log.handlers:
            handler.setStream(written)
        logger.info("Booting worker with pid: %s", 7)
        logger.exception("Error handling request %s", "/auth/reset/eyJhbGciOi.eyJwdXJw.abc")
        response = type("Response", (), {"status": "200 OK", "sent": 1, "headers": []})
        visited = {"REQUEST_METHOD": "GET", "PATH_INFO": "/auth/sso/acme/callback", "QUERY_STRING": "code=secret"}
        environ = visited | {"RAW_URI": "/?code=secret", "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "192.0.2.7"}
        logger.access(response, [], environ, timedelta(milliseconds=12))
    finally:
        for log in (logger.error_log, logger.access_log):
            log.handlers.clear()
            log.propagate = True
    booting, failed, access = map(json.loads, written.getvalue().splitlines())
    assert (booting["log.logger"], booting["message"]) == ("gunicorn.error", "Booting worker with pid: 7")
    table = (ROOT / "docs/logs.md").read_text()
    assert {name for name in booting if f"`{name}`" not in table} == set()
    assert "/auth/reset/<token>" in failed["message"]
    assert access["message"] == "192.0.2.7 GET /auth/sso/acme/callback 200 12 ms"

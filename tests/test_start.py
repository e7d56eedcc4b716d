"""What a server does not load at start, to save time and memory."""

import ast
import runpy
import subprocess
import sys

import gunicorn.http.message
from support.clients import ROOT

UNUSED = {"authlib", "coloraide", "requests", "segno", "webauthn", "zxcvbn"}
LAZY = {  # imported in functions; the milliseconds that they would add to a start of 600
    "app": 0,  # the development package, which production does not have
    "authlib": 110,
    "coloraide": 200,
    "passlib": 30,  # of the extra "import"
    "psycopg": 100,
    "redis": 100,
    "requests": 90,
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


def test_gunicorn_accepts_the_longest_request_line():
    """Its default, 4,094 bytes, is less than some providers' callbacks have; above it visitors got its bare page."""
    assert (
        runpy.run_path(str(ROOT / "gunicorn.conf.py"))["limit_request_line"] == gunicorn.http.message.MAX_REQUEST_LINE
    )

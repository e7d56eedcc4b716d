"""What a server does not load at start, to save time and memory."""

import runpy
import subprocess
import sys

import gunicorn.http.message
from support.clients import ROOT

UNUSED = {"authlib", "requests", "webauthn", "zxcvbn"}


def test_server_starts_without_rarely_used_libraries():
    loaded = "import sys; from app import create_app; create_app('testing'); print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", loaded], cwd=ROOT, capture_output=True, text=True, check=True)
    assert UNUSED & set(ran.stdout.split()) == set()


def test_gunicorn_accepts_the_longest_request_line():
    """Its default, 4,094 bytes, is less than some providers' callbacks have; above it visitors got its bare page."""
    assert (
        runpy.run_path(str(ROOT / "gunicorn.conf.py"))["limit_request_line"] == gunicorn.http.message.MAX_REQUEST_LINE
    )

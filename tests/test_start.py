"""What a server does without until it is asked for: each takes memory of every process, and time to start."""

import subprocess
import sys

from clients import ROOT

UNUSED = {"alembic", "authlib", "flask_migrate", "requests", "webauthn", "zxcvbn"}


def test_a_server_starts_without_what_few_requests_need():
    loaded = "import sys; from app import create_app; create_app('testing'); print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", loaded], cwd=ROOT, capture_output=True, text=True, check=True)
    assert UNUSED & set(ran.stdout.split()) == set()

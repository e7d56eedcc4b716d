"""The PostgreSQL server of the tests, stopped for a while."""

import subprocess
from contextlib import contextmanager

import pytest

on_postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)


@contextmanager
def stopped(database, how="fast"):
    """No PostgreSQL meanwhile. `how` is pg_ctl's: "immediate" is a crash."""
    server = database.server
    stop = [server.bin_path / "pg_ctl", "stop", "-w", "-D", server.pgdata, "-m", how]
    subprocess.run(stop, user=server.system_user, stdout=subprocess.DEVNULL, check=True)
    try:
        yield
    finally:
        server.ensure_postgres_running()

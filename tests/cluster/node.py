"""A PostgreSQL server and the Patroni that manages it."""

import json
import os
import signal
import urllib.request
from contextlib import suppress
from pathlib import Path

from engines import Engine, configure
from support.nginx import HERE, free_port
from support.waiting import until

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))  # of the newest PostgreSQL last


class Node(Engine):
    """One of three, named as in docs/cluster."""

    def __init__(self, folder, name, etcd, passwords):
        port, self.postgres_port, self.data = free_port(), free_port(), folder / name
        self.address = f"{HERE}:{self.postgres_port}"
        ours = {
            "name: db1": f"name: {name}",
            "10.0.0.11:8008": f"{HERE}:{port}",
            "10.0.0.11:5432": self.address,
            "10.0.0.11:2379,10.0.0.12:2379,10.0.0.13:2379": ",".join(f"{HERE}:{member.port}" for member in etcd),
            "/var/lib/postgresql/flasky": self.data,
            "/usr/lib/postgresql/15/bin": PROGRAMS[-1].parent,
            "PASSWORD-OF-POSTGRES": passwords["postgres"],
            "PASSWORD-OF-REPLICATOR": passwords["replicator"],
            "10.0.0.0/24": f"{HERE}/32",
            "  pg_hba:": f"  pgpass: {folder / name}.pgpass\n  parameters: {{unix_socket_directories: ''}}\n  pg_hba:",
        }
        super().__init__(folder, name, ["/usr/bin/patroni", configure(folder, name, "patroni.yml", ours)], port)

    def roles(self):
        """Who has which, of those that run, as this one knows; nothing while it is not there."""
        with suppress(OSError), urllib.request.urlopen(f"http://{HERE}:{self.port}/cluster", timeout=2) as answer:
            members = json.load(answer)["members"]
            return {member["name"]: member["role"] for member in members if member["state"] in {"running", "streaming"}}
        return {}

    def hand_over(self):
        """Let another lead, as before a machine is mended."""
        order = json.dumps({"leader": self.name}).encode()
        urllib.request.urlopen(f"http://{HERE}:{self.port}/switchover", order, timeout=120).close()

    def kill(self):
        """Both: PostgreSQL outlives its Patroni."""
        super().kill()
        for process in self._postgres():
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        until(lambda: not self._postgres(), f"PostgreSQL of {self.name} to be gone")

    def _postgres(self):
        """The numbers of its processes, which all work in its folder."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has ended, or is somebody else's
                if (process / "cwd").readlink() == self.data:
                    found.append(int(process.name))
        return found

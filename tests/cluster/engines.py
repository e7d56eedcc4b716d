"""Servers in the foreground on 127.0.0.1 with the settings of docs/cluster; unprivileged where root runs the tests."""

import os
import signal
import socket
import subprocess
from pathlib import Path

from support.clients import ROOT
from support.nginx import HERE, free_port
from support.waiting import until

NOBODY = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}


class Engine:
    """One server, which can be started again and again. Nobody waits for one without a port."""

    def __init__(self, folder, name, command, port=None, **options):
        self.name, self.command, self.port, self.log = name, command, port, folder / f"{name}.log"
        environment = {"PATH": os.environ["PATH"] + ":/usr/sbin", "HOME": str(folder), "LC_ALL": "C.UTF-8"}
        self.options = {"cwd": folder, "env": environment} | (options or NOBODY)
        self.process = None

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **self.options
            )
        if self.port:
            until(self._answers, f"{self.name} to answer")

    def kill(self):
        """Kill -9, with all its children; return when it is dead."""
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def _answers(self):
        assert self.process.poll() is None, f"{self.name} has ended: {self.log.read_text()[-2000:]}"
        with socket.socket() as caller:
            return caller.connect_ex((HERE, self.port)) == 0


def configure(folder, name, example, ours):
    """Write a file of docs/cluster with our values in the place of its own, and return where it is."""
    text = (ROOT / "docs/cluster" / example).read_text()
    for its_own, value in ours.items():
        assert its_own in text, f"{example} has no {its_own}"
        text = text.replace(its_own, str(value))
    file = folder / f"{name}{Path(example).suffix}"
    file.write_text(text)
    return file


def etcd(folder, count=3):
    """Return the members of etcd, of which a majority says who leads."""
    clients, peers = ([f"http://{HERE}:{free_port()}" for _ in range(count)] for _ in range(2))
    names = [f"etcd{number}" for number in range(count)]
    members = []
    for name, client, peer in zip(names, clients, peers, strict=True):
        command = ["etcd", "--name", name, "--data-dir", folder / name, "--logger", "zap"]
        command += ["--listen-client-urls", client, "--advertise-client-urls", client]
        command += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]
        command += ["--initial-cluster", ",".join(map("=".join, zip(names, peers, strict=True)))]
        members.append(Engine(folder, name, command, int(client.rpartition(":")[2])))
    return members


def haproxy(folder, name, nodes):
    port = free_port()
    ours = {"127.0.0.1:5000": f"{HERE}:{port}"}
    for number, node in enumerate(nodes, 1):
        ours[f"db{number} 10.0.0.1{number}:5432 check port 8008"] = f"{node.name} {node.address} check port {node.port}"
    file = configure(folder, name, "haproxy.cfg", ours)
    return Engine(folder, name, ["haproxy", "-db", "-f", file], port)


def pgbouncer(folder, name, behind, password):
    port, users = free_port(), folder / "userlist.txt"
    users.write_text(f'"flasky" "{password}"\n')
    ours = {"port=5000": f"port={behind}", "6432": port, "/etc/pgbouncer/userlist.txt": users}
    return Engine(folder, name, ["pgbouncer", configure(folder, name, "pgbouncer.ini", ours)], port)


def redis(folder):
    port = free_port()
    return Engine(folder, "redis", ["redis-server", "--port", str(port), "--bind", HERE, "--save", ""], port)

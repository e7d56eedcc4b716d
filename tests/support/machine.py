"""An empty Debian machine, with a root directory and a network of its own: docs/deploy.md is tried on it. Needs root.

/usr is this machine's; /etc is a copy of it; nothing else is there. In place of systemd, start_unit() starts what a
unit names, as the unit's user, with a root directory in which only the unit's StateDirectory can be written to.
"""

import configparser
import re
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from support.containers import Image
from support.repository import ROOT, tracked
from support.waiting import PATIENCE, until

DENY_WRITE_EXECUTE = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(65, 1, 0, 0, 0); os.execvp(sys.argv[1], sys.argv[1:])"
)
VENV = Path(sys.prefix).resolve()


class Machine:
    def __init__(self, folder, name):
        self.root, self.processes = folder / "root", {}
        for path in ("srv", "run", "var/lib/nginx", "var/log/nginx", "var/lib/caddy", str(VENV).lstrip("/")):
            (self.root / path).mkdir(parents=True)
        self.image = Image.base(self.root)
        self.image.environment |= {"PATH": "/usr/sbin:/usr/bin:/opt/python/bin", "SSL_CERT_FILE": "/etc/authority.pem"}
        self.etc = folder / "etc"
        shutil.copytree("/etc", self.etc, symlinks=True)
        (self.etc / "hosts").write_text(f"127.0.0.1 localhost {name}\n")
        (self.etc / "systemd/system").mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
        self.namespace = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        own = Path(f"/proc/{self.namespace.pid}/ns/net")
        until(lambda: own.readlink() != Path("/proc/self/ns/net").readlink(), "a network")
        self.run("ip", "link", "set", "lo", "up")

    def path(self, name):
        """Return where a path of the machine is."""
        return self.etc / name.removeprefix("/etc/") if name.startswith("/etc/") else self.image.path(name)

    def command(self, *words, **options):
        binds = [(self.etc, "/etc"), (VENV, VENV), *options.pop("binds", ())]
        options = {"writable": True, "user": "0:0", "tmpfs": ["/tmp"]} | options
        return self.image.run(words, self.namespace.pid, binds=binds, **options)

    def run(self, *words, typed="", **options):
        """Run a command as root, and return what it says. It must succeed."""
        ran = subprocess.run(
            self.command(*words, **options), input=typed, capture_output=True, text=True, timeout=PATIENCE
        )
        assert ran.returncode == 0, f"{shlex.join(words)}\n{ran.stdout}{ran.stderr}{self.logs()}"
        return ran.stdout + ran.stderr

    def follow(self, line, typed=""):
        """Carry out a line of the page, as far as a machine without internet and systemd can."""
        words = shlex.split(line, comments=True)
        match words:
            case ["cd", folder]:
                self.image.workdir = folder
            case ["git", "clone", _, folder]:
                self.copy(self.path(folder))
            case [_, "-m", "venv", ".venv"]:
                self.path(".venv").symlink_to(VENV)
            case ["git" | "apt-get" | "certbot" | ".venv/bin/pip", *_] | ["runuser", "-u", "postgres", *_]:
                pass
            case ["systemctl", "daemon-reload"] | ["systemctl", _, "systemd-journald"]:
                pass
            case ["systemctl", "reload", name] if name in self.processes:
                self.reload(name)
            case ["systemctl", *_, name]:
                self.stop(name)
                self.start(name)
            case _:
                return self.run("sh", "-c", line, typed=typed)
        return ""

    def copy(self, folder):
        for path in tracked():
            target = folder / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)

    def start(self, name):
        if name == "nginx":
            self.open(name, self.command("nginx", "-g", "daemon off;"))
        elif name == "caddy":
            self.stop("nginx")
            environment = {"XDG_DATA_HOME": "/var/lib/caddy", "XDG_CONFIG_HOME": "/var/lib/caddy"}
            self.open(name, self.command("caddy", "run", "--config", "/etc/caddy/Caddyfile", environment=environment))
        else:
            self.start_unit(name)

    def start_unit(self, name):
        """Start a unit with the rights that it has, and wait until it says that it is ready."""
        service = self.unit(name)
        ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        ready.settimeout(PATIENCE)
        ready.bind(str(self.root / "run/notify"))
        (self.root / "run/notify").chmod(0o777)
        state = f"/var/lib/{service['StateDirectory']}"
        uid = self.run("id", "-u", service["User"]).strip()
        environment = dict([service["Environment"].split("=")]) | {"NOTIFY_SOCKET": "/run/notify"}
        words = ["python", "-c", DENY_WRITE_EXECUTE, *shlex.split(service["ExecStart"])]
        assert service["ProtectSystem"] == "strict"
        assert service["MemoryDenyWriteExecute"] == "yes"
        self.image.workdir, before = service["WorkingDirectory"], self.image.workdir
        rights = {"user": uid, "writable": False, "binds": [(self.path(state), state)]}
        self.open(name, self.command(*words, environment=environment, **rights))
        self.image.workdir = before
        if service["Type"] == "notify":
            assert b"READY=1" in ready.recv(1000)
        ready.close()
        (self.root / "run/notify").unlink()

    def unit(self, name):
        file = configparser.RawConfigParser(strict=False)
        file.optionxform = str
        file.read(self.etc / f"systemd/system/{name}.service")
        return file["Service"]

    def reload(self, name):
        """Run the unit's lines for a reload, as its user."""
        uid = self.run("id", "-u", self.unit(name)["User"]).strip()
        for line in reloads(self.path(f"/etc/systemd/system/{name}.service").read_text()):
            self.run("sh", "-c", line.replace("$MAINPID", str(self.processes[name].pid)), user=uid)

    def open(self, name, command):
        with (self.root.parent / f"{name}.log").open("a") as log:
            self.processes[name] = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def stop(self, name):
        if process := self.processes.pop(name, None):
            process.terminate()
            process.wait(PATIENCE)

    def logs(self):
        return "".join(log.read_text()[-3000:] for log in self.root.parent.glob("*.log"))

    def shut_down(self):
        for name in list(self.processes):
            self.stop(name)
        self.namespace.kill()
        self.namespace.wait()


def reloads(unit):
    """Return the commands by which systemd reloads a unit. It runs them in turn, until one fails."""
    return re.findall("^ExecReload=(.*)$", unit, re.MULTILINE)


def indented_lines(text):
    """Return the commands of a page or a part of it."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"^    (\S.*)$", prose, re.MULTILINE)

"""Build a Dockerfile and run its image without Docker: the same steps, in a folder that becomes the root directory.

Linux namespaces and chroot replace the container engine, so this needs root. Python, /usr and /etc are this machine's;
they take the place of the base image.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

BASE_PATH = "/opt/python/bin:/usr/local/bin:/usr/bin:/bin"


@dataclass
class Image:
    """A stage of a Dockerfile: its files, and what it says about running them."""

    folder: Path
    environment: dict = field(default_factory=lambda: {"PATH": BASE_PATH})
    workdir: str = "/"
    user: str = "0:0"
    command: list = field(default_factory=list)
    health: list = field(default_factory=list)

    @classmethod
    def base(cls, folder):
        """Make the root directory of the base image: links and mount points."""
        for name in ("usr", "etc", "proc", "dev", "tmp", "opt/python/bin", sys.base_prefix.lstrip("/")):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for name in ("bin", "sbin", "lib", "lib64"):
            (folder / name).symlink_to(f"usr/{name}")
        (folder / "opt/python/bin/python").symlink_to(f"{sys.base_prefix}/bin/python3")
        return cls(folder)

    def path(self, name):
        """Return where a path of the image is on this machine."""
        return self.folder / os.path.normpath(os.path.join(self.workdir, name)).lstrip("/")

    def run(self, command, network=None, writable=False, tmpfs=(), binds=(), environment=(), user=None):
        """Return the arguments of a process that runs `command` in the image.

        Args:
            network: the process whose network namespace it joins; the network of this machine if it is None.
            writable: whether the root directory can be written to.
            tmpfs: directories that are empty and writable.
            binds: pairs of a path of this machine and a path of the image, where it is mounted.
            environment: variables beside those of the image.
        """
        mounts = ["set -e", "cd /", f"mount --bind {self._quoted()} {self._quoted()}"]
        fixed = {"/usr", "/etc", *([sys.base_prefix] if not sys.base_prefix.startswith("/usr") else [])}
        mounts += [f"mount --bind {name} {self._quoted(name)}" for name in (*sorted(fixed), "/proc")]
        mounts += [f"mount --rbind /dev {self._quoted('/dev')}"]
        mounts += [f"mount -o remount,bind,ro {self._quoted(name)}" for name in sorted(fixed)]
        mounts += [f"mount -t tmpfs -o mode=1777 tmpfs {self._quoted(name)}" for name in tmpfs]
        for source, target in ((shlex.quote(str(source)), self._quoted(target)) for source, target in binds):
            mounts.append(f"test -e {target} || mkdir -p {target}")  # in one of these directories
            mounts.append(f"mount --bind {source} {target}")
        mounts += [] if writable else [f"mount -o remount,bind,ro {self._quoted()}"]
        uid, _, gid = (user or self.user).partition(":")
        drop = ["setpriv", f"--reuid={uid}", f"--regid={gid or uid}", "--clear-groups", "--no-new-privs"]
        drop += ["--bounding-set=-all", "--inh-caps=-all"] if uid != "0" else []
        variables = [f"{name}={value}" for name, value in (self.environment | dict(environment)).items()]
        inside = ["chroot", str(self.folder), "/usr/bin/env", "-i", "-C", self.workdir, *variables, *drop, *command]
        join = ["nsenter", f"--net=/proc/{network}/ns/net"] if network else []
        return [
            *join,
            "unshare",
            "--mount",
            "--propagation=private",
            "sh",
            "-c",
            "\n".join([*mounts, 'exec "$@"']),
            "--",
            *inside,
        ]

    def _quoted(self, name=""):
        return shlex.quote(f"{self.folder}{name}")


def build(context, folder, arguments=()):
    """Carry out the steps of the Dockerfile in `context`, in `folder`. Return the image of the last stage."""
    stages, arguments, image = {}, dict(arguments), None
    for instruction, rest in instructions((context / "Dockerfile").read_text()):
        match instruction:
            case "ARG":
                name, _, default = rest.partition("=")
                arguments.setdefault(name, default)
            case "FROM":
                base, _, name = rest.partition(" AS ")
                assert base.partition(":")[0] == "python", f"this machine has no {base}"
                image = stages[name] = Image.base(folder / f"stage{len(stages)}")
            case "WORKDIR":
                image.workdir = rest
                image.path(rest).mkdir(parents=True, exist_ok=True)
            case "ENV":
                pairs = dict(pair.split("=", 1) for pair in shlex.split(rest))
                image.environment |= {k: v.replace("$PATH", image.environment["PATH"]) for k, v in pairs.items()}
            case "COPY":
                _copy(image, context, stages, rest)
            case "RUN":
                network = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
                command = image.run(["sh", "-c", rest], writable=True, environment=network, user="0:0")
                ran = subprocess.run(command, capture_output=True, text=True)
                assert ran.returncode == 0, ran.stdout + ran.stderr
            case "USER":
                image.user = rest
            case "HEALTHCHECK":
                image.health = json.loads(rest.partition("CMD ")[2])
            case "CMD":
                image.command = json.loads(rest)
            case "EXPOSE":
                pass
            case _:
                raise NotImplementedError(instruction)
    return image


def instructions(text):
    """Return the instructions of a Dockerfile, each with its arguments in one line."""
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    joined = re.sub(r"\s*\\\n\s*", " ", lines)
    return [tuple(line.split(" ", 1)) for line in joined.splitlines() if line.strip()]


def _copy(image, context, stages, rest):
    *options, target = rest.split()
    if options[0].startswith("--from="):
        source = stages[options.pop(0).partition("=")[2]]
        shutil.copytree(source.path(options[0]), image.path(target), symlinks=True)
        return
    for name in options:
        for file in sorted(sent(context, name)):
            inner = os.path.relpath(file, name) if (context / name).is_dir() else os.path.basename(file)
            goal = image.path(target) / inner if inner != "." else image.path(target)
            goal.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(context / file, goal)


def sent(context, name):
    """Return the files below a path that .dockerignore lets into the image, relative to the context."""
    path = context / name
    below = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    files = [str(file.relative_to(context)) for file in below]
    return [file for file in files if not is_ignored(file, (context / ".dockerignore").read_text())]


def is_ignored(file, patterns):
    """Return whether .dockerignore keeps a file out: its last pattern that matches decides."""
    ignored = False
    for line in patterns.splitlines():
        pattern = line.strip().removeprefix("!")
        if pattern and not pattern.startswith("#") and _matches(pattern, file):
            ignored = not line.strip().startswith("!")
    return ignored


def _matches(pattern, file):
    """Return whether a pattern is that of a file or of a directory above it."""
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    regular = re.sub(r"\*\*/|\*\*|\*|\?|[^*?]+", lambda part: parts.get(part[0]) or re.escape(part[0]), pattern)
    return any(re.fullmatch(regular, str(path)) for path in (Path(file), *Path(file).parents))

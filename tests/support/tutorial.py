"""docs/tutorial*.md as a reader follows it: files, changes and commands, applied in order to a copy of the project.

A part of the tutorial is a heading "## 1. ..." with what follows. There are three kinds of blocks:

- A fenced block whose first line is a comment with a path is a file: `# app/x.py`, `{# ... #}`, `<!-- ... -->`.
  The comment is kept only in Python and `.env`, whose files it may begin.
- A fenced `diff` block, with such a first line changes a file: lines with `-` go, lines with `+` come, and the others
  say where. `@@` separates several places.
- An indented line is a command. Other fenced blocks (`text`, `console`) show what is seen.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.repository import ROOT, copy_to

BIN = Path(sys.executable).parent
PAGES = sorted((ROOT / "docs").glob("tutorial*.md"), key=lambda page: (len(page.name), page.name))
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$|((?:^    [^\n]*\n)+)", re.DOTALL | re.MULTILINE)
NAMED = re.compile(
    r"(?:# |\{# |<!-- |/\* )((?:app/|tests/|docs/|\.env|config\.py|pyproject|compose)[\w./-]*)(?: #\}| -->| \*/)?\n"
)
INSTALLED = ["-o", ".venv/installed", "-o", ".venv/installed-dev"]  # make must not install it again
NOT_HERE = {
    "git",
    "cd",
    ".",
    "make run",
    "make test",
    "make check",
    "make lock",
    "flask dev",
    "flask doctor",
    "python -m",
    "python3 -m",
    "pip install",
    "sudo",
}  # the test has its own way
HOME = ROOT / "app/templates/main/index.html"
for_an_untouched_clone = pytest.mark.skipif(
    "main/_for_the_owner.html" not in HOME.read_text("utf-8"), reason="The tutorial begins with our home page."
)
CHECKS = [["ruff", "format", "--check", "."], ["ruff", "check", "."], ["mypy"]]


@dataclass
class Step:
    """One block: the text of a file, a change of a file, or commands."""

    kind: str
    text: str
    path: str = ""


def parts():
    """Return the parts of the tutorial in order, each as its heading and its steps."""
    text = "\n".join(page.read_text("utf-8") for page in PAGES)
    sections = re.split(r"^## (?=\d+\. )", text, flags=re.MULTILINE)[1:]
    return [(section.partition("\n")[0], list(steps(section))) for section in sections]


def steps(section):
    for kind, text, commands in BLOCK.findall(section):
        if commands:
            yield Step("commands", commands)
        elif named := NAMED.match(text):
            rest = text if kind in {"python", "ini"} else text[named.end() :]
            yield Step("diff" if kind == "diff" else "file", rest, named[1])
        else:
            assert kind in {"text", "console"}, f"a {kind} block doesn't say in its first line in which file it stands"


class Copy:
    """A copy of the project, in which the tutorial is followed."""

    def __init__(self, folder, runs_commands=True):
        self.folder, self.followed, self.runs_commands = folder, 0, runs_commands
        copy_to(folder)
        (folder / ".venv").symlink_to(BIN.parent)
        if (ROOT / ".mypy_cache").is_dir():
            shutil.copytree(ROOT / ".mypy_cache", folder / ".mypy_cache")
        if runs_commands:
            self.run("flask", "db", "upgrade")

    def follow(self, number):
        """Follow the tutorial to the end of a part."""
        for _, steps in parts()[self.followed : number]:
            self.apply(steps)
            self.followed += 1

    def apply(self, steps):
        for step in steps:
            getattr(self, f"_{step.kind}")(step)

    def run(self, *command, **environment):
        """Run a command as the reader does, with `.venv` activated; return its output. It must succeed."""
        own = {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(self.folder), "FLASK_CONFIG": "development"}
        done = subprocess.run(command, cwd=self.folder, env=own | environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{shlex.join(map(str, command))}\n{done.stdout[-20000:]}{done.stderr[-5000:]}"
        return done.stdout

    def pytest(self, *arguments):
        return self.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments)

    def own_tests(self, since=0):
        """Return the test modules that the tutorial has written so far, after the first `since` parts."""
        written = (step.path for _, steps in parts()[since : self.followed] for step in steps)
        return sorted({path for path in written if path.startswith("tests/test_")})

    def check(self):
        """Run what `make check` runs without a network, and compare models and migrations."""
        for command in CHECKS:
            self.run(*command)
        self.run("flask", "db", "check")

    def _file(self, step):
        file = self.folder / step.path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(step.text, "utf-8")

    def _diff(self, step):
        file = self.folder / step.path
        text = file.read_text("utf-8")
        for place in re.split(r"^@@.*\n", step.text, flags=re.MULTILINE):
            lines = place.splitlines(keepends=True)
            old = "".join(line[1:] or "\n" for line in lines if line[:1] != "+")
            new = "".join(line[1:] or "\n" for line in lines if line[:1] != "-")
            assert text.count(old) == 1, f"{step.path} has {text.count(old)} times:\n{old}"
            text = text.replace(old, new)
        file.write_text(text, "utf-8")

    def _commands(self, step):
        for line in step.text.splitlines() if self.runs_commands else []:
            command = shlex.split(line, comments=True)
            if not command or {command[0], " ".join(command[:2])} & NOT_HERE:
                continue
            self.run(*command[:1], *(INSTALLED if command[0] == "make" else []), *command[1:])

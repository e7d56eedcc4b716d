"""The files around the code: YAML, the commands of make and flask, and what documents hold in code spans and blocks."""

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

from click import Context, Group
from flask.cli import FlaskGroup, ScriptInfo
from flask_migrate.cli import db as migrations  # app/cli/migrations.py loads it when it is called
from ruamel.yaml import YAML

from app import create_app

ROOT = Path(__file__).parents[2]


def load(path):
    return YAML(typ="safe").load(path.read_text("utf-8"))


def tracked():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for name in listed.splitlines() if (path := ROOT / name).is_file()]


def copy_to(folder):
    """Copy the project as git has it, and what Python has compiled of it, which it need not compile again."""
    paths = tracked()
    for parent in {path.parent for path in paths}:
        target = folder / parent.relative_to(ROOT)
        target.mkdir(parents=True, exist_ok=True)
        if (parent / "__pycache__").is_dir():
            shutil.copytree(parent / "__pycache__", target / "__pycache__")
    for path in paths:
        shutil.copy2(path, folder / path.relative_to(ROOT))  # as old as its compiled file says


@cache
def make_targets():
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def is_flask_command(words):
    """Return whether `flask` knows the command, and its subcommand if it has any."""
    app = create_app("development", SECRET_KEY="x" * 64)
    group = FlaskGroup()
    with Context(group, obj=ScriptInfo(create_app=lambda: app)) as context:
        for word in words[words.index("flask") + 1 :]:
            if isinstance(group, Group):
                group = migrations if word == "db" else group.get_command(context, word)
    return bool(group)


def code(page):
    """Return what a guide has in code spans, and in its indented and fenced blocks line by line."""
    text = page.read_text("utf-8")
    blocks = re.findall(r"^    (\S.*)$", text, re.MULTILINE) + re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)
    return [*re.findall(r"`([^`\n]+)`", text), *"\n".join(blocks).splitlines()]

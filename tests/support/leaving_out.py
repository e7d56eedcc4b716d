"""docs/leaving-out.md: what each of its sections tells an owner to delete, done in a copy of the project."""

import ast
import re
import subprocess
import sys
from pathlib import Path

from support.repository import ROOT

PAGE = (ROOT / "docs/leaving-out.md").read_text("utf-8")
BIN = Path(sys.executable).parent
BLOCKS = re.compile(r"^```(?:diff|py)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SUFFIXES = {".py", ".html", ".txt", ".js"}
FUNCTIONS = re.compile(r"^- `(app/[\w/]+\.py)`: ((?:`\w+\(\)`(?:, )?)+)$", re.MULTILINE)


def sections():
    """Return the sections that delete something, by their titles."""
    found = re.findall(r"^## (.+)\n((?:(?!## ).*\n)*)", PAGE, re.MULTILINE)
    return {title: body for title, body in found if "    git rm " in body}


def files(body):
    """Return the files that a section deletes."""
    commands = re.findall(r"^    git rm ((?:.*\\\n)*.*)$", body, re.MULTILINE)
    return [name for command in commands for name in command.replace("\\\n", " ").split()]


def functions(body):
    """Yield each module with the names of the functions that a section deletes in it."""
    for module, names in FUNCTIONS.findall(body):
        yield module, re.findall(r"`(\w+)\(\)`", names)


def edits(body):
    """Yield each file with the lines that a section replaces in it, and with what; all of the file if they are None."""
    for block in BLOCKS.findall(body):
        if named := re.match(r"# (app/\S+)\n", block):
            yield named[1], None, block.removeprefix(named[0])
            continue
        for change in re.split(r"^(?=--- )", block, flags=re.MULTILINE)[1:]:
            heading, *lines = change.splitlines()
            for hunk in "\n".join(lines).split("\n@@\n"):
                old = [line[1:] for line in hunk.splitlines() if line[:1] != "+"]
                new = [line[1:] for line in hunk.splitlines() if line[:1] != "-"]
                yield heading.removeprefix("--- "), old, new


def problems(body, root=ROOT):
    """Say what a section names that isn't there (any more)."""
    found = [f"there is no {name}" for name in files(body) if not (root / name).exists()]
    for module, names in functions(body):
        defined = {node.name for node in ast.parse(_read(root, module)).body if isinstance(node, ast.FunctionDef)}
        found += [f"{module} has no {name}()" for name in names if name not in defined]
    for name, old, _ in edits(body):
        if old is not None and f"\n{_read(root, name)}".count(_joined(old, before="\n")) != 1:
            found.append(f"{name} does not have once: {old}")
    return found


def leave_out(root, body):
    """Do in a copy of the project what a section says, and tidy the imports."""
    for name in files(body):
        (root / name).unlink()
    for module, names in functions(body):
        _write(root, module, without(_read(root, module), names))
    for name, old, new in edits(body):
        before = _read(root, name)
        text = (
            new if old is None else f"\n{before}".replace(_joined(old, before="\n"), _joined(new, before="\n"), 1)[1:]
        )
        _write(root, name, text)
    run(root, "ruff", "check", "--quiet", "--no-cache", "--fix", "app", "config.py", "settings")
    run(root, "ruff", "format", "--quiet", "--no-cache", "app", "config.py", "settings")


def without(source, names):
    """Return the source of a module without these functions, their decorators, and the empty lines after them."""
    lines = source.splitlines(keepends=True)
    for node in reversed(ast.parse(source).body):
        if isinstance(node, ast.FunctionDef) and node.name in names:
            start = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]) - 1
            end = node.end_lineno
            while end < len(lines) and not lines[end].strip():
                end += 1
            del lines[start:end]
    return "".join(lines).rstrip("\n") + "\n"


def unused(root):
    """Return the modules, templates and scripts whose name no other file has."""
    texts = {path: path.read_text("utf-8") for path in (root / "app").rglob("*") if path.suffix in SUFFIXES}
    users = {}
    for path, text in texts.items():
        for word in set(re.findall(r"\w+", text)):
            users.setdefault(word, set()).add(path)
    return {str(path.relative_to(root)) for path in texts if not users.get(path.stem, set()) - {path}}


def run(root, tool, *arguments):
    ran = subprocess.run([BIN / tool, *arguments], cwd=root, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def _joined(lines, before):
    return before + "".join(f"{line}\n" for line in lines)


def _read(root, name):
    return (root / name).read_text("utf-8")


def _write(root, name, text):
    (root / name).write_text(text, "utf-8")

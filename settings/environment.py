"""Read environment variables and this project's file `.env`."""

import os
from pathlib import Path
from typing import TypeVar

import click
from dotenv import dotenv_values, find_dotenv, load_dotenv

PROJECT = Path(__file__).resolve().parent.parent

TRUE, FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}

T = TypeVar("T", bool, int, str)


class ConfigError(Exception):
    """The settings do not allow a start. The message names each wrong setting and its remedy."""


class Environment:
    """Reads settings from the environment, and collects their defaults and problems."""

    def __init__(self) -> None:
        self.defaults: dict[str, bool | int | str] = {}
        self.problems: list[str] = read_files()  # a sentence for each invalid value

    def __call__(self, name: str, default: T) -> T:
        """Return a setting in the type of its default, or the default if the variable is empty."""
        self.defaults[name] = default
        text = os.environ.get(name, "").strip()
        if not text:
            return default
        if isinstance(default, bool):
            if text.lower() not in TRUE | FALSE:
                self.problems.append(f"{name} is {text!r}: write 1 or 0.")
            return text.lower() in TRUE
        if isinstance(default, int):
            if not (text.isascii() and text.isdigit()):
                self.problems.append(f"{name} is {text!r}: write a whole number.")
                return default
            return int(text)
        return text


def split(text: str) -> tuple[str, ...]:
    """Return the words of a text that are separated by spaces or commas."""
    return tuple(text.replace(",", " ").split())


def cause_and_remedy(text: str) -> tuple[str, str]:
    """Return the parts of a message such as "PORT is 'x': write a whole number." or "HOST is missing. Write it."."""
    cause, is_found, remedy = text.partition(": write ")
    if is_found:
        return f"{cause}." if " " in cause else f"{cause} has a wrong value.", f"Write {remedy}"
    cause, dot, remedy = text.partition(". ")
    return cause + dot.rstrip(), remedy


def read_files() -> list[str]:
    """Load this project's `.env` (and `.flaskenv` under `flask`), and return a sentence for each unreadable file.

    Variables in the environment take precedence.
    """
    is_flask = _is_run_by_flask()
    if is_flask:
        _remove(_found_elsewhere())  # otherwise `flask db upgrade` could change another program's database
    problems = []
    for path in (PROJECT / ".env", PROJECT / ".flaskenv")[: 2 if is_flask else 1]:
        try:
            load_dotenv(path)
        except (OSError, ValueError) as error:
            problems.append(f"{path} can't be read ({type(error).__name__}). Save it as UTF-8, readable by this user.")
    return problems


def _is_run_by_flask() -> bool:
    context = click.get_current_context(silent=True)
    return bool(context and getattr(context.find_root().obj, "load_dotenv_defaults", False))


def _found_elsewhere() -> dict[str, str | None]:
    """Return the variables that `flask` loaded from files of another project, above the working directory."""
    found: dict[str, str | None] = {}
    for name in (".flaskenv", ".env"):
        path = find_dotenv(name, usecwd=True)
        if path and Path(path).resolve().parent != PROJECT:
            found |= dotenv_values(path, encoding="utf-8")
    return found


def _remove(values: dict[str, str | None]) -> None:
    given = _names_at_start()
    for name, value in values.items():
        if name not in given and os.environ.get(name) == value:
            del os.environ[name]


def _names_at_start() -> set[str]:
    """Return the names of the variables that this process was started with. Only Linux reveals them."""
    try:
        lines = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:
        return set()
    return {line.partition(b"=")[0].decode(errors="replace") for line in lines}

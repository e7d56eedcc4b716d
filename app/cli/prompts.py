"""Read the input of commands from options or from the terminal."""

import os
import sys
from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from typing import Any

import click

from app.accounts import usernames
from app.cli.commands import AnyCommand
from app.switches import is_on

NO_TERMINAL = (
    "There is no terminal to ask. Give {}, and the password by --password-stdin, --password-file or --password-env; or"
    " add --no-input to email a link to choose one."
)

no_input = click.option("--no-input", is_flag=True, help="Never ask; fail if an answer is missing.")


def confirmation(command: AnyCommand) -> AnyCommand:
    """Add the options --yes and --no-input to a command, and pass it `confirm`, a function that asks a question."""

    @click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
    @no_input
    @wraps(command)
    def with_confirmation(*args: Any, yes: bool, no_input: bool, **options: Any) -> Any:
        return command(*args, confirm=partial(_confirm, yes, no_input), **options)

    return with_confirmation


def password_options(command: AnyCommand) -> AnyCommand:
    """Add options for reading a password to a command, and pass it `password`, or None without these options.

    No option contains the password itself, because shell histories and process lists would show it.
    """

    @click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
    @click.option("--password-file", metavar="PATH", help="Read the password from a file, such as a container secret.")
    @click.option("--password-env", metavar="NAME", help="Read the password from an environment variable.")
    @wraps(command)
    def with_password(
        *args: Any,
        password_stdin: bool = False,
        password_file: str | None = None,
        password_env: str | None = None,
        **options: Any,
    ) -> Any:
        if sum([password_stdin, password_file is not None, password_env is not None]) > 1:
            raise click.UsageError("Give only one of --password-stdin, --password-file and --password-env.")
        if password_stdin and not _is_named(**options):
            raise click.UsageError(f"--password-stdin needs {_names()}.")
        password = _read_password(password_stdin, password_file, password_env)
        return command(*args, password=password, **options)

    return with_password


def complete(email: str | None, username: str | None, password: str | None, no_input: bool) -> tuple[str, str, Any]:
    """Ask for missing values and return all three. The password may stay None."""
    if no_input and not _is_named(email, username):
        raise click.UsageError(f"--no-input needs {_names()}.")
    email = email or _ask("Email address")
    username = username or (_ask("Username") if is_on("username") else usernames.opaque())
    if password is None and not no_input and is_on("password"):
        hidden = {"default": "", "show_default": False, "hide_input": True, "confirmation_prompt": True}
        password = _ask("Password (leave empty to email a link to choose one)", **hidden) or None
    return email, username, password


def _is_named(email: str | None, username: str | None = None, **_: Any) -> bool:
    return bool(email and (username or not is_on("username")))


def _names() -> str:
    return "--email and --username" if is_on("username") else "--email"


def _confirm(yes: bool, no_input: bool, question: str) -> None:
    if yes:
        return
    if no_input:
        raise click.UsageError(f"{question} Add --yes to confirm.")
    try:
        is_confirmed = click.confirm(question, err=True)
    except click.Abort:
        click.echo("\nNo answer. Add --yes to confirm.", err=True)
        raise
    if not is_confirmed:
        raise click.Abort


def _read_password(is_stdin: bool, path: str | None, variable: str | None) -> str | None:
    if variable is not None:
        if variable not in os.environ:
            raise click.ClickException(f"The environment variable {variable} is not set.")
        return _one_line(os.environ[variable], f"The environment variable {variable}")
    if path is not None:
        return _one_line(_decode(Path(path).read_bytes, path), path)
    return _one_line(_decode(sys.stdin.buffer.read, "Standard input"), "Standard input") if is_stdin else None


def _decode(read: Callable[[], bytes], source: str) -> str:
    try:
        return read().decode("utf-8-sig")
    except UnicodeDecodeError:
        reason = "it is not UTF-8"
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
    raise click.ClickException(f"{source} can't be read: {reason}.")


def _one_line(text: str, source: str) -> str:
    password = text.removesuffix("\n").removesuffix("\r")
    if not password or "\n" in password:
        problem = "has several lines" if password else "is empty"
        raise click.ClickException(f"{source} {problem}. It must be a password.")
    return password


def _ask(label: str, **options: Any) -> str:
    try:
        answer: str = click.prompt(label, err=True, **options)
    except click.Abort as error:
        if sys.stdin.isatty():
            raise
        raise click.ClickException(NO_TERMINAL.format(_names())) from error
    return answer

# mypy: ignore-errors
"""What a command asks for: answered by a person at a terminal, or by options where there is none."""

import os
import sys
from functools import partial, wraps
from pathlib import Path

import click

NOBODY = (
    "Nobody is here to answer. Give --email and --username, and the password by --password-stdin, --password-file or"
    " --password-env, or add --no-input: then an email has it chosen."
)

no_input = click.option("--no-input", is_flag=True, help="Ask nothing: end with an error where an answer is missing.")


def asks_first(command):
    """Give a command the options --yes and --no-input, and the argument `confirm`, which asks its question."""

    @click.option("--yes", is_flag=True, help="Do not ask.")
    @no_input
    @wraps(command)
    def with_question(*args, yes, no_input, **options):
        return command(*args, confirm=partial(_confirm, yes, no_input), **options)

    return with_question


def _confirm(yes, no_input, question):
    if yes:
        return
    if no_input:
        raise click.UsageError(f"{question} Add --yes to confirm.")
    try:
        is_confirmed = click.confirm(question)
    except click.Abort:
        click.echo("\nNobody answered. Add --yes to confirm.", err=True)
        raise
    if not is_confirmed:
        raise click.Abort


def from_elsewhere(command):
    """Give a command the options that say where a password comes from, and the argument `password`: None without one.

    A password is never an argument itself: shells and the list of processes keep those.
    """

    @click.option("--password-stdin", is_flag=True, help="Read the password from the standard input.")
    @click.option(
        "--password-file", metavar="PATH", help="Read the password from a file, such as a container's secret."
    )
    @click.option("--password-env", metavar="NAME", help="Read the password from an environment variable.")
    @wraps(command)
    def with_password(*args, password_stdin, password_file, password_env, **options):
        sources = [bool(password_stdin), password_file is not None, password_env is not None]
        if sum(sources) > 1:
            raise click.UsageError("Give one of --password-stdin, --password-file and --password-env.")
        if password_stdin and not (options["email"] and options["username"]):
            raise click.UsageError("--password-stdin goes with --email and --username.")
        password = _read(password_stdin, password_file, password_env) if any(sources) else None
        return command(*args, password=password, **options)

    return with_password


def _read(is_stdin, path, variable):
    try:
        if variable is not None:
            text, source = os.environ[variable], f"The environment variable {variable}"
        elif path is not None:
            text, source = Path(path).read_text("utf-8-sig"), path
        else:
            text, source = sys.stdin.buffer.read().decode("utf-8-sig"), "The standard input"
    except KeyError as error:
        raise click.ClickException(f"The environment variable {variable} is not set.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise click.ClickException(f"{path or 'The standard input'} can't be read: {reason}.") from error
    password = text.removesuffix("\n").removesuffix("\r")
    if not password or "\n" in password:
        raise click.ClickException(
            f"{source} {'has several lines' if password else 'is empty'}. Write one password there."
        )
    return password


def complete(email, username, password, no_input):
    """Return the three with what a person answered where they are missing; a password may stay None."""
    if no_input and not (email and username):
        raise click.UsageError("--no-input goes with --email and --username.")
    email = email or _ask("Email address")
    username = username or _ask("Username")
    if password is None and not no_input:
        hidden = {"default": "", "show_default": False, "hide_input": True, "confirmation_prompt": True}
        password = _ask("Password (empty: by an email)", **hidden) or None
    return email, username, password


def _ask(label, **options):
    """Ask a person; end with a sentence about the options if there is none."""
    try:
        return click.prompt(label, **options)
    except click.Abort as error:
        if sys.stdin.isatty():
            raise
        raise click.ClickException(NOBODY) from error

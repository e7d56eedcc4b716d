"""`flask users import`."""

import csv
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import click
from flask import current_app
from sqlalchemy import select

from app.accounts import imports, usernames
from app.accounts.registration import NewAccount
from app.cli import profiles
from app.cli.commands import progress_bar
from app.cli.users import users
from app.doctor import sequences
from app.extensions import db
from app.models import Role
from app.models.role import DEFAULT_ROLE
from app.security import imported_hashes
from app.switches import is_on

BATCH = 500  # lines
MAX_ID = 10**9  # the numbers of later accounts come after it, and PostgreSQL's end at 2**31


@users.command("import")
@click.argument("path", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Check the file, and import nothing.")
@click.option("--strict", is_flag=True, help="Import nothing if a line is refused.")
def import_users(path: Path, dry_run: bool, strict: bool) -> None:
    """Import accounts from a file: CSV with a header if its name ends in .csv, and else an object of JSON per line.

    docs/importing.md lists the columns, and has queries that export them from other applications.
    """
    total = refused = unconfirmed = 0
    roles = set(db.session.scalars(select(Role.name)))
    for rows in _batches(path):
        problems, batch = _read(rows, roles)
        problems |= imports.add(batch)
        for line in sorted(problems):
            click.echo(_printable(f"line {line}: {problems[line]}"))
        total, refused = total + len(rows), refused + len(problems)
        unconfirmed += sum(not new.confirmed for line, new in batch.items() if line not in problems)
        if not (dry_run or strict):
            db.session.commit()
        db.session.expunge_all()
    is_kept = not dry_run and not (strict and refused)
    if is_kept:
        for sequence in sequences.behind():  # of ids that the file had
            sequence.advance()
        db.session.commit()
    else:
        db.session.rollback()
    verb = "Imported" if is_kept else "Would import" if dry_run else "Not imported, because of --strict"
    click.echo(f"{verb}: {total - refused}. Refused: {refused}.")
    if unconfirmed and current_app.config["CONFIRMATION"] == "required":
        click.echo(f"Not confirmed: {unconfirmed}. Accounts that their users don't confirm in 7 days are deleted.")
    if refused:
        raise click.exceptions.Exit(1)


def _batches(path: Path) -> Iterator[list[tuple[int, Any]]]:
    """Yield lists of lines, each with its number: a dict of strings in CSV, or else the text."""
    bar = progress_bar(path.stat().st_size)
    try:
        with path.open("rb") as raw, bar:
            file = TextIOWrapper(raw, "utf-8-sig", newline="")
            numbered = ((number, line) for number, line in enumerate(file, 1) if line.strip())
            lines = _csv_lines(file) if path.suffix.lower() == ".csv" else numbered
            while rows := list(islice(lines, BATCH)):
                yield rows
                bar.update(raw.tell() - bar.pos)
    except (csv.Error, UnicodeDecodeError) as error:
        raise click.ClickException(f"{path} can't be read: {error}") from error


def _csv_lines(file: TextIO) -> Iterator[tuple[int, Any]]:
    reader = csv.DictReader(file, restkey="after the last one of the header", strict=True)
    if unknown := {*(reader.fieldnames or ())} - {*imports.columns(), "role"}:
        raise click.ClickException(_printable(f"Accounts have no column {', '.join(sorted(unknown))}. Leave it out."))
    return ((reader.line_num, row) for row in reader)


def _read(rows: list[tuple[int, Any]], roles: set[str]) -> tuple[dict[int, str], imports.Batch]:
    problems, batch = {}, {}
    for line, row in rows:
        try:
            batch[line] = _account(json.loads(row) if isinstance(row, str) else row, roles)
        except (ValueError, OverflowError, RecursionError, click.BadParameter) as error:
            problems[line] = str(error)
    return problems, batch


def _account(row: dict[str, Any], roles: set[str]) -> NewAccount:
    """Return the account of a line; raise ValueError, or Click's error, if a value is missing or unreadable."""
    if not isinstance(row, dict):
        raise ValueError("This is not a JSON object.")
    given = {name: value for name, value in row.items() if value not in (None, "")}
    given.setdefault("role_name", given.pop("role", DEFAULT_ROLE))
    columns = imports.columns()
    if unknown := given.keys() - columns.keys():
        raise ValueError(f"Accounts have no column {', '.join(sorted(unknown))}.")
    values = {name: _value(columns[name], value) for name, value in given.items()}
    if missing := {"email", *["username"] * is_on("username")} - values.keys():
        raise ValueError(f"There is no {' and no '.join(sorted(missing))}.")
    if not 1 <= values.get("id", 1) <= MAX_ID:
        raise ValueError(f"id: {values['id']} is not between 1 and {MAX_ID}.")
    if values["role_name"] not in roles:
        raise ValueError(f"There is no role {values['role_name']}.")
    if "password_hash" in values:
        values["password_hash"] = imported_hashes.accept(values["password_hash"])
    email, username, confirmed = values.pop("email"), values.pop("username", ""), values.pop("confirmed", False)
    if not confirmed:
        values.pop("created_at", None)  # an old account that is not confirmed would be deleted at once
    return NewAccount(email, username if is_on("username") else usernames.opaque(), confirmed=confirmed, profile=values)


def _value(column: Any, value: Any) -> Any:
    kind = column.type.python_type
    if isinstance(value, str) and kind is not str:
        value = profiles.reader(kind)(value)
    if not isinstance(value, kind):
        raise ValueError(f"{column.name}: {value!r} is not of the type {kind.__name__}.")
    return value.replace(tzinfo=value.tzinfo or UTC).astimezone(UTC) if isinstance(value, datetime) else value


def _printable(text: str) -> str:
    """Return text without the control characters by which a file could command the terminal."""
    return "".join(character if character.isprintable() else " " for character in text)

"""Parse the option `--profile NAME=VALUE`, which sets columns that an application adds to accounts."""

from collections.abc import Callable, Iterable
from typing import Any

import click

from app.accounts import registration


def parse(pairs: Iterable[str]) -> dict[str, Any]:
    """Return the options as a profile, with values of the columns' types. Raises click.BadParameter."""
    columns, profile = registration.profile_columns(), {}
    for name, _, text in (pair.partition("=") for pair in pairs):
        if name not in columns:
            raise click.BadParameter(f"Accounts have no column {name!r} that can be set.", param_hint="--profile")
        try:
            profile[name] = reader(columns[name].type.python_type)(text)
        except ValueError as error:
            raise click.BadParameter(f"{name}: {error}", param_hint="--profile") from error
    return profile


def reader(kind: type[Any]) -> Callable[[str], Any]:
    """Return a parser of this type: Click's for a boolean, ISO 8601 for dates and times. It raises ValueError."""
    parse_text = click.BOOL if kind is bool else getattr(kind, "fromisoformat", kind)

    def read(text: str) -> Any:
        try:
            return parse_text(text)
        except (ArithmeticError, TypeError) as error:  # of Decimal, and of types that text can't express
            raise ValueError(f"{text!r} is not of the type {kind.__name__}.") from error

    return read

# mypy: ignore-errors
"""A form that waits until its user has reauthenticated: its fields travel through that page as hidden ones."""

from flask import request

NEVER_HELD = {"csrf_token", "password", "old_password", "confirm_password", "code", "factor_code", "credential"}
PREFIX = "held-"
MAX_FIELDS = 50
MAX_LENGTH = 8 * 1024  # characters of all names and values; as HTML each can take six


def fields_to_hold():
    """Return the fields of this form, names and values, without secrets; None if they are too long to be held."""
    fields = request.form.items(multi=True)
    return _bounded([(name, value) for name, value in fields if name and name not in NEVER_HELD])


def held_fields():
    """Return the fields of the form that waits; None if they are too long."""
    fields = request.form.items(multi=True)
    return _bounded([(name.removeprefix(PREFIX), value) for name, value in fields if name and name.startswith(PREFIX)])


def _bounded(fields):
    length = sum(len(name) + len(value) for name, value in fields)
    return fields if len(fields) <= MAX_FIELDS and length <= MAX_LENGTH else None

"""The values that an email's template gets, as JSON in its row of the outbox.

JSON has no times, dates and decimal numbers: one is stored as {"$date": "2031-05-04"}.
"""

import json
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

READERS: dict[type, Callable[[str], Any]] = {  # a datetime is a date as well, so it comes first
    datetime: datetime.fromisoformat,
    date: date.fromisoformat,
    Decimal: Decimal,
}
BY_NAME = {f"${kind.__name__.lower()}": reader for kind, reader in READERS.items()}


def encoded(details: dict[str, Any]) -> dict[str, Any]:
    """Return the values as JSON stores them; raise TypeError if a template can't get one of them back."""
    stored: dict[str, Any] = json.loads(json.dumps(details, default=_encoded))
    return stored


def decoded(stored: dict[str, Any]) -> dict[str, Any]:
    """Return the values that encoded() was given."""
    details: dict[str, Any] = json.loads(json.dumps(stored), object_hook=_decoded)
    return details


def _encoded(value: object) -> dict[str, str]:
    kind = next((kind for kind in READERS if isinstance(value, kind)), None)
    if kind is None or (isinstance(value, datetime) and value.tzinfo is None):
        raise TypeError(
            "Emails take text, numbers, datetimes with a time zone, dates, Decimals, and lists and dictionaries of "
            f"these, not {value!r}."
        )
    return {f"${kind.__name__.lower()}": str(value)}


def _decoded(stored: dict[str, Any]) -> Any:
    [name, *others] = stored or [""]
    return stored if others or name not in BY_NAME else BY_NAME[name](stored[name])

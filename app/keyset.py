"""Pages by key: rows beyond a given one, which an index finds on the last page as fast as on the first."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Select, literal, tuple_

from app.extensions import db

PAGE_SIZE, CHUNK = 50, 1000  # rows


class Page(NamedTuple):
    """Rows, the newest first, and the keys of the pages with newer and with older ones; empty if there are none."""

    rows: Sequence[Any]
    newer: str
    older: str


def page(rows: Select[Any], order: Sequence[Any], older: str = "", newer: str = "", size: int = PAGE_SIZE) -> Page:
    """Return the page of rows beyond a key; without one, or with a key that is invalid, the newest rows.

    Args:
        order: the columns that keys consist of, with an index; the last one is unique.
    """
    key = _parsed(order, older or newer)
    is_back = bool(key and not older)
    beyond = rows
    if key:
        start = tuple_(*(literal(value, column.type) for value, column in zip(key, order, strict=True)))
        beyond = rows.where(tuple_(*order) > start if is_back else tuple_(*order) < start)
    beyond = beyond.order_by(*(column if is_back else column.desc() for column in order))
    found = db.session.scalars(beyond.limit(size + 1)).all()
    is_more, found = len(found) > size, found[:size]
    if is_back and not is_more:  # fill the first page
        return page(rows, order, size=size)
    found = found[::-1] if is_back else found
    keys = [_key(order, row) for row in (found[0], found[-1])] if found else ["", ""]
    return Page(found, keys[0] if key else "", keys[1] if is_more or is_back else "")


def every(rows: Select[Any], order: Sequence[Any]) -> Iterator[Any]:
    """Return all rows, the newest first, and read them a page at a time."""
    found, _, key = page(rows, order, size=CHUNK)
    yield from found
    while key:
        found, _, key = page(rows, order, older=key, size=CHUNK)
        yield from found


def _key(order: Sequence[Any], row: Any) -> str:
    values = (getattr(row, column.key) for column in order)
    return "~".join(value.isoformat() if isinstance(value, datetime) else str(value) for value in values)


def _parsed(order: Sequence[Any], key: str) -> list[Any] | None:
    """Return the values of a key, or None if it is invalid."""
    with suppress(ValueError, OverflowError):
        return [_value(column, text) for column, text in zip(order, key.split("~"), strict=True)]
    return None


def _value(column: Any, text: str) -> Any:
    if column.type.python_type is datetime:
        return datetime.fromisoformat(text).astimezone(UTC)
    number = int(text[:18])
    if abs(number) >= 2**31 and not isinstance(column.type, BigInteger):
        raise OverflowError  # PostgreSQL refuses it
    return number

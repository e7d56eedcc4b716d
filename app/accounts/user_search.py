"""Search for users: filters, sort orders, and pages by key, which an index finds however many accounts there are."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from operator import itemgetter
from typing import Any, NamedTuple, Self

from flask_babel import lazy_gettext as _l
from sqlalchemy import ColumnElement, TextClause, and_, between, collate, false, func, not_, select, text

from app.extensions import db
from app.models import AuditEvent, User
from app.models.logins import MAX_LOGIN_LENGTH, login_key
from app.models.user_groups import GROUPS
from app.security import origin
from app.switches import is_on

PAGE_SIZE, CHUNK = 50, 1_000  # users
FEW = 5_000  # users, which are sorted faster than an index in the right order is searched for them
MAX_EVENTS = 500  # audit events of one network that are searched, the newest first
LAST = "\U0010ffff"  # sorts after every other character
COLLATIONS = {"postgresql": "C", "sqlite": "BINARY"}  # by code point, so that a prefix is a range

COLUMNS = {"created": User.id, "name": User.username_key, "email": User.email_key}

Condition = ColumnElement[bool] | TextClause


class Filter(StrEnum):
    """A group of users. The value is for addresses and commands, the label for pages."""

    label: str
    condition: Condition

    UNCONFIRMED = "unconfirmed", _l("Not confirmed"), text(GROUPS["unconfirmed"])
    ADMINISTRATORS = "administrators", _l("Administrators"), and_(text(GROUPS["other_role"]), User.is_admin)
    TWO_FACTOR = "two-factor", _l("Two-factor authentication"), text(GROUPS["two_factor"])
    DEACTIVATED = "deactivated", _l("Deactivated"), text(GROUPS["deactivated"])
    TO_BE_DELETED = "to-be-deleted", _l("To be deleted"), text(GROUPS["to_be_deleted"])
    NEVER_LOGGED_IN = "never-logged-in", _l("Never logged in"), text(GROUPS["never_logged_in"])

    def __new__(cls, value: str, label: str, condition: Condition) -> Self:
        member = str.__new__(cls, value)
        member._value_, member.label, member.condition = value, label, condition
        return member


class Order(StrEnum):
    NEWEST = "-created"
    OLDEST = "created"
    USERNAME = "name"
    USERNAME_DESCENDING = "-name"
    EMAIL = "email"
    EMAIL_DESCENDING = "-email"


@dataclass(frozen=True)
class Search:
    """What to search for.

    Attributes:
        text: an id, an IP address, or the beginning of a username or of an email address, in any case.
        order: a beginning has its matches in alphabetical order instead.
    """

    text: str = ""
    only: Filter | None = None
    order: Order = Order.NEWEST


class Page(NamedTuple):
    """A page of users, and the keys for the pages before and after it; empty if there is none."""

    users: list[User]
    newer: str
    older: str


Entry = tuple[Any, User]  # a user with their key: an id, a username_key or an email_key


def page(search: Search, older: str = "", newer: str = "", size: int = PAGE_SIZE) -> Page:
    """Return the page after (`older`) or before (`newer`) a key, or the first. A key outlives its user."""
    is_back = bool(newer and not older)
    found = _read(search, older or newer, is_back, size + 1)
    has_more = len(found) > size
    if is_back and len(found) < size:  # fill the first page
        return page(search, size=size)
    shown = found[:size][:: -1 if is_back else 1]
    first, last = (str(shown[0][0]), str(shown[-1][0])) if shown else ("", "")
    return Page(
        [user for _, user in shown],
        newer=first if (has_more if is_back else older) else "",
        older=last if has_more or is_back else "",
    )


def everyone(search: Search, after: str = "") -> Iterator[User]:
    """Return all users that a search finds after a key, and read them a page at a time."""
    users, _, key = page(search, older=after, size=CHUNK)
    yield from users
    while key:
        users, _, key = page(search, older=key, size=CHUNK)
        yield from users


def _read(search: Search, key: str, is_back: bool, count: int) -> list[Entry]:
    """Return the first users beyond a key. A user whose username and address both match is listed at the username."""
    entries: list[Entry] = []
    is_few, is_descending = _is_few(search.only), is_back
    for column, is_reversed, *conditions in _streams(search, is_few):
        is_descending, in_order = is_reversed != is_back, _in_order(column, is_few)
        if (start := _parsed(column, key)) is not None:
            conditions.append(in_order < start if is_descending else in_order > start)
        if len(entries) == count:  # users beyond the last of the first column can't be on this page
            conditions.append(in_order > entries[-1][0] if is_descending else in_order < entries[-1][0])
        found = select(column, User).where(*conditions, *_group(search.only, column, is_few)).limit(count)
        found = found.order_by(in_order.desc() if is_descending else in_order)
        entries += [(value, user) for value, user in db.session.execute(found)]
    return sorted(entries, key=itemgetter(0), reverse=is_descending)[:count]


def _streams(search: Search, is_few: bool) -> list[list[Any]]:
    """Return columns by which to read users, each with whether from its end, and the conditions of the text."""
    column, is_reversed = COLUMNS[search.order.removeprefix("-")], search.order.startswith("-")
    words = search.text.strip()
    if not words:
        return [[column, is_reversed]]
    if words.isascii() and words.isdecimal():
        return [[column, is_reversed, User.id == int(words) if len(words) < 10 else false()]]
    with suppress(ValueError):
        return [[column, is_reversed, _seen_at(str(ip_address(words)))]]
    if not (prefix := _prefix(words)):
        return []
    keys = (User.username_key, User.email_key)
    is_named, has_email = (between(_in_order(key, is_few), prefix, prefix + LAST) for key in keys)
    emails = [User.email_key, False, has_email]
    return [[User.username_key, False, is_named], [*emails, not_(is_named)]] if is_on("username") else [emails]


def _is_few(only: Filter | None) -> bool:
    """Return whether a group has so few users that they are read by its index and sorted."""
    return only is not None and db.session.scalar(select(User.id).where(only.condition).offset(FEW).limit(1)) is None


def _group(only: Filter | None, column: Any, is_few: bool) -> list[Any]:
    """Return the condition of a group: visible to its index, which has the order of ids, or else only a test."""
    if only is None:
        return []
    return [only.condition if is_few or column is User.id else _hidden(only.condition, false())]


def _in_order(column: Any, is_few: bool) -> Any:
    """Return a column in the order of its index, by code point; with few users, hidden from the index."""
    if column is User.id:
        return column
    in_order = collate(column, COLLATIONS[db.engine.dialect.name])
    return _hidden(in_order, "") if is_few else in_order


def _hidden(expression: Any, otherwise: Any) -> Any:
    return func.coalesce(expression, otherwise)  # no index has it


def _seen_at(ip: str) -> Any:
    """Return the condition that one of the latest events of this address, or its IPv6 /64, is the user's."""
    events = select(AuditEvent.user_id).where(AuditEvent.network == origin.network(ip))
    return User.id.in_({*db.session.scalars(events.order_by(AuditEvent.at.desc()).limit(MAX_EVENTS))} - {None})


def _prefix(words: str) -> str:
    """Return the beginning of keys that these words stand for; empty if no key can begin with it."""
    with suppress(ValueError):
        return login_key(words)
    return words.lower() if words.isprintable() and len(words) <= MAX_LOGIN_LENGTH else ""  # such as ann@


def _parsed(column: Any, key: str) -> Any:
    """Return the key of a page as a value of the column; None if it can be none."""
    if column is User.id:
        return int(key) if key.isascii() and key.isdecimal() and len(key) < 10 else None
    return key if key.isprintable() and key else None

"""What an account is called by: which email addresses and usernames will do, and the one form of all spellings."""

import operator
import re
import unicodedata
from collections.abc import Callable
from typing import Any, cast

import idna
from email_validator import EmailNotValidError, validate_email
from flask import current_app
from sqlalchemy import ColumnElement, FromClause, false, true
from sqlalchemy.orm import ColumnProperty

from settings.domains import with_public_domain

MAX_LOGIN_LENGTH = 254  # characters of an address; a username is shorter
USERNAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")

# Local parts that some mail servers deliver to another host than the one after the @: an encoded word (RFC 2047), and
# the routes of old, user%host and host!user. Each of their characters alone is as good as any other.
LEADS_ELSEWHERE = re.compile(r"=\?.*\?=|%[\w-]+(\.[\w-]+)+$|^([\w-]+\.)+[\w-]+!")


def normal_email(address: str) -> str:
    """Return an address in its normal form. Raises ValueError, with a reason in words, if it can't be one."""
    check_length(address)
    special = current_app.config["EMAIL_SPECIAL_DOMAINS"] if current_app else ()
    address, suffix = with_public_domain(address, special)
    try:
        parsed = validate_email(address, check_deliverability=False, allow_smtputf8=False)
    except EmailNotValidError as error:
        plain = str(error).replace("is not valid", "can't be right").replace("contains invalid", "has unusable")
        raise ValueError(plain) from error
    if len(parsed.local_part) > 64:
        raise ValueError("The part before the @ can have 64 characters at most.")
    if LEADS_ELSEWHERE.search(parsed.local_part):
        raise ValueError("The part before the @ holds another address. Write the address alone.")
    return parsed.normalized.removesuffix(suffix)


def check_username(username: str) -> None:
    """Raise ValueError, with a reason in words, if this can't be a username."""
    if not USERNAME.fullmatch(username):
        raise ValueError("Use a-z, digits, dots, dashes and underscores, starting with a-z: 64 at most.")


def login_key(login: str) -> str:
    """Return the one form of all spellings of an address or username. Raises ValueError if it can't be asked for."""
    check_length(login)
    login.encode()  # not every string can be
    if "\0" in login:
        raise ValueError("This has a NUL.")
    return email_key(login) if "@" in login else login.lower()


def email_key(email: str) -> str:
    """Return the one form of all spellings of an address. Raises ValueError if its domain is none."""
    return ascii_email(email).lower()


def ascii_email(email: str) -> str:
    """Return the address with its domain in ASCII, as it goes to a mail server. Raises ValueError if it is none.

    Not by Python's own codec: its rules of 2003 would post to `strasse` what was meant for `straße`.
    """
    check_length(email)
    local, _, domain = unicodedata.normalize("NFC", email).rpartition("@")
    if not (local and domain) or "@" in local or not email.isprintable():
        raise ValueError("This is no email address.")
    in_ascii = f"{local}@{domain if domain.isascii() else idna.encode(domain, uts46=True).decode()}"
    check_length(in_ascii)
    return in_ascii


def check_length(login: str) -> None:
    """Raise ValueError if an address or username is longer than an address can be (RFC 5321, 4.5.3.1.3).

    Call it first: the time of Unicode normalization grows with the square of the length.
    """
    if len(login) > MAX_LOGIN_LENGTH:
        raise ValueError("This is too long.")


class AnyCase(ColumnProperty.Comparator[str]):
    """Compare a column with a string by the column `<name>_key`, so that case and spelling make no difference.

    `==`, `!=` and filter_by() do; `in_()`, `like()`, sorting and comparing with another column use the column itself.
    """

    def operate(self, op: Callable[..., Any], *other: Any, **kwargs: Any) -> ColumnElement[Any]:
        column = self.__clause_element__()
        try:
            if op in {operator.eq, operator.ne} and isinstance(other[0], str):
                table = cast("FromClause", column.table)
                return cast("ColumnElement[Any]", op(table.c[f"{column.name}_key"], login_key(other[0].strip())))
        except ValueError:  # nobody has this; PostgreSQL would not even take a NUL
            return false() if op is operator.eq else true()
        return super().operate(op, *other, **kwargs)

"""Logins: the validation of email addresses and usernames, and the normal form by which accounts are found."""

import operator
import re
import unicodedata
from collections.abc import Callable
from typing import Any, cast

import idna
from flask import current_app
from flask_babel import gettext as _
from sqlalchemy import ColumnElement, FromClause, false, true
from sqlalchemy.orm import ColumnProperty

from settings.domains import with_public_domain

MAX_LOGIN_LENGTH = 254  # characters of an email address (RFC 5321, 4.5.3.1.3); usernames are shorter
NO_ADDRESS = "@invalid"  # ends the address of a concealed registration whose own address was taken
USERNAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")

# Some mail servers deliver these local parts to another host than the one after the @: encoded words (RFC 2047), and
# the source routes user%host and host!user. Each of their characters is allowed elsewhere in a local part.
ROUTE = re.compile(r"=\?.*\?=|%[\w-]+(\.[\w-]+)+$|^([\w-]+\.)+[\w-]+!")

GOOGLEMAIL = re.compile(r"(^|\.)googlemail\.com$")  # another name of gmail.com


def normal_email(address: str) -> str:
    """Return an email address in its normal form; raise ValueError with a message for the user if it is invalid."""
    from email_validator import EmailNotValidError, validate_email

    check_length(address)
    special = current_app.config["EMAIL_SPECIAL_DOMAINS"] if current_app else ()
    address, suffix = with_public_domain(address, special)
    try:
        parsed = validate_email(address, check_deliverability=False, allow_smtputf8=False)
    except EmailNotValidError as error:  # its message is in English
        raise ValueError(_objection(address)) from error
    if len(parsed.local_part) > 64:
        raise ValueError(_("The part before the @ can have at most 64 characters."))
    if ROUTE.search(parsed.local_part):
        raise ValueError(_("The part before the @ contains another address. Enter the address alone."))
    return parsed.normalized.removesuffix(suffix)


def check_username(username: str) -> None:
    """Raise ValueError, with a message for the user, if a username has other characters or is too long."""
    if not USERNAME.fullmatch(username):
        raise ValueError(_("Use at most 64 characters: a-z, digits, dots, dashes, and underscores, starting with a-z."))


def login_key(login: str) -> str:
    """Return the key that all spellings of a login share; raise ValueError if no account can have it."""
    check_length(login)
    login.encode()  # raises UnicodeEncodeError, a ValueError, for lone surrogates
    if "\0" in login:
        raise ValueError("A login cannot contain NUL.")
    return email_key(login) if "@" in login else login.lower()


def email_key(email: str) -> str:
    """Return the key that all spellings of an email address share; raise ValueError as ascii_email() does."""
    return ascii_email(email).lower()


def mailbox(email: str) -> str:
    """Return an address without its +tag and dots, since such addresses usually share a mailbox.

    Only for counting and blocking: two such addresses may belong to two users, and are two accounts.
    """
    local, _, domain = email_key(email).rpartition("@")
    domain = GOOGLEMAIL.sub(r"\1gmail.com", domain)
    return f"{local.partition('+')[0].replace('.', '') or local}@{domain}"


def ascii_email(email: str) -> str:
    """Return the address with its domain in ASCII, for mail servers; raise ValueError if it is no email address.

    Python's "idna" codec would not do: it implements IDNA 2003, which maps the domain `straße` to `strasse`.
    """
    check_length(email)
    local, _at, domain = unicodedata.normalize("NFC", email).rpartition("@")
    if not (local and domain) or "@" in local or not email.isprintable():
        raise ValueError(_("This isn't a valid email address."))
    in_ascii = f"{local}@{domain if domain.isascii() else idna.encode(domain, uts46=True).decode()}"
    check_length(in_ascii)
    return in_ascii


def check_length(login: str) -> None:
    """Raise ValueError if a login is longer than an email address can be.

    Call it first: Unicode normalization takes quadratic time.
    """
    if len(login) > MAX_LOGIN_LENGTH:
        raise ValueError(_("This is too long."))


def _objection(address: str) -> str:
    """Return why an email address is invalid, as far as a user can see it."""
    local, at, domain = address.rpartition("@")
    if not at:
        return _("An email address must have an @-sign.")
    if not local:
        return _("There must be something before the @-sign.")
    if not domain:
        return _("There must be something after the @-sign.")
    if "." not in domain:
        return _("The part after the @-sign must have a period, as in example.com.")
    return _("This isn't a valid email address. Check it for typos.")


class AnyCase(ColumnProperty.Comparator[str]):
    """Compare a column with a string regardless of case and spelling, by the column `<name>_key`.

    This applies to `==`, `!=` and filter_by(). Other operators, such as in_() and like(), use the column itself.
    """

    def operate(self, op: Callable[..., Any], *other: Any, **kwargs: Any) -> ColumnElement[Any]:
        column = self.__clause_element__()
        try:
            if op in {operator.eq, operator.ne} and isinstance(other[0], str):
                table = cast("FromClause", column.table)
                return cast("ColumnElement[Any]", op(table.c[f"{column.name}_key"], login_key(other[0].strip())))
        except ValueError:  # no account has this login; PostgreSQL refuses a NUL
            return false() if op is operator.eq else true()
        return super().operate(op, *other, **kwargs)

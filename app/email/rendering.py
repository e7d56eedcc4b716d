"""Render emails of the outbox: the values of their templates, and links with fresh tokens.

Templates (see app/email/composition.py) get the details given to outbox.enqueue(), and these values:

    hello           a greeting
    user            the User, or None
    app_name        APP_NAME
    link(endpoint)  the URL of a page
    token           the token for the link, or None
    code            the code, or None
    at, device, ip  the time, browser and IP address of the request that caused the email
    by_request      whether a request caused the email, not a command
    until           the time when "This wasn't me" expires
    is_last_today   no other email can be requested for this address today
    role_label(name)  the name of a role in the language of the email
    unlinked(text)  text that others chose, in one line, so that mail clients turn no part of it into a link
"""

import re
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from flask import current_app
from flask_babel import gettext as _
from jinja2 import TemplateError
from sqlalchemy.exc import SQLAlchemyError

from app import clock, formats, languages
from app.email.composition import compose
from app.email.details import decoded
from app.email.message import Message
from app.email.templates import Email
from app.extensions import db
from app.models import EmailChallenge, Invitation, OutboxEmail
from app.models.logins import ascii_email
from app.models.outbox_email import Budget
from app.models.role import role_label
from app.security import signing, user_agents
from app.security.token_purposes import DAY, TokenPurpose

DOTS = ".\u3002\uff0e\uff61"  # UTS 46 reads all of these as dots in a domain name
UNLINKED = str.maketrans({"@": " (at) ", ":": " : ", "/": " / ", "\\": " \\ "} | dict.fromkeys(DOTS, " (dot) "))
NO_BREAK_SPACE = "\u00a0"
MIN_PHONE_NUMBER = 7  # digits
SECURE_WITHIN = timedelta(seconds=TokenPurpose.SECURE_ACCOUNT.lifetime)


class Unsendable(Exception):
    """No attempt can succeed, because the account was deleted, or the template or a header does not fit the row."""


def render(email: OutboxEmail) -> Message | None:
    """Render an email with a fresh token, or return None if the email is obsolete. Raises Unsendable."""
    try:
        message = None if email.is_obsolete or _is_over(email) else _render(email)
    except Exception as error:
        if isinstance(error, SQLAlchemyError | OSError) and not isinstance(error, TemplateError):
            raise  # the next attempt may succeed
        raise Unsendable(f"It can't be rendered: {type(error).__name__}: {error}") from error
    return message


def link(endpoint: str, **values: Any) -> str:
    """Return the absolute URL of a page. It starts with PUBLIC_URL, independent of the request's Host header."""
    public = urlsplit(current_app.config["PUBLIC_URL"])
    adapter = current_app.url_map.bind(public.netloc, public.path or "/", url_scheme=public.scheme)
    return adapter.build(endpoint, values, force_external=True)


def common_values() -> dict[str, Any]:
    """Return the values that are the same for every email."""
    return {"link": link, "unlinked": unlinked, "role_label": role_label, "app_name": current_app.config["APP_NAME"]}


def unlinked(text: str) -> str:
    """Rewrite domains and addresses, which mail clients turn into links, and join the lines.

    Otherwise attackers could use this application to send links, or a subject and paragraphs, of their choice.
    """
    return languages.isolated(" ".join(text.translate(UNLINKED).split()))


def in_groups(code: str) -> str:
    """Return a code in two groups of four digits, which change places from right to left unless no space parts them."""
    space = NO_BREAK_SPACE if languages.direction() == "rtl" else " "
    return f"{code[:4]}{space}{code[4:]}"


def _render(email: OutboxEmail) -> Message:
    if email.user_id and not email.user:
        raise LookupError("the account was deleted")
    if ascii_email(email.recipient) != email.recipient:
        raise ValueError("the recipient is not an ASCII address")
    language = languages.offered(email.language) or languages.default()
    with languages.speaking(language, email.user.time_zone if email.user else None):
        message = compose(email.name, email.recipient, _values(email))
    message.msgId = email.message_id
    message.extra_headers = {"Auto-Submitted": "auto-generated"}
    message.reply_to = email.details.get("reply_to", message.reply_to)
    if url := email.details.get("unsubscribe"):
        message.extra_headers["List-Unsubscribe"] = f"<{url}>"
        message.extra_headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    headers = (message.subject, message.sender, message.reply_to or "", *message.extra_headers.values())
    if not all(str(header).replace(NO_BREAK_SPACE, " ").isprintable() for header in headers):
        raise ValueError("a control character in a header")
    return message


def _values(email: OutboxEmail) -> dict[str, Any]:
    values = common_values() | {
        "user": email.user,
        "hello": _hello(email),
        "token": _token(email),
        "code": _code(email.claims.get("challenge")),
        "is_last_today": email.budget == Budget.LAST,
        "at": formats.moment(email.created_at),
        "until": formats.moment(email.created_at + SECURE_WITHIN),
        "device": user_agents.in_words(email.details.get("user_agent", "")),
        "by_request": any(email.details.get(name) for name in ("ip", "user_agent")),
    }
    values |= decoded(email.details)
    # Nobody has proved that an unconfirmed address is the user's.
    values["ip"] = "" if email.user and not email.user.confirmed else languages.isolated(email.details.get("ip", ""))
    if email.name == Email.DELETION_REQUESTED:
        values["due"] = _day(email.details["due"])
    return values


def _day(text: str) -> str:
    """Return a date in words. In a row of an earlier release, it is in words already."""
    with suppress(ValueError):
        return formats.day(datetime.fromisoformat(text))
    return text


def _invitation(email: OutboxEmail) -> Invitation | None:
    return db.session.get(Invitation, email.claims.get("invitation", 0))


def _is_over(email: OutboxEmail) -> bool:
    """Return whether the email is about an invitation that was accepted or withdrawn, or has expired."""
    if email.name != Email.INVITATION:
        return False
    invitation = _invitation(email)
    return invitation is None or not invitation.is_valid


def _hello(email: OutboxEmail) -> str:
    """Greet by name at the user's confirmed address, unless a mail client could turn the name into a link."""
    user = email.user
    if not user or not user.confirmed or ascii_email(user.email) != email.recipient:
        return _("Hello,")
    digits = re.findall(r"\d", user.known_as)
    is_plain = re.fullmatch(r"[\w-]+", user.known_as) and len(digits) < MIN_PHONE_NUMBER
    return _("Hello %(name)s,", name=user.known_as) if is_plain else _("Hello,")


def _token(email: OutboxEmail) -> str | None:
    if email.name == Email.NO_ACCOUNT:
        return signing.sign(TokenPurpose.REGISTER, 1, email.recipient)
    if email.name == Email.INVITATION and (invitation := _invitation(email)):
        return invitation.token()
    if not email.purpose or not email.user:
        return None
    lifetime = DAY if email.budget == Budget.LAST else None
    return email.user.issue_token(TokenPurpose(email.purpose), lifetime, **email.claims)


def _code(challenge_id: str | None) -> str | None:
    """Return the code of a challenge, and restart its lifetime."""
    challenge = challenge_id and db.session.get(EmailChallenge, challenge_id)
    if not challenge:
        return None
    challenge.sent_at = clock.now()
    return in_groups(challenge.code)

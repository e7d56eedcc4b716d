"""What stands in an email. One template has its words, `email/<name>.txt`, the subject in the first line.

It gets `hello` (a greeting), `user`, `app_name`, the details given to `mail.send()`, `link(endpoint, ...)`, `token` if
the email stands in `mail.PURPOSES`, `code` if it has one, `at` (when it was queued), `browser` and `ip` (of whoever
caused it), `is_last_today` (of the day, for its address). Words that others chose go through `unlinked()`.

The same words are shown as HTML: a paragraph of two lines, `Label:` and an address, is a button there.
"""

import re
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from flask import current_app
from jinja2 import TemplateError
from sqlalchemy.exc import SQLAlchemyError

from app import clock
from app.email.message import Message
from app.extensions import db
from app.models import EmailChallenge, OutboxEmail
from app.models.logins import ascii_email
from app.models.outbox_email import Budget
from app.security import user_agents
from app.security.token_purposes import TokenPurpose

DOTS = ".\u3002\uff0e\uff61"  # that a host's name may have (UTS 46)
LINKING = str.maketrans({"@": " (at) ", ":": " : ", "/": " / ", "\\": " \\ "} | dict.fromkeys(DOTS, " (dot) "))
PHONE_NUMBER = 7  # digits
DAY = 24 * 3600  # seconds
SECURE_WITHIN = timedelta(seconds=TokenPurpose.SECURE_ACCOUNT.lifetime)
BUTTON = re.compile(r"(?P<label>[^\n]+):\n(?P<url>https?://\S+)")


class Unsendable(Exception):
    """No try will ever send this one: its account is gone, or its template does not fit its row."""


def write(email: OutboxEmail) -> Message | None:
    """Write an email, its link dated now; None if the account has moved on since it was queued.

    Raises Unsendable, with the reason.
    """
    try:
        message = None if email.is_obsolete else _write(email)
    except Exception as error:
        if isinstance(error, SQLAlchemyError | OSError) and not isinstance(error, TemplateError):
            raise  # the database or the disk, which may be back at the next try
        raise Unsendable(f"It can't be written: {type(error).__name__}: {error}") from error
    if message and not all(str(header).isprintable() for header in (message.subject, message.sender)):
        raise ValueError("a control character in a header")
    return message


def _write(email: OutboxEmail) -> Message:
    if email.user_id and not email.user:
        raise LookupError("the account is gone")
    words = _words(email)
    subject, _, text = _template(f"{email.name}.txt").render(words).partition("\n")
    paragraphs = re.split(r"\n\s*\n", text.strip())
    html = _template("layout.html").render(words, paragraphs=map(_paragraph, paragraphs))
    message = Message(subject.removeprefix("Subject: "), [email.recipient], "\n\n".join(paragraphs) + "\n", html)
    message.msgId = email.message_id
    message.extra_headers = {"Auto-Submitted": "auto-generated"}
    if ascii_email(email.recipient) != email.recipient:
        raise ValueError("the recipient is no address")
    return message


def link(endpoint: str, **values: Any) -> str:
    """Return the full address of a page. It starts with PUBLIC_URL, whatever host a request named."""
    public = urlsplit(current_app.config["PUBLIC_URL"])
    adapter = current_app.url_map.bind(public.netloc, public.path or "/", url_scheme=public.scheme)
    return adapter.build(endpoint, values, force_external=True)


def unlinked(words: str) -> str:
    """Return others' words so that no mail program makes a link of them, as it does of www.evil.example or an address.

    Whoever chose them could else have it sent to anybody, in an email that comes from here.
    """
    return words.translate(LINKING)


def _hello(email: OutboxEmail) -> str:
    """Greet by name at the account's own, confirmed address, unless a mail program might make a link of the name."""
    user = email.user
    if not user or not user.confirmed or ascii_email(user.email) != email.recipient:
        return "Hello,"
    is_plain = re.fullmatch(r"[\w-]+", user.username) and len(re.findall(r"\d", user.username)) < PHONE_NUMBER
    return f"Hello {user.username}," if is_plain else "Hello,"


def _words(email: OutboxEmail) -> dict[str, Any]:
    user, details = email.user, email.details
    lifetime = DAY if email.budget == Budget.LAST else None
    words = {
        "user": user,
        "hello": _hello(email),
        "unlinked": unlinked,
        "token": email.purpose and user and user.issue_token(TokenPurpose(email.purpose), lifetime, **email.claims),
        "code": _code(email.claims.get("challenge")),
        "link": link,
        "app_name": current_app.config["APP_NAME"],
        "is_last_today": email.budget == Budget.LAST,
        "at": f"{clock.day(email.created_at)} at {email.created_at:%H:%M} UTC",
        "until": clock.day(email.created_at + SECURE_WITHIN),
        "browser": user_agents.in_words(details.get("user_agent", "")),
    }
    return words | details


def _code(challenge_id: str | None) -> str | None:
    """The code of the challenge that an email belongs to, from now on as young as the email; in groups of four."""
    challenge = challenge_id and db.session.get(EmailChallenge, challenge_id)
    if not challenge:
        return None
    challenge.sent_at = clock.now()
    return f"{challenge.code[:4]} {challenge.code[4:]}"


def _paragraph(text: str) -> dict[str, str | None]:
    """What the HTML says of a paragraph: its `text`, and the `label` and `url` of a button."""
    button = BUTTON.fullmatch(text)
    return {"text": text, "label": button and button["label"], "url": button and button["url"]}


def _template(name: str) -> Any:
    return current_app.jinja_env.get_template(f"email/{name}")

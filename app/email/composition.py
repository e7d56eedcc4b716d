"""Compose an email from its template `email/<name>.txt`: the first line is the subject, the rest is the text part.

The HTML part has the same words, which `email/layout.html` arranges, in whatever language they are:

- The lines `Label:` and a URL become a button, or a link after a button or a code, since an email asks for one thing.
- Two or more lines such as `When: 4 May 2031, 12:30 UTC` become a box of facts.
- A code that is alone in its paragraph is shown large.
- What follows the line `--` is small print, such as the reason for the email. `email/_closing.txt` completes it.
- The first paragraph after the greeting is the preview that mail clients show beside the subject.
"""

import re
from typing import Any, NamedTuple

from flask import current_app
from flask_babel import gettext
from jinja2 import Environment

from app.email.message import SIGNATURE, Message
from app.languages import ISOLATES
from app.models.logins import ascii_email

BUTTON = re.compile(r"(?P<label>[^\n]+):\n(?P<url>https?://\S+)")
FACT = re.compile(r"([^\n:]+: )([^\n]+)")
COMMAS = (",", "\u060c")  # what a greeting ends with, also in Arabic


class Paragraph(NamedTuple):
    """A paragraph, and its parts if it is a button or a box of facts: each a label with its colon, and a value."""

    text: str
    label: str = ""
    url: str = ""
    facts: tuple[tuple[str, str], ...] = ()


def compose(name: str, recipient: str, values: dict[str, Any], env: Environment | None = None) -> Message:
    """Return the email of a template with these values."""
    env = env or current_app.jinja_env
    first_line, _, text = env.get_template(f"email/{name}.txt").render(values).partition("\n")
    text, _, reason = text.partition("\n--\n")
    subject, body = _without_isolates(first_line.removeprefix("Subject: ")), _parse(text)
    closing = _parse(env.get_template("email/_closing.txt").render(values, reason=reason.strip()))
    parts = {"subject": subject, "body": body, "closing": closing}
    shown = {"preview": _preview(body, values.get("hello")), "main_url": _main_url(body, values.get("code"))}
    html = env.get_template("email/layout.html").render(values, **parts, **shown)
    message = Message(subject, [recipient], _plain(body, closing), html)
    if support := current_app.config["SUPPORT_EMAIL"]:
        message.reply_to = ascii_email(support)
    return message


def _without_isolates(text: str) -> str:
    return text.translate(dict.fromkeys(map(ord, ISOLATES)))


def _parse(text: str) -> list[Paragraph]:
    return [_paragraph(part) for part in re.split(r"\n\s*\n", text.strip()) if part]


def _paragraph(text: str) -> Paragraph:
    button, facts = BUTTON.fullmatch(text), [FACT.fullmatch(line) for line in text.split("\n")]
    if button:
        return Paragraph(text, button["label"], button["url"])
    if len(facts) > 1 and all(facts):
        return Paragraph(text, facts=tuple((fact[1], fact[2]) for fact in facts if fact))
    return Paragraph(text)


def _preview(body: list[Paragraph], hello: str | None) -> str:
    greetings = {hello, gettext("Hello,")}
    return next((part.text for part in body if part.text not in greetings and not part.text.endswith(COMMAS)), "")


def _main_url(body: list[Paragraph], code: str | None) -> str:
    """Return the URL of the button: the first URL, unless a code comes before it."""
    return next((paragraph.url for paragraph in body if paragraph.url or paragraph.text == code), "")


def _plain(body: list[Paragraph], closing: list[Paragraph]) -> str:
    above, below = ("\n\n".join(paragraph.text for paragraph in part) for part in (body, closing))
    return f"{above}\n\n{SIGNATURE}\n{below}\n"

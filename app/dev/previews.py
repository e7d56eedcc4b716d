"""Previews of every email with sample values, for its author. Nothing is sent or stored."""

from typing import Any, cast

from flask import abort, current_app, render_template
from flask.typing import ResponseReturnValue
from jinja2 import DebugUndefined

from app.dev.email_views import show_html, views
from app.dev.mailbox import bp
from app.email.composition import compose
from app.email.message import Message
from app.email.rendering import common_values, link, unlinked
from app.email.templates import EmailTemplate
from app.models import User
from app.switches import has, is_on
from app.templating import Environment

RECIPIENT = "ada@example.com"
SAMPLE = {
    "hello": "Hello ada,",
    "token": f"sample-{'x' * 180}",  # as long as a token
    "code": "1234 5678",
    "is_last_today": False,
    "at": "4 May 2031, 12:30 UTC",
    "until": "11 May 2031, 12:30 UTC",
    "device": "Safari on iPhone",
    "ip": "203.0.113.7",
    "by_request": True,
    "new_email": "lovelace@example.com",
    "label": "Google",
    "address": "ada@example.org",
    "due": "18 May 2031",
    "action": "role_changed",
    "new": "moderator",
    "factor": "authenticator",
    "is_last": True,
    "left": 3,
    "inviter": "grace",
    "role": "moderator",
}


@bp.route("/emails")
def previews() -> ResponseReturnValue:
    return render_template("dev/previews.html", emails={name: _compose(name) for name in _names()})


@bp.route("/emails/<name>")
def preview(name: str) -> ResponseReturnValue:
    message = _compose(name)
    email = {"subject": message.subject, "to": RECIPIENT, "text": message.body}
    return render_template("dev/preview.html", email=email, name=name, **views("dev.preview", name=name))


@bp.route("/emails/<name>/html")
def preview_html(name: str) -> ResponseReturnValue:
    return show_html(_compose(name).html or "")


def _compose(name: str) -> Message:
    """Compose an email, in which `{{ name }}` stays where there is no sample value of that name."""
    env = cast(Environment, current_app.jinja_env).of_reader().overlay(undefined=DebugUndefined)
    user = User(username="ada", email=RECIPIENT)
    functions = {
        "unlinked": lambda text: unlinked(str(text)),
        "link": lambda endpoint, **parts: link(endpoint, **{part: parts[part] or 1 for part in parts}),
    }
    values: dict[str, Any] = common_values() | functions | SAMPLE | {"user": user}
    values["hello"] = SAMPLE["hello"] if is_on("username") else "Hello,"
    return compose(name if name in _names() else abort(404), RECIPIENT, values, env)


def _names() -> list[str]:
    """Return the names of the emails of this application, and of those that are built on it, that have a template."""
    templates = set(current_app.jinja_env.list_templates())
    names = [name for register in EmailTemplate.__subclasses__() for name in register if has(f"email/{name}")]
    return [name for name in names if f"email/{name}.txt" in templates]

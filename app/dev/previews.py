"""Previews of every email with sample values, for its author. Nothing is sent or stored."""

from datetime import UTC, datetime
from typing import Any, cast

from flask import abort, current_app, render_template
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from jinja2 import BaseLoader, DebugUndefined, TemplateError
from jinja2.meta import find_undeclared_variables
from markupsafe import escape

from app import formats, languages
from app.accounts.account_deletion import GRACE
from app.dev.email_views import language, language_views, show_html, views
from app.dev.mailbox import bp
from app.email.composition import compose
from app.email.message import Message
from app.email.rendering import SECURE_WITHIN, common_values, in_groups, link, unlinked
from app.email.templates import EmailTemplate
from app.models import User
from app.security import user_agents
from app.switches import has, is_on
from app.templating import Environment

RECIPIENT = "ada@example.com"
AT = datetime(2031, 5, 4, 12, 30, tzinfo=UTC)
SAFARI = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) Version/18.5 Mobile/15E148 Safari/604.1"
SAMPLE = {
    "token": f"sample-{'x' * 180}",  # as long as a token
    "is_last_today": False,
    "by_request": True,
    "new_email": "lovelace@example.com",
    "label": "Google",
    "address": "ada@example.org",
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
    emails = _compose(_names())
    views = language_views("dev.previews")
    return render_template("dev/previews.html", emails=emails, views=views, language_of_email=language())


@bp.route("/emails/<name>")
def preview(name: str) -> ResponseReturnValue:
    message = _find(name)
    email = {"subject": message.subject, "to": RECIPIENT, "text": message.body}
    view = views("dev.preview", name=name, language=language())
    view["views"] += (language_views("dev.preview", name=name),)
    return render_template("dev/preview.html", email=email, name=name, language_of_email=language(), **view)


@bp.route("/emails/<name>/html")
def preview_html(name: str) -> ResponseReturnValue:
    return show_html(_find(name).html or "")


def sample() -> dict[str, Any]:
    """Return all sample values, in the language of the email."""
    return SAMPLE | {
        "hello": _("Hello %(name)s,", name="ada") if is_on("username") else _("Hello,"),
        "code": in_groups("12345678"),
        "at": formats.moment(AT),
        "until": formats.moment(AT + SECURE_WITHIN),
        "due": formats.day(AT + GRACE),
        "ip": languages.isolated("203.0.113.7"),
        "device": user_agents.in_words(SAFARI),
    }


def _find(name: str) -> Message:
    return _compose([name])[name] if name in _names() else abort(404)


def _compose(names: list[str]) -> dict[str, Message]:
    """Compose emails, in which `{{ name }}` stays where there is no sample value of that name."""
    with languages.speaking(language() or languages.current()):
        env = cast(Environment, current_app.jinja_env).of_reader().overlay(undefined=DebugUndefined)
        functions = {
            "unlinked": lambda text: unlinked(str(text)),
            "link": lambda endpoint, **parts: link(endpoint, **{part: parts[part] or 1 for part in parts}),
        }
        values: dict[str, Any] = common_values() | functions | sample()
        values["user"] = User(username="ada", email=RECIPIENT)
        return {name: _compose_one(name, values, env) for name in names}


def _compose_one(name: str, values: dict[str, Any], env: Environment) -> Message:
    """Compose an email, or one that says why this fails, as where a filter gets a value that has no sample."""
    try:
        return compose(name, RECIPIENT, values, env)
    except Exception as error:
        why = f"{_without_sample(name, values)}{type(error).__name__}: {error}"
        problem = f"email/{name}.txt can't be previewed. {why}"
        return Message(problem, [RECIPIENT], problem, f"<head></head><p>{escape(problem)}</p>")


def _without_sample(name: str, values: dict[str, Any]) -> str:
    env = current_app.jinja_env
    try:
        source = cast(BaseLoader, env.loader).get_source(env, f"email/{name}.txt")[0]
        names = find_undeclared_variables(env.parse(source)) - {*values, *env.globals}
    except TemplateError:
        return ""
    return f"SAMPLE has no value for: {', '.join(sorted(names))}. " if names else ""


def _names() -> list[str]:
    """Return the names of the emails of this application, and of those that are built on it, that have a template."""
    templates = set(current_app.jinja_env.list_templates())
    names = [name for register in EmailTemplate.__subclasses__() for name in register if has(f"email/{name}")]
    return [name for name in names if f"email/{name}.txt" in templates]

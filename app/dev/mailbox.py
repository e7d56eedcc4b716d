"""The development mailbox, which shows the emails of the application to the developer."""

import email
import os
from contextlib import suppress
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from email.parser import BytesHeaderParser
from functools import lru_cache
from mailbox import Maildir
from pathlib import Path
from typing import Any, NamedTuple

import flask_mail
from flask import Flask, abort, current_app, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_mail import email_dispatched

from app.dev import access
from app.dev.email_views import show_html, views
from app.email.message import unflowed
from app.models.logins import email_key
from app.switches import SwitchedBlueprint

bp = SwitchedBlueprint("dev", __name__, url_prefix="/dev")
bp.before_request(access.require_developer)

MAX_KEPT = 300  # emails; the oldest are deleted
PAGE_SIZE = 50  # emails


class Summary(NamedTuple):
    """An email in the list."""

    key: str
    to: str
    subject: str
    at: datetime


def keep_emails(app: Flask) -> None:
    """Keep the newest emails that Flask-Mail sends, or would send if MAIL_SERVER were set."""

    def keep(sender: Flask, message: flask_mail.Message, **_: Any) -> None:
        Maildir(_folder(app)).add(message.as_bytes())
        for file in _files(app)[MAX_KEPT:]:
            file.unlink(missing_ok=True)

    email_dispatched.connect(keep, app, weak=False)


@bp.route("/mailbox")
def mailbox() -> ResponseReturnValue:
    address, page = _address(), max(request.args.get("page", 1, type=int), 1)
    found = _newest(address, page * PAGE_SIZE + 1)
    emails, is_more = found[(page - 1) * PAGE_SIZE : page * PAGE_SIZE], len(found) > page * PAGE_SIZE
    return render_template("dev/mailbox.html", emails=emails, address=address, page=page, is_more=is_more)


@bp.route("/mailbox/delete", methods=["POST"])
def delete_emails() -> ResponseReturnValue:
    """Delete the emails in the list: all of them, or the ones to an address."""
    for summary in _newest(_address(), MAX_KEPT):
        _find(summary.key).unlink(missing_ok=True)
    return redirect(url_for("dev.mailbox"))


@bp.route("/mailbox/<key>", endpoint="email")
def show_email(key: str) -> ResponseReturnValue:
    return render_template("dev/email.html", email=_read(_find(key)), **views("dev.email", key=key))


@bp.route("/mailbox/<key>/html")
def email_html(key: str) -> ResponseReturnValue:
    return show_html(_read(_find(key))["html"])


@bp.route("/mailbox/<key>/delete", methods=["POST"])
def delete_email(key: str) -> ResponseReturnValue:
    _find(key).unlink(missing_ok=True)
    return redirect(url_for("dev.mailbox"))


def _address() -> str:
    """Return the address, or part of an address, by which the list is filtered."""
    return request.args.get("address", "").strip()


def _newest(address: str, count: int) -> list[Summary]:
    """Return at most `count` of the newest emails to an address, without reading more files than necessary."""
    try:
        sought = email_key(address)
    except ValueError:  # a part of an address
        sought = address.lower()
    found: list[Summary] = []
    for file in _files(current_app)[:MAX_KEPT]:
        with suppress(FileNotFoundError):  # deleted in the meantime
            summary = _summary(file)
            found += [summary] if sought in summary.to.lower() else []
        if len(found) == count:
            break
    return found


def _find(key: str) -> Path:
    """Return the file of an email, or abort with 404. The key is never used in a path."""
    return next((file for file in _files(current_app) if _key(file) == key), None) or abort(404)


def _files(app: Flask) -> list[Path]:
    """Return the files of the emails, newest first."""
    entries = []
    for part in ("new", "cur"):
        with suppress(FileNotFoundError), os.scandir(_folder(app) / part) as found:
            entries += [(entry.stat().st_mtime_ns, entry.name, Path(entry.path)) for entry in found]
    return [path for *_, path in sorted(entries, reverse=True)]


def _folder(app: Flask) -> Path:
    Path(app.instance_path).mkdir(parents=True, exist_ok=True)
    return Path(app.instance_path, app.config["MAILBOX"])


def _key(file: Path) -> str:
    return file.name.partition(":")[0]


@lru_cache(maxsize=2 * MAX_KEPT)
def _summary(file: Path) -> Summary:
    with file.open("rb") as opened:
        headers = BytesHeaderParser(policy=policy.default).parse(opened)
    return Summary(_key(file), str(headers["To"]), str(headers["Subject"]), _arrived(file))


def _read(file: Path) -> dict[str, Any]:
    try:
        message = email.message_from_bytes(file.read_bytes(), policy=policy.default)
    except FileNotFoundError:
        abort(404)
    return {
        "key": _key(file),
        "from": message["From"],
        "to": message["To"],
        "subject": message["Subject"],
        "at": _arrived(file),
        "text": _body(message, "plain"),
        "html": _body(message, "html"),
    }


def _body(message: EmailMessage, kind: str) -> str:
    part = message.get_body([kind])
    text: str = part.get_content().replace("\r\n", "\n") if part else ""
    return unflowed(text) if part and part.get_param("format") == "flowed" else text


def _arrived(file: Path) -> datetime:
    return datetime.fromtimestamp(file.stat().st_mtime, UTC)

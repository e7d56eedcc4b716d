# mypy: ignore-errors
"""The mailbox page: emails as a mail program shows them. Only the developer's browser sees it (access.py)."""

import email
import os
from contextlib import suppress
from datetime import UTC, datetime
from email import policy
from email.parser import BytesHeaderParser
from functools import lru_cache
from mailbox import Maildir
from pathlib import Path
from typing import NamedTuple

from flask import Blueprint, abort, current_app, redirect, render_template, request, url_for
from flask_mail import email_dispatched

from app.dev import access
from app.models.logins import email_key

bp = Blueprint("dev", __name__, url_prefix="/dev")
bp.before_request(access.require_developer)

KEPT = 300  # emails; the oldest goes when another one comes
PAGE = 50  # emails

# An email's HTML is shown without scripts or forms; its links open in the whole window.
EMAIL_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; "
    "sandbox allow-top-navigation-by-user-activation"
)


class Summary(NamedTuple):
    """What the list says of an email."""

    key: str
    to: str
    subject: str
    at: datetime


def keep_emails(app):
    """Keep the newest emails that Flask-Mail sends, or would send if there were a mail server."""

    def keep(sender, message, **_):
        Maildir(_folder(app)).add(message.as_bytes())
        for file in _files(app)[KEPT:]:
            file.unlink(missing_ok=True)

    email_dispatched.connect(keep, app, weak=False)


@bp.route("/mailbox")
def mailbox():
    address, page = _address(), max(request.args.get("page", 1, type=int), 1)
    found = _newest(address, page * PAGE + 1)
    emails, is_more = found[(page - 1) * PAGE : page * PAGE], len(found) > page * PAGE
    return render_template("dev/mailbox.html", emails=emails, address=address, page=page, is_more=is_more)


@bp.route("/mailbox/delete", methods=["POST"])
def delete_emails():
    """Delete the emails of the list: all, or those to an address."""
    for summary in _newest(_address(), KEPT):
        _find(summary.key).unlink(missing_ok=True)
    return redirect(url_for("dev.mailbox"))


@bp.route("/mailbox/<key>", endpoint="email")
def show_email(key):
    return render_template("dev/email.html", email=_read(_find(key)))


@bp.route("/mailbox/<key>/html")
def email_html(key):
    html = _read(_find(key))["html"].replace("<head>", '<head><base target="_top">', 1)
    return html, {"Content-Security-Policy": EMAIL_POLICY}


@bp.route("/mailbox/<key>/delete", methods=["POST"])
def delete_email(key):
    _find(key).unlink(missing_ok=True)
    return redirect(url_for("dev.mailbox"))


def _address():
    """The address that the list is for, or a part of one."""
    return request.args.get("address", "").strip()


def _newest(address, count):
    """Sum up the newest emails to an address, at most `count`. No more files are read than that takes, each once."""
    try:
        sought = email_key(address)
    except ValueError:  # a part of one
        sought = address.lower()
    found = []
    for file in _files(current_app)[:KEPT]:
        with suppress(FileNotFoundError):  # deleted meanwhile
            summary = _summary(file)
            found += [summary] if sought in summary.to.lower() else []
        if len(found) == count:
            break
    return found


def _find(key):
    """The file of an email. No name that was typed becomes a path."""
    return next((file for file in _files(current_app) if _key(file) == key), None) or abort(404)


def _files(app):
    """Where the emails are, newest first."""
    entries = []
    for part in ("new", "cur"):
        with suppress(FileNotFoundError), os.scandir(_folder(app) / part) as found:
            entries += [(entry.stat().st_mtime_ns, entry.name, Path(entry.path)) for entry in found]
    return [path for *_, path in sorted(entries, reverse=True)]


def _folder(app):
    Path(app.instance_path).mkdir(parents=True, exist_ok=True)
    return Path(app.instance_path, app.config["MAILBOX"])


def _key(file):
    return file.name.partition(":")[0]


@lru_cache(maxsize=2 * KEPT)
def _summary(file):
    with file.open("rb") as opened:
        headers = BytesHeaderParser(policy=policy.default).parse(opened)
    return Summary(_key(file), str(headers["To"]), str(headers["Subject"]), _arrived(file))


def _read(file):
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
        "text": message.get_body(["plain"]).get_content(),
        "html": message.get_body(["html"]).get_content(),
    }


def _arrived(file):
    return datetime.fromtimestamp(file.stat().st_mtime, UTC)

"""The mailbox page: letters as a mail program shows them. Only the developer's browser sees it (access.py)."""

import email
from datetime import UTC, datetime
from email import policy
from mailbox import Maildir
from pathlib import Path

from flask import Blueprint, abort, current_app, render_template, request
from flask_mail import email_dispatched

from app.dev import access
from app.models.user import email_key

bp = Blueprint("dev", __name__, url_prefix="/dev")
bp.before_request(access.require_developer)

# A letter's HTML is shown without scripts or forms; its links open in the whole window.
LETTER_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; "
    "sandbox allow-top-navigation-by-user-activation"
)


def keep_letters(app):
    """Keep every letter that Flask-Mail sends, or would send if there were a mail server."""

    def keep(sender, message, **_):
        _folder(app).add(message.as_bytes())

    email_dispatched.connect(keep, app, weak=False)


@bp.route("/mailbox")
def mailbox():
    address = request.args.get("address", "").strip()
    try:
        sought = email_key(address)
    except ValueError:  # a part of one
        sought = address.lower()
    letters = [letter for letter in _letters() if sought in letter["to"].lower()]
    return render_template("dev/mailbox.html", letters=letters, address=address)


@bp.route("/mailbox/<key>")
def letter(key):
    return render_template("dev/letter.html", letter=_find(key))


@bp.route("/mailbox/<key>/html")
def letter_html(key):
    html = _find(key)["html"].replace("<head>", '<head><base target="_top">', 1)
    return html, {"Content-Security-Policy": LETTER_POLICY}


def _letters():
    """All letters, newest first."""
    folder = _folder(current_app)
    return sorted((_read(folder, key) for key in folder.keys()), key=lambda letter: letter["at"], reverse=True)


def _find(key):
    folder = _folder(current_app)
    return _read(folder, key) if key in folder else abort(404)


def _folder(app):
    return Maildir(Path(app.instance_path, app.config["MAILBOX"]))


def _read(folder, key):
    message = email.message_from_bytes(folder.get_bytes(key), policy=policy.default)
    arrived = datetime.fromtimestamp(folder.get_message(key).get_date(), UTC)
    return {
        "key": key,
        "from": message["From"],
        "to": message["To"],
        "subject": message["Subject"],
        "at": arrived,
        "text": message.get_body(["plain"]).get_content(),
        "html": message.get_body(["html"]).get_content(),
    }

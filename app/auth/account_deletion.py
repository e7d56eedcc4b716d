# mypy: ignore-errors
"""Taking one's data along, and leaving."""

import io
import zipfile

from flask import Response, flash, redirect, render_template, stream_with_context, url_for
from flask_login import current_user, login_required, logout_user
from wtforms.validators import ValidationError

from app import clock
from app.accounts import account_deletion, personal_data
from app.auth import access, next_url
from app.auth.blueprint import bp
from app.auth.forms import Form, email_field, form_page
from app.extensions import db
from app.models import AuditAction, User
from app.models.logins import email_key
from app.security import audit


class DeleteForm(Form):
    email = email_field("Your address, to be sure")

    def validate_email(self, field):
        if email_key(field.data) != current_user.email_key:
            raise ValidationError("This is not the address of your account.")


@bp.route("/export", methods=["GET", "POST"])
@access.reauthentication_required
def export():
    if not Form().validate_on_submit():
        return render_template("auth/export.html", names=personal_data.in_words)
    audit.record(current_user, AuditAction.EXPORTED)
    db.session.commit()
    zipped = stream_with_context(_zip(db.session.get(User, current_user.id)))
    headers = {"Content-Disposition": 'attachment; filename="account.zip"', "Cache-Control": "no-store"}
    return Response(zipped, mimetype="application/zip", headers=headers)


@bp.route("/delete", methods=["GET", "POST"])
@access.reauthentication_required
def delete():
    form = DeleteForm()
    if form.validate_on_submit():
        account_deletion.request(current_user)
        db.session.commit()
        due = current_user.deletion_due_at
        logout_user()
        flash(f"Your account will be deleted on {clock.day(due)}. Log in before that day to keep it.", "success")
        return redirect(url_for("main.index"))
    return form_page("auth/delete.html", form, names=personal_data.in_words, grace=account_deletion.GRACE)


@bp.route("/cancel-deletion", methods=["GET", "POST"])
@login_required
def cancel_deletion():
    if not current_user.deletion_due_at:
        return next_url.redirect_to_next()
    if Form().validate_on_submit():
        account_deletion.cancel(current_user)
        db.session.commit()
        flash("Your account stays.", "success")
        return next_url.redirect_to_next()
    return render_template("auth/cancel_deletion.html")


def _zip(user):
    """A zip with a file of JSON a table, made while it is sent."""
    sent = _Pipe()
    with zipfile.ZipFile(sent, "w", zipfile.ZIP_DEFLATED) as archive:
        for model in personal_data.registered:
            with archive.open(f"{personal_data.table_of(model).name}.json", "w") as file:
                for text in personal_data.as_json(user, model):
                    file.write(text.encode(errors="backslashreplace"))
                    yield sent.take()
    yield sent.take()


class _Pipe(io.RawIOBase):
    """What is written to it is taken out at the other end."""

    def __init__(self):
        self.held = bytearray()

    def writable(self):
        return True

    def write(self, data):
        self.held += data
        return len(data)

    def take(self):
        taken = bytes(self.held)
        self.held.clear()
        return taken

"""Proving once more who one is, before what can't be undone: by the password, or by a code for those who have none."""

from urllib.parse import unquote, urlsplit

from flask import current_app, flash, redirect, request, url_for
from flask_login import current_user
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import HTTPException
from wtforms.validators import ValidationError

from app import audit
from app.accounts import recent_login as proofs
from app.accounts import sessions
from app.auth import gate
from app.auth.blueprint import bp
from app.auth.fields import Form, code_field, form_page, password_field
from app.extensions import db
from app.limits import limited


class PasswordForm(Form):
    password = password_field()

    def validate_password(self, field):
        if not current_user.verify_password(field.data):
            audit.record(current_user, audit.SIGN_IN_FAILED)
            raise ValidationError("This is not your password.")


class CodeForm(Form):
    code = code_field()

    def validate_code(self, field):
        if not proofs.is_right(current_user, field.data):
            raise ValidationError("That code is not right, or was tried too often. Have another one sent.")


@bp.route("/recent-login", methods=["GET", "POST"])
@gate.members_only
@limited("sign_in", "letter")
def recent_login():
    form = PasswordForm() if current_user.password_hash else CodeForm()
    if form.is_submitted() and "send_code" in request.form:
        is_sent = proofs.send_code(current_user)
        db.session.commit()
        words = "A code is on its way." if is_sent else "Many letters went to you lately. Wait an hour, then try again."
        flash(words, "success" if is_sent else "warning")
        return form_page("auth/recent_login.html", form, target=request.form.get("target"), held=_held())
    if form.validate_on_submit():
        sessions.prove_again(current_user.current_session)
        gate.renew_session()
        db.session.commit()
        return _go_back()
    if form.errors:
        db.session.commit()  # a wrong try counts
    return form_page("auth/recent_login.html", form, target=request.form.get("target"), held=_held())


def _held():
    """The fields of the form that waits."""
    fields = request.form.items(multi=True)
    return [(name.removeprefix("held-"), value) for name, value in fields if name.startswith("held-")]


def _go_back():
    """Go on to the page asked for; a form that waited is shown again, with what was typed."""
    target = gate.safe_next(request.form.get("target"))
    if not target:
        return gate.go_on()
    try:
        match = current_app.create_url_adapter(request).match(unquote(urlsplit(target).path), "GET", return_rule=True)
    except HTTPException:  # a button without a page of its own
        flash("Thank you. Now press it again.", "info")
        return redirect(url_for("main.account"))
    request.url_rule, request.view_args = match
    return gate.answer_as_get(MultiDict(_held()), "Thank you. Look it over and send it again.")

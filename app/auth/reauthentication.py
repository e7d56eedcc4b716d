# mypy: ignore-errors
"""Proving once more who one is, before what can't be undone: by the password, or by a code for those who have none.

Who has two-factor authentication proves that, too, on the same form; a passkey is both.
"""

from urllib.parse import unquote, urlsplit

from flask import abort, current_app, flash, redirect, request, url_for
from flask_login import current_user, login_required
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import HTTPException
from wtforms import HiddenField
from wtforms.validators import StopValidation, ValidationError

from app.accounts import passkeys, sessions, two_factor, two_factor_codes
from app.accounts import reauthentication as proofs
from app.auth import access, login_flow, next_url
from app.auth.blueprint import bp
from app.auth.forms import Form, code_field, factor_code_field, form_page, password_field
from app.auth.held_forms import held_fields
from app.auth.next_url import safe_path
from app.extensions import db
from app.models import AuditAction
from app.security import audit
from app.security.rate_limits import rate_limited
from app.web import stale_forms


def is_right(form, field):
    """A validator of the second factor's code, which is used up only if all before it is right."""
    if form.errors:
        raise StopValidation
    try:
        two_factor_codes.check_code(current_user, field.data, login_flow.device())
    except ValueError as error:
        raise ValidationError(str(error)) from error


def factor_field():
    return factor_code_field("Code from your authenticator app, or a recovery code", is_right, inputmode="text")


class PasswordForm(Form):
    password = password_field()
    factor_code = factor_field()

    def validate_password(self, field):
        if not current_user.verify_password(field.data):
            audit.record(current_user, AuditAction.LOGIN_FAILED)
            raise ValidationError("This is not your password.")


class CodeForm(Form):
    factor_code = factor_field()
    code = code_field()

    def validate_code(self, field):
        if self.factor_code and self.factor_code.errors:
            return  # an email's code is harder to come by than the next one of an app
        if not proofs.is_right(current_user, field.data):
            raise ValidationError("That code is not right, or was tried too often. Have another one sent.")


class PasskeyForm(Form):
    credential = HiddenField()

    def validate_credential(self, field):
        if not passkeys.authenticate("reauthentication", access.browser_id(), field.data, current_user):
            raise ValidationError("That passkey was not taken. Try again, or prove it another way.")


@bp.route("/reauthenticate", methods=["GET", "POST"])
@login_required
@rate_limited("login", "reauthentication", "code", with_passkey=["passkey"])
def reauthenticate():
    if not current_user.current_session:
        abort(403)
    form = _form()
    if form.is_submitted() and "send_code" in request.form and not request.form.get("credential"):
        is_sent = proofs.send_code(current_user)
        db.session.commit()
        words = "A code is on its way." if is_sent else "Many emails went to you lately. Wait an hour, then try again."
        flash(words, "success" if is_sent else "warning")
        return _page(form)
    if form.validate_on_submit():
        sessions.record_reauthentication(current_user.current_session)
        access.renew_session()
        db.session.commit()
        return _go_back()
    if form.errors:
        db.session.commit()  # a wrong attempt counts
    return _page(form)


def _form():
    if request.form.get("credential"):
        return PasskeyForm()
    form = PasswordForm() if current_user.password_hash else CodeForm()
    if not two_factor.is_on(current_user):
        del form.factor_code
    return form


def _page(form):
    waiting = {"target": safe_path(request.form.get("target")), "held": held_fields()}
    return form_page("auth/reauthenticate.html", form, **waiting, methods=two_factor.methods(current_user))


def _go_back():
    """Go on to the page asked for; a form that waited is shown again, with what was typed."""
    target = safe_path(request.form.get("target"))
    if not target:
        return next_url.redirect_to_next()
    try:
        match = current_app.create_url_adapter(request).match(unquote(urlsplit(target).path), "GET", return_rule=True)
    except HTTPException:  # a button without a page of its own
        flash("Thank you. Now press it again.", "info")
        return redirect(url_for("main.account"))
    request.url_rule, request.view_args = match
    held = held_fields()
    words = "Thank you. Look it over and send it again." if held else "Thank you. Fill in the form again."
    return stale_forms.answer_as_get(MultiDict(held or ()), words)

"""Email changes: the page to request one, and the link in the email to the new address."""

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_login import current_user
from wtforms import Field
from wtforms.validators import ValidationError

from app.accounts import email_change, enumeration, passwords, reauthentication, registration
from app.auth import access, next_url
from app.auth.blueprint import bp
from app.auth.fields import code_field, new_email_field, password_field
from app.auth.forms import Form, form_page
from app.extensions import db
from app.languages import isolated
from app.security import tokens
from app.security.rate_limits import rate_limited
from app.security.token_purposes import TokenPurpose
from app.web import errors


class ChangeEmailForm(Form):
    """A user without a password enters an emailed code instead, if the address is confirmed."""

    email = new_email_field(_l("New email address"))
    password = password_field()
    code = code_field()

    def validate_email(self, field: Field) -> None:
        if field.data == current_user.email:
            raise ValidationError(_("This is already your email address."))
        if enumeration.policy().says_taken and registration.is_taken(field.data, current_user):
            raise ValidationError(_("This address is already registered. Use another."))


@bp.route("/change-email", methods=["GET", "POST"])
@access.two_factor_reauthentication_required
@rate_limited("login", "reauthentication", "code", "availability")
def change_email() -> ResponseReturnValue:
    return _change_email() if _can_prove() else access.reauthentication_required(_change_email)()


@bp.route("/change-email/<token>")
def change_email_link(token: str) -> ResponseReturnValue:
    resolved = tokens.resolve(token, TokenPurpose.CHANGE_EMAIL, even_if_spent=True)
    if not resolved:
        return errors.invalid_link()
    is_own = resolved.user == current_user
    if is_own and resolved.claims.extra["email"] == current_user.email:
        flash(_("Your email address is already %(email)s.", email=isolated(current_user.email)), "info")
        return redirect(url_for("main.account"))
    if not resolved.is_spent and not current_user.is_authenticated:
        next_url.store_location(resolved.user)
        return access.ask_for_login(_("Log in to change your email address."), is_stored=True)
    if not is_own or not access.is_opened_by_user() or not _change(resolved):
        return errors.invalid_link()
    flash(_("Your email address was changed. Your other devices were logged out."), "success")
    return redirect(url_for("main.account"))


def _can_prove() -> bool:
    """Return whether the form can ask for a password, or for a code: an unconfirmed address may be mistyped."""
    return bool(current_user.has_password or current_user.confirmed)


def _change_email() -> ResponseReturnValue:
    form = _form()
    if form.is_submitted() and "send_code" in request.form:
        return _send_code(form)
    if form.is_submitted() and _validate(form):
        is_requested = email_change.request(current_user, form.email.data)
        if is_requested or not enumeration.policy().says_over_budget:
            access.consume_both_factors()
            db.session.commit()
            return next_url.redirect_to_email_sent(form.email.data)
        db.session.rollback()  # the code can be used again
        form.email.errors = [_("Too many emails were sent to this address. Try again in an hour.")]
    elif form.errors:
        db.session.commit()  # a failed attempt counts
    return form_page("auth/change_email.html", form, code_is_sent=form.is_submitted())


def _form() -> ChangeEmailForm:
    form = ChangeEmailForm()
    del form["code" if current_user.has_password else "password"]
    if not _can_prove():
        del form.code
    return form


def _send_code(form: ChangeEmailForm) -> ResponseReturnValue:
    is_sent = reauthentication.send_code(current_user)
    db.session.commit()
    if not is_sent:
        flash(_("We've sent you too many emails. Try again in an hour."), "warning")
    return render_template("auth/change_email.html", form=form, code_is_sent=is_sent)


def _validate(form: ChangeEmailForm) -> bool:
    """Validate the form, and also check the password or the code. A code is consumed only if the form is valid."""
    is_valid = form.validate()
    if "password" in form:
        if not form.password.errors and not passwords.verify(current_user, form.password.data):
            form.password.errors = [_("Incorrect password.")]
    elif "code" in form and is_valid and not reauthentication.is_right(current_user, form.code.data):
        form.code.errors = [_("This code is incorrect or has expired. Request another one.")]
    return not form.errors


def _change(resolved: tokens.Token) -> bool:
    if resolved.is_spent or not email_change.change(resolved, keep=current_user.current_session):
        return False
    access.credential_changed()
    db.session.commit()
    return True

# mypy: ignore-errors
"""Changing the email address: requested with the password, made by the link that goes to the new one."""

from flask import flash, redirect, render_template, request, url_for
from flask_login import current_user
from wtforms.validators import ValidationError

from app.accounts import email_change, enumeration, reauthentication, registration
from app.auth import access, next_url
from app.auth.blueprint import bp
from app.auth.forms import Form, code_field, email_field, form_page, password_field
from app.extensions import db
from app.models import AuditAction
from app.security import audit, tokens
from app.security.rate_limits import rate_limited
from app.security.token_purposes import TokenPurpose
from app.web import errors


class ChangeEmailForm(Form):
    email = email_field("New email address")
    password = password_field()

    def validate_email(self, field):
        if field.data == current_user.email:
            raise ValidationError("This is your address already.")
        if enumeration.policy().says_taken and registration.is_taken(field.data, current_user):
            raise ValidationError("This address is already registered. Use another.")

    def validate_password(self, field):
        if not current_user.verify_password(field.data):
            audit.record(current_user, AuditAction.LOGIN_FAILED)
            raise ValidationError("This is not your password.")


class ChangeEmailByCodeForm(ChangeEmailForm):
    """For who has no password: a code from an email to the present address."""

    password = None
    code = code_field()

    def validate_code(self, field):
        if not self.email.errors and not reauthentication.is_right(current_user, field.data):
            raise ValidationError("That code is not right, or was tried too often. Have another one sent.")


@bp.route("/change-email", methods=["GET", "POST"])
@access.two_factor_reauthentication_required
@rate_limited("login", "reauthentication", "code", "availability")
def change_email():
    form = ChangeEmailForm() if current_user.password_hash else ChangeEmailByCodeForm()
    if form.is_submitted() and "send_code" in request.form:
        is_sent = reauthentication.send_code(current_user)
        db.session.commit()
        if not is_sent:
            flash("Many emails went to you lately. Wait an hour, then try again.", "warning")
        return render_template("auth/change_email.html", form=form, code_is_sent=is_sent)
    if form.validate_on_submit():
        is_asked = email_change.ask(current_user, form.email.data)
        if is_asked or not enumeration.policy().says_over_budget:
            access.use_proof()
            db.session.commit()
            return next_url.redirect_to_email_sent(form.email.data)
        db.session.rollback()  # the code is not used up
        form.email.errors = ["Many emails went there lately. Wait an hour, then try again."]
    elif form.errors:
        db.session.commit()  # a wrong attempt counts
    return form_page("auth/change_email.html", form, code_is_sent=form.is_submitted())


@bp.route("/change-email/<token>")
def change_email_link(token):
    resolved = tokens.resolve(token, TokenPurpose.CHANGE_EMAIL, even_if_spent=True)
    is_own = resolved is not None and resolved.user == current_user
    if is_own and resolved.claims.extra["email"] == current_user.email:
        flash(f"Your address is {current_user.email} already.", "info")
        return redirect(url_for("main.account"))
    if not resolved or resolved.is_spent:
        return errors.invalid_link()
    if not current_user.is_authenticated:
        next_url.store_location(resolved.user)
        return access.ask_for_login("Log in to change your address.", is_stored=True)
    if not is_own or not access.is_opened_by_user():
        return errors.invalid_link()
    if not email_change.change(resolved, keep=current_user.current_session):
        return errors.invalid_link()
    access.credential_changed()
    db.session.commit()
    flash(f"Your address is {current_user.email} now. Your other browsers were logged out.", "success")
    return redirect(url_for("main.account"))

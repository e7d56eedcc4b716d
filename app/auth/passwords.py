# mypy: ignore-errors
"""Another password: by the old one, or by a mailed link for who has forgotten it or has none."""

from flask import flash, redirect, render_template, url_for
from flask_login import current_user
from wtforms.validators import ValidationError

from app.accounts import passwords
from app.auth import access, next_url
from app.auth.blueprint import bp
from app.auth.forms import (
    Form,
    NewPasswordForm,
    confirmation_page,
    email_field,
    form_page,
    new_password_field,
    password_again_field,
    password_field,
)
from app.extensions import db
from app.models import AuditAction
from app.security import audit, tokens
from app.security.rate_limits import rate_limited
from app.security.token_purposes import TokenPurpose
from app.web import errors


class ResetForm(NewPasswordForm):
    password = new_password_field("New password")
    confirm_password = password_again_field()


class ChangePasswordForm(NewPasswordForm):
    old_password = password_field("Old password")
    password = new_password_field("New password")
    confirm_password = password_again_field()

    def validate_old_password(self, field):
        if not self.user.verify_password(field.data):
            audit.record(self.user, AuditAction.LOGIN_FAILED)
            raise ValidationError("This is not your password.")


class RequestResetForm(Form):
    email = email_field()


REMOVE_PASSWORD = {
    "title": "Remove your password?",
    "words": "You then log in with a passkey, or with a link that we email to you. Your other devices are logged out.",
    "button": "Remove my password",
}


@bp.route("/change-password", methods=["GET", "POST"])
@access.two_factor_reauthentication_required
@rate_limited("login", "reauthentication")
def change_password():
    if current_user.password_hash is None:
        return render_template("auth/no_password.html")
    form = ChangePasswordForm(current_user)
    if form.validate_on_submit():
        if passwords.change(current_user, form.password.data, keep=current_user.current_session):
            access.credential_changed()
            db.session.commit()
            flash("Your password is changed. Your other browsers were logged out.", "success")
            return redirect(url_for("main.account"))
        form.form_errors.append("It was changed elsewhere at this moment. Look it over and try again.")
    elif form.errors:
        db.session.commit()  # a wrong attempt counts
    return form_page("auth/change_password.html", form)


@bp.route("/remove-password", methods=["GET", "POST"])
@access.both_factors_required
def remove_password():
    if not Form().validate_on_submit():
        return confirmation_page("auth.list_passkeys", **REMOVE_PASSWORD)
    if passwords.remove(current_user, keep=current_user.current_session):
        access.credential_changed()
        db.session.commit()
        flash("Your password is removed. Your other devices were logged out.", "success")
    else:
        db.session.rollback()
        flash("A password can be removed once you have a passkey.", "warning")
    return redirect(url_for("auth.list_passkeys"))


@bp.route("/reset", methods=["GET", "POST"])
@rate_limited("requests")
def request_reset():
    form = RequestResetForm()
    if form.validate_on_submit():
        passwords.forgot(form.email.data)
        db.session.commit()
        return next_url.redirect_to_email_sent(form.email.data)
    return form_page("auth/request_reset.html", form)


@bp.route("/reset/<token>", methods=["GET", "POST"])
def reset_password(token):
    resolved = tokens.resolve(token, TokenPurpose.RESET)
    if not resolved:
        return errors.invalid_link()
    user = resolved.user
    form, is_first_proof = ResetForm(user), not user.confirmed
    if form.validate_on_submit():
        if not passwords.reset(resolved, form.password.data):
            return errors.invalid_link()
        db.session.commit()
        flash("Your new password is set. Log in with it.", "success")
        if is_first_proof:
            flash(f"Your address is confirmed. If {user.username} is no name of your choice, change it there.", "info")
        return redirect(url_for("auth.login", next=url_for("auth.change_username") if is_first_proof else None))
    return form_page("auth/reset_password.html", form, user=user, token=token)

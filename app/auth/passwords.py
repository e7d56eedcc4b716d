"""Passwords: the pages to change, remove and reset them."""

from flask import flash, redirect, render_template, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_login import current_user

from app.accounts import passwords
from app.auth import access, next_url
from app.auth.blueprint import bp
from app.auth.fields import email_field, new_password_field, password_again_field, password_field, typed_at_login
from app.auth.forms import Form, NewPasswordForm, confirmation_page, form_page
from app.extensions import db
from app.models import User
from app.request_state import SessionKey
from app.security import tokens
from app.security.rate_limits import rate_limited
from app.security.token_purposes import TokenPurpose
from app.switches import is_on
from app.web import errors

REMOVE_PASSWORD = {
    "title": _l("Remove your password?"),
    "words": _l("You'll log in with a passkey instead. Your other devices will be logged out."),
    "button": _l("Remove password"),
}


class ResetForm(NewPasswordForm):
    password = new_password_field(_l("New password"))
    confirm_password = password_again_field()


class ChangePasswordForm(NewPasswordForm):
    old_password = password_field(_l("Current password"))
    password = new_password_field(_l("New password"))
    confirm_password = password_again_field()


class RequestResetForm(Form):
    email = email_field()


@bp.route("/change-password", methods=["GET", "POST"])
@access.two_factor_reauthentication_required
@rate_limited("login", "reauthentication")
def change_password() -> ResponseReturnValue:
    if current_user.password_hash is None:
        return render_template("auth/no_password.html")
    form = ChangePasswordForm(current_user)
    if form.is_submitted() and _validate(form) and _change(form):
        access.credential_changed()
        db.session.commit()
        flash(_("Your password was changed. Your other devices were logged out."), "success")
        return redirect(url_for("auth.login_methods"))
    if form.errors:
        db.session.commit()  # a failed attempt counts
    return form_page("auth/change_password.html", form)


@bp.route("/remove-password", methods=["GET", "POST"])
@access.both_factors_required
def remove_password() -> ResponseReturnValue:
    if not Form().validate_on_submit():
        return confirmation_page("auth.list_passkeys", **REMOVE_PASSWORD)
    if passwords.remove(current_user, keep=current_user.current_session):
        access.credential_changed()
        db.session.commit()
        flash(_("Your password was removed. Your other devices were logged out."), "success")
    else:
        flash(_("Add a passkey first. Then you can remove your password."), "warning")
    return redirect(url_for("auth.list_passkeys"))


@bp.route("/reset", methods=["GET", "POST"])
@rate_limited("requests")
def request_reset() -> ResponseReturnValue:
    form = RequestResetForm(email=typed_at_login())
    if typed_at_login() is None and form.validate_on_submit():
        passwords.request_reset(form.email.data)
        db.session.commit()
        return next_url.redirect_to_email_sent(form.email.data)
    return form_page("auth/request_reset.html", form)


@bp.route("/reset/<token>", methods=["GET", "POST"])
def reset_password(token: str) -> ResponseReturnValue:
    resolved = tokens.resolve(token, TokenPurpose.RESET)
    if not resolved:
        return errors.invalid_link()
    user, is_first_proof = resolved.user, not resolved.user.confirmed
    form = ResetForm(user)
    if not form.validate_on_submit():
        return form_page("auth/reset_password.html", form, user=user, token=token)
    if not passwords.reset(resolved, form.password.data):
        return errors.invalid_link()
    db.session.commit()
    session[SessionKey.EMAIL_SENT_TO] = user.email
    flash(_("Your password was changed. Log in with your new password."), "success")
    return _after_first_proof(user) if is_first_proof else redirect(url_for("auth.login"))


def _after_first_proof(user: User) -> ResponseReturnValue:
    """Redirect to the login page, and then to the username, which someone else may have chosen."""
    if not is_on("username"):
        flash(_("Your email address is confirmed."), "info")
        return redirect(url_for("auth.login"))
    flash(
        _(
            "Your email address is confirmed. If you didn't choose the username %(username)s, change it.",
            username=user.username,
        ),
        "info",
    )
    return redirect(url_for("auth.login", next=url_for("auth.change_username")))


def _validate(form: ChangePasswordForm) -> bool:
    """Validate the form, and also check the old password, so that one response shows all errors."""
    form.validate()
    if not form.old_password.errors and not passwords.verify(current_user, form.old_password.data):
        form.old_password.errors = [_("Incorrect password.")]
    return not form.errors


def _change(form: ChangePasswordForm) -> bool:
    if passwords.change(current_user, form.password.data, keep=current_user.current_session):
        return True
    form.form_errors.append(_("Your password was just changed on another device. Try again."))
    return False

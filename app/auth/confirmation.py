"""Confirmation of the email address: the page that asks for it and can correct the address, and the emailed link."""

from flask import flash, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_login import current_user
from wtforms import Field
from wtforms.validators import ValidationError

from app import formats, switches
from app.accounts import email_typos, enumeration, registration
from app.auth import access, login_flow, next_url
from app.auth.blueprint import bp
from app.auth.fields import CodeForm, new_email_field, password_field
from app.auth.forms import Form, form_page
from app.extensions import db
from app.models import AuditAction
from app.security import audit, tokens
from app.security.rate_limits import rate_limited
from app.security.token_purposes import TokenPurpose
from app.security.tokens import Token
from app.web import errors

CONFIRMED = _l("Your email address is confirmed. Welcome.")


class CorrectionForm(Form):
    email = new_email_field(_l("Your email address"))

    def validate_email(self, field: Field) -> None:
        if registration.is_taken(field.data, current_user):
            raise ValidationError(_("This address is already registered. Log out and log in with it, or use another."))


class ChosenPasswordForm(Form):
    password = password_field(_l("The password you chose"))


@bp.route("/unconfirmed", methods=["GET", "POST"])
@rate_limited("code", "availability")
def unconfirmed() -> ResponseReturnValue:
    if not current_user.is_authenticated:
        return access.ask_for_login()
    if current_user.confirmed:
        return redirect(url_for("main.index"))
    code, correction = CodeForm(), CorrectionForm()
    if "code" in request.form and code.validate_on_submit() and _confirm_by_code(code):
        return next_url.redirect_to_next()
    is_correction = "email" in request.form and enumeration.policy().corrects_email
    if is_correction and correction.validate_on_submit() and _correct(correction):
        return redirect(url_for("auth.unconfirmed"))
    return _unconfirmed_page(code, correction)


@bp.route("/confirm/<token>", methods=["GET", "POST"])
@rate_limited("login", "login_attempts")
def confirm(token: str) -> ResponseReturnValue:
    resolved = tokens.resolve(token, TokenPurpose.CONFIRM, even_if_spent=True)
    is_own = resolved is not None and resolved.user == current_user
    if is_own and current_user.confirmed:
        flash(_("Your email address is already confirmed."), "info")
        return redirect(url_for("main.index"))
    if not resolved or resolved.is_spent:
        return errors.invalid_link()
    if not current_user.is_authenticated:
        return _confirm_logged_out(resolved)
    if not is_own or not access.is_opened_by_user() or not registration.confirm(resolved):
        return errors.invalid_link()
    db.session.commit()
    flash(str(CONFIRMED), "success")
    return next_url.redirect_to_next()


@bp.route("/confirm", methods=["POST"])
@rate_limited("requests")
def send_again() -> ResponseReturnValue:
    if not current_user.is_authenticated:
        return access.ask_for_login()
    if registration.send_again(current_user):
        db.session.commit()
        flash(_("We sent another email."), "success")
    elif wait := registration.seconds_to_wait(current_user):
        flash(_("You can request another email %(later)s.", later=formats.later(wait)), "info")
    return redirect(url_for("auth.unconfirmed"))


def _unconfirmed_page(code: CodeForm, correction: CorrectionForm) -> ResponseReturnValue:
    can_correct = enumeration.policy().corrects_email
    return form_page(
        "auth/unconfirmed.html",
        correction if correction.errors else code,
        code=code,
        correction=correction,
        can_correct=can_correct,
        likely=email_typos.suggest(current_user.email) if can_correct else None,
        wait=registration.seconds_to_wait(current_user),
        email=registration.last_email(current_user),
    )


def _confirm_by_code(form: CodeForm) -> bool:
    is_right = registration.confirm_by_code(current_user, form.code.data)
    db.session.commit()  # a wrong attempt counts
    if is_right:
        flash(str(CONFIRMED), "success")
    else:
        form.code.errors = [_("This code is incorrect or has expired. Enter the code from the newest email.")]
    return is_right


def _correct(form: CorrectionForm) -> bool:
    try:
        if registration.correct(current_user, form.email.data):
            db.session.commit()
            flash(_("Your email address was changed."), "success")
            return True
        return form.validate()  # the address was just taken, which the form says, or the same click came twice
    except ValueError as error:
        form.email.errors = [str(error)]
    return False


def _confirm_logged_out(token: Token) -> ResponseReturnValue:
    """Ask for a login. With PREVENT_ENUMERATION, ask for the chosen password instead, which also logs in.

    Where there are no passwords, the link itself logs in.
    """
    if switches.is_on("passwordless"):
        return redirect(url_for("auth.use_magic_link", token=request.view_args and request.view_args["token"]))
    if enumeration.policy().logs_in_unconfirmed or not switches.is_on("password"):
        next_url.store_location(token.user)
        return access.ask_for_login(_("Log in to confirm your email address."), is_stored=True)
    form = ChosenPasswordForm()
    if form.validate_on_submit():
        if token.user.verify_password(form.password.data):
            if not registration.confirm(token):
                return errors.invalid_link()
            return login_flow.complete_login(token.user, "confirmation", message=str(CONFIRMED))
        audit.record(token.user, AuditAction.LOGIN_FAILED)
        db.session.commit()
        form.password.errors = [_("This is not the password you chose when you created your account.")]
    return form_page("auth/confirm.html", form, owner=token.user)

# mypy: ignore-errors
"""Registering, and confirming the address: by the link in an email, or by its code."""

from flask import current_app, flash, redirect, render_template, request, session, url_for
from flask_login import current_user
from wtforms.validators import ValidationError

from app.accounts import registration
from app.auth import access, login_flow, next_url, pages
from app.auth.blueprint import bp
from app.auth.forms import (
    Form,
    captcha_field,
    code_field,
    email_field,
    form_page,
    new_password_field,
    password_again_field,
    password_field,
    username_field,
    with_captcha,
)
from app.extensions import db
from app.models import AuditAction, User
from app.security import audit, tokens
from app.security.rate_limits import rate_limited
from app.security.token_purposes import TokenPurpose
from app.web import errors


class RegistrationForm(Form):
    email = email_field()
    username = username_field()
    password = new_password_field()
    confirm_password = password_again_field()
    recaptcha = captcha_field()

    def words(self):
        return self.email.data, self.username.data

    def validate_email(self, field):
        if not current_app.config["PREVENT_ENUMERATION"] and registration.is_taken(field.data):
            raise ValidationError("This address is already registered. Log in, or use another.")

    def validate_username(self, field):
        if User.find(field.data):
            raise ValidationError("This name is already in use. Choose another.")


class CodeForm(Form):
    code = code_field()


class CorrectionForm(Form):
    email = email_field("Your address")

    def validate_email(self, field):
        if registration.is_taken(field.data, current_user):
            raise ValidationError("This address is already registered. Log out and log in with it, or use another.")


class ChosenPasswordForm(Form):
    password = password_field("The password that you chose")


@bp.route("/register", methods=["GET", "POST"])
@rate_limited("availability")
def register():
    if current_user.is_authenticated:
        return redirect(url_for("main.index"))
    if not current_app.config["REGISTRATION_OPEN"]:
        flash("Registration is closed. Ask those who run this site for an account.", "info")
        return redirect(url_for("auth.login"))
    form = with_captcha(RegistrationForm())
    if "by_passkey" in request.form and not current_app.config["PREVENT_ENUMERATION"]:  # there the password confirms
        del form.password, form.confirm_password
    if form.validate_on_submit():
        for _ in range(2):
            try:
                return _register(form)
            except registration.Taken:  # somebody was faster: now the form finds it taken, unless that is to be hidden
                db.session.rollback()
                if not form.validate():
                    break
        else:
            form.form_errors.append("Somebody had this name at this moment. Try again.")
    return form_page("auth/register.html", form)


@bp.route("/email-sent")
def email_sent():
    email = session.get("email_sent_to")
    if not email:
        return redirect(url_for("auth.login"))
    return render_template("auth/email_sent.html", email=email, likely=registration.near_miss(email))


@bp.route("/unconfirmed", methods=["GET", "POST"])
@rate_limited("code", "availability")
def unconfirmed():
    if not current_user.is_authenticated:
        return access.ask_for_login()
    if current_user.confirmed:
        return redirect(url_for("main.index"))
    code, correction = CodeForm(), CorrectionForm()
    if "code" in request.form and code.validate_on_submit() and _confirm_by_code(code):
        return next_url.redirect_to_next()
    is_correction = (
        "email" in request.form and not current_app.config["PREVENT_ENUMERATION"]
    )  # it says who has an account
    if is_correction and correction.validate_on_submit() and _correct(correction):
        return redirect(url_for("auth.unconfirmed"))
    return form_page(
        "auth/unconfirmed.html",
        correction if correction.errors else code,
        code=code,
        correction=correction,
        wait=registration.seconds_to_wait(current_user),
        email=registration.last_email(current_user),
        likely=None if current_app.config["PREVENT_ENUMERATION"] else registration.near_miss(current_user.email),
    )


@bp.route("/confirm/<token>", methods=["GET", "POST"])
@rate_limited("login", "login_attempts")
def confirm(token):
    resolved = tokens.resolve(token, TokenPurpose.CONFIRM, even_if_spent=True)
    is_own = resolved is not None and resolved.user == current_user
    if is_own and current_user.confirmed:
        flash("Your account is confirmed already.", "info")
        return redirect(url_for("main.index"))
    if not resolved or resolved.is_spent:
        return errors.invalid_link()
    if not current_user.is_authenticated:
        return _confirm_as_stranger(resolved, token)
    if not is_own or not access.is_opened_by_user() or not registration.confirm(resolved):
        return errors.invalid_link()
    db.session.commit()
    flash(CONFIRMED, "success")
    return next_url.redirect_to_next()


@bp.route("/confirm", methods=["POST"])
@rate_limited("requests")
def send_again():
    if not current_user.is_authenticated:
        return access.ask_for_login()
    if registration.send_again(current_user):
        db.session.commit()
        flash(f"Another email is on its way to {current_user.email}.", "success")
    elif wait := registration.seconds_to_wait(current_user):
        flash(f"Another email can be sent in {wait} {'second' if wait == 1 else 'seconds'}.", "info")
    return redirect(url_for("auth.unconfirmed"))


CONFIRMED = "You have confirmed your account. Welcome."


def _register(form):
    """Register and log in; or, if nobody is to learn who has an account, say nothing but that an email went."""
    if not form.password:
        return _register_without_password(form)
    person = (form.email.data, form.username.data, form.password.data)
    if current_app.config["PREVENT_ENUMERATION"]:
        registration.register_unseen(*person)
        db.session.commit()
        return pages.redirect_to_email_sent(form.email.data)
    user = registration.register(*person)
    return login_flow.complete_login(
        user, "registration", words=f"Welcome, {user.username}. An email is on its way to {user.email}."
    )


def _register_without_password(form):
    """Register and log in; the passkey is made once the address is confirmed. Until then a mailed link logs in."""
    user = registration.join(form.email.data, form.username.data, confirmed=False)
    words = f"Welcome, {user.username}. An email is on its way to {user.email}; after it, you make your passkey."
    return login_flow.complete_login(user, "registration", to=url_for("auth.list_passkeys"), words=words)


def _confirm_by_code(form):
    is_right = registration.confirm_by_code(current_user, form.code.data)
    db.session.commit()  # a wrong attempt counts
    if is_right:
        flash(CONFIRMED, "success")
    else:
        form.code.errors = ["That code is not right, or was used or tried too often. Look at the newest email."]
    return is_right


def _correct(form):
    try:
        if registration.correct(current_user, form.email.data):
            db.session.commit()
            flash(f"An email is on its way to {current_user.email}.", "success")
            return True
        return form.validate()  # somebody was faster: now the form finds the address taken, or it was the same click
    except ValueError as error:
        form.email.errors = [str(error)]
    return False


def _confirm_as_stranger(resolved, token):
    """Ask for a login; With PREVENT_ENUMERATION, it is the password chosen at registration that logs in here."""
    owner = resolved.user
    if not current_app.config["PREVENT_ENUMERATION"]:
        next_url.store_location(owner)
        return access.ask_for_login("Log in to confirm your address.", is_held=True)
    form = ChosenPasswordForm()
    if form.validate_on_submit():
        if owner.verify_password(form.password.data):
            if not registration.confirm(resolved):
                return errors.invalid_link()
            return login_flow.complete_login(owner, "confirmation", words=CONFIRMED)
        audit.record(owner, AuditAction.LOGIN_FAILED)
        db.session.commit()
        form.password.errors = ["This is not the password that was chosen at registration."]
    return form_page("auth/confirm.html", form, token=token, owner=owner)

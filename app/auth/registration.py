"""Registering, and confirming the address by a link in a letter."""

from flask import current_app, flash, redirect, render_template, request, url_for
from flask_login import current_user
from sqlalchemy.exc import IntegrityError
from wtforms import StringField
from wtforms.validators import DataRequired, ValidationError

from app import tokens
from app.accounts import registration
from app.auth import gate
from app.auth.blueprint import bp
from app.auth.fields import Form, email_field, form_page, new_password_field, password_again_field, rule, stripped
from app.extensions import db
from app.models import User


class RegistrationForm(Form):
    email = email_field()
    username = StringField(
        "Username",
        [DataRequired("Choose a username."), rule(registration.check_username)],
        filters=[stripped],
        description="Letters, digits, dots, dashes and underscores.",
        render_kw={"autocomplete": "username"},
    )
    password = new_password_field(words=["email", "username"])
    confirm_password = password_again_field()

    def validate_email(self, field):
        if User.find(field.data):
            raise ValidationError("This address is already registered. Log in, or use another.")

    def validate_username(self, field):
        if User.find(field.data):
            raise ValidationError("This name is already in use. Choose another.")


@bp.route("/register", methods=["GET", "POST"])
def register():
    if current_user.is_authenticated:
        return redirect(url_for("main.index"))
    if not current_app.config["REGISTRATION_OPEN"]:
        flash("Registration is closed. Ask those who run this site for an account.", "info")
        return redirect(url_for("auth.login"))
    form = RegistrationForm()
    if form.validate_on_submit():
        try:
            user = registration.register(form.email.data, form.username.data, form.password.data)
            gate_page = gate.sign_in(user, "registration")
            flash(f"Welcome, {user.username}. A letter is on its way to {user.email}.", "success")
            return gate_page
        except IntegrityError:  # somebody was faster: now the form finds the name taken
            db.session.rollback()
            if form.validate():
                raise
    return form_page("auth/register.html", form)


@bp.route("/unconfirmed")
def unconfirmed():
    if not current_user.is_authenticated:
        return gate.ask_for_sign_in()
    if current_user.confirmed:
        return redirect(url_for("main.index"))
    wait, letter = registration.seconds_to_wait(current_user), registration.last_letter(current_user)
    return render_template("auth/unconfirmed.html", wait=wait, letter=letter)


@bp.route("/confirm/<token>")
def confirm(token):
    claims = tokens.read("confirm", token, even_expired=True)
    owner = claims and db.session.get(User, claims.subject)
    if owner and owner == current_user and owner.confirmed:
        flash("Your account is confirmed already.", "info")
        return redirect(url_for("main.index"))
    if not owner or not tokens.read("confirm", token) or not owner.owns("confirm", claims):
        return gate.unusable_link()
    if not current_user.is_authenticated:
        gate.hold_page(owner)
        return gate.ask_for_sign_in("Log in to confirm your address.", is_held=True)
    if request.method != "GET" or not registration.confirm(current_user, token):
        return gate.unusable_link()
    db.session.commit()
    flash("You have confirmed your account. Welcome.", "success")
    return gate.go_on()


@bp.route("/confirm", methods=["POST"])
def send_again():
    if not current_user.is_authenticated:
        return gate.ask_for_sign_in()
    if registration.send_again(current_user):
        db.session.commit()
        flash(f"Another letter is on its way to {current_user.email}.", "success")
    elif wait := registration.seconds_to_wait(current_user):
        flash(f"Another letter can be sent in {wait} {'second' if wait == 1 else 'seconds'}.", "info")
    return redirect(url_for("auth.unconfirmed"))

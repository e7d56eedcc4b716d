"""Signing in with a password, and out."""

from flask import flash, redirect, render_template, url_for
from flask_login import current_user
from wtforms import BooleanField, PasswordField, StringField
from wtforms.validators import DataRequired, InputRequired, Length

from app.accounts import passwords
from app.auth import gate
from app.auth.blueprint import bp
from app.auth.fields import Form, form_page, stripped

TOO_LONG = "This is too long."


class LoginForm(Form):
    """Its labels stand in _login_form.html, which any page can show."""

    login = StringField(
        validators=[
            DataRequired("Write your email address or username."),
            Length(max=254, message=TOO_LONG),
        ],
        filters=[stripped],
    )
    password = PasswordField(
        validators=[
            InputRequired("Write your password."),
            Length(max=passwords.MAX_LENGTH, message=TOO_LONG),
        ]
    )
    remember_me = BooleanField()


@bp.route("/login", methods=["GET", "POST"])
def login():
    if current_user.is_authenticated:
        return redirect(url_for("main.index"))
    form = LoginForm()
    if form.validate_on_submit():
        user = passwords.authenticate(form.login.data, form.password.data)
        if user:
            return gate.sign_in(user, "password", remember=form.remember_me.data)
        form.form_errors.append("That name and password do not go together. Check both and try again.")
    return form_page("auth/login.html", form)


@bp.route("/logout", methods=["GET", "POST"])
def logout():
    if not current_user.is_authenticated:
        flash("You are not logged in.", "info")
        return redirect(url_for("main.index"))
    form = Form()
    if form.validate_on_submit():
        gate.sign_out()
        flash("You have been logged out.", "success")
        return redirect(url_for("main.index"))
    return render_template("auth/logout.html")

"""Signing in with a password, and out."""

from flask import flash, redirect, render_template, url_for
from flask_login import current_user
from wtforms import BooleanField, PasswordField, StringField
from wtforms.validators import DataRequired, InputRequired

from app.accounts import passwords
from app.auth import gate
from app.auth.blueprint import bp
from app.auth.fields import Form, page


class LoginForm(Form):
    login = StringField(
        "Email address or username",
        [DataRequired("Write your email address or username.")],
        render_kw={"autocomplete": "username"},
    )
    password = PasswordField(
        "Password", [InputRequired("Write your password.")], render_kw={"autocomplete": "current-password"}
    )
    remember_me = BooleanField("Keep me logged in")


@bp.route("/login", methods=["GET", "POST"])
def login():
    if current_user.is_authenticated:
        return redirect(url_for("main.index"))
    form = LoginForm()
    if form.validate_on_submit():
        user = passwords.authenticate(form.login.data.strip(), form.password.data)
        if user:
            return gate.sign_in(user, "password", remember=form.remember_me.data)
        form.form_errors.append("That name and password do not go together. Check both and try again.")
    return page("auth/login.html", form)


@bp.route("/logout", methods=["GET", "POST"])
def logout():
    if not current_user.is_authenticated:
        return redirect(url_for("main.index"))
    form = Form()
    if form.validate_on_submit():
        gate.sign_out()
        flash("You have been logged out.", "success")
        return redirect(url_for("main.index"))
    return render_template("auth/logout.html")

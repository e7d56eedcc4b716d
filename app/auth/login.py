# mypy: ignore-errors
"""Logging in with a password or a passkey, and out."""

from datetime import timedelta

from flask import current_app, flash, redirect, render_template, request, session, url_for
from flask_login import current_user
from wtforms import BooleanField, PasswordField, StringField
from wtforms.validators import DataRequired, InputRequired

from app.accounts import passkeys, passwords
from app.auth import access, login_flow
from app.auth.blueprint import bp
from app.auth.forms import Form, MaxLength, captcha_field, form_page, stripped, with_captcha
from app.extensions import db
from app.models.logins import MAX_LOGIN_LENGTH
from app.request_state import SessionKey
from app.security import audit, captcha
from app.security.hashing import MAX_PASSWORD_LENGTH
from app.security.rate_limits import needs_captcha, rate_limited

FAILED_WITHIN = timedelta(minutes=15)


class LoginForm(Form):
    """Its labels stand in _login_form.html, which any page can show."""

    login = StringField(
        validators=[
            DataRequired("Write your email address or username."),
            MaxLength(MAX_LOGIN_LENGTH),
        ],
        filters=[stripped],
    )
    password = PasswordField(
        validators=[
            InputRequired("Write your password."),
            MaxLength(MAX_PASSWORD_LENGTH),
        ]
    )
    remember_me = BooleanField()
    recaptcha = captcha_field()


@bp.route("/login", methods=["GET", "POST"])
@rate_limited("login", "login_attempts", with_passkey=["passkey"])
def login():
    if current_user.is_authenticated:
        return redirect(url_for("main.index"))
    form = with_captcha(LoginForm(), _is_suspicious())
    if form.is_submitted() and request.form.get("credential"):
        return _by_passkey(form)
    if form.validate_on_submit():
        user = passwords.authenticate(form.login.data, form.password.data)
        if user:
            return login_flow.complete_login(user, "password", remember=form.remember_me.data)
        db.session.commit()  # a failure counts
        if captcha.is_on():
            session[SessionKey.FAILED_LOGINS] = session.get(SessionKey.FAILED_LOGINS, 0) + 1
        form = with_captcha(LoginForm(), _is_suspicious())
        form.form_errors.append("That name and password do not go together. Check both and try again.")
    return form_page("auth/login.html", form)


def _by_passkey(form):
    """The passkey says whose it is: no name is typed, and nothing can be guessed, so no CAPTCHA asks for a person."""
    user = passkeys.authenticate("log_in", access.browser_id(), request.form["credential"])
    if user:
        return login_flow.complete_login(user, "passkey", remember=form.remember_me.data, is_both_factors=True)
    db.session.commit()  # a failure counts
    form.form_errors.append("That passkey did not log you in. Try again, or log in another way.")
    return form_page("auth/login.html", form, unknown_passkey=passkeys.unknown(request.form["credential"]))


def _is_suspicious():
    """Say whether so many logins failed from this browser or network that a person is to be asked for."""
    if not captcha.is_on():
        return False
    if needs_captcha(request.form.get("login")):
        return True
    here = max(session.get(SessionKey.FAILED_LOGINS, 0), audit.failures(audit.origin()["ip"], FAILED_WITHIN))
    return current_app.config["RECAPTCHA_ALWAYS"] or here >= captcha.FAILURES


@bp.route("/logout", methods=["GET", "POST"])
def logout():
    if not current_user.is_authenticated:
        flash("You are not logged in.", "info")
        return redirect(url_for("main.index"))
    form = Form()
    if form.validate_on_submit():
        login_flow.log_out()
        flash("You have been logged out.", "success")
        return redirect(url_for("main.index"))
    return render_template("auth/logout.html")

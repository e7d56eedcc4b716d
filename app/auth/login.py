"""Login and logout: the login page takes a password or a passkey."""

from flask import current_app, flash, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_login import current_user
from wtforms import BooleanField
from wtforms.validators import InputRequired, StopValidation
from wtforms.widgets import PasswordInput

from app.accounts import passkeys, passwords
from app.auth import access, login_flow, passkey_offer
from app.auth.blueprint import bp
from app.auth.fields import captcha_field
from app.auth.forms import Form, MaxLength, TextField, form_page, stripped, with_captcha
from app.extensions import db
from app.models import User
from app.models.logins import MAX_LOGIN_LENGTH
from app.request_state import SessionKey
from app.security import audit, captcha, origin
from app.security.hashing import MAX_PASSWORD_LENGTH
from app.security.rate_limits import needs_captcha, rate_limited
from app.switches import is_on

COMPROMISED = _l(
    "This password has appeared in a data breach elsewhere. Check your email for a link to choose a new one."
)


def is_entered(form: Form, field: TextField) -> None:
    if not field.data:
        raise StopValidation(
            _("Enter your email or username.") if is_on("username") else _("Enter your email address.")
        )


class LoginForm(Form):
    """The labels are in the template _login_form.html, which the home page uses, too."""

    login = TextField(
        validators=[is_entered, MaxLength(MAX_LOGIN_LENGTH)],
        filters=[stripped],
    )
    password = TextField(
        validators=[InputRequired(_l("Enter your password.")), MaxLength(MAX_PASSWORD_LENGTH)], widget=PasswordInput()
    )
    remember_me = BooleanField()
    captcha = captcha_field()


@bp.route("/login", methods=["GET", "POST"])
@rate_limited("login", "login_attempts", with_passkey=["passkey"])
def login() -> ResponseReturnValue:
    if current_user.is_authenticated:
        return redirect(url_for("main.index"))
    needs_captcha = _needs_captcha()
    if request.method == "GET" and not needs_captcha and SessionKey.EMAIL_SENT_TO not in session:
        return render_template("auth/login.html")  # most visitors: a form object would be empty
    form = with_captcha(LoginForm(login=session.get(SessionKey.EMAIL_SENT_TO)), needs_captcha)
    if form.is_submitted() and request.form.get("credential"):
        return _log_in_by_passkey(form)
    if is_on("password") and form.validate_on_submit():
        user = passwords.authenticate(form.login.data, form.password.data)
        if user and not passwords.refuse_compromised(user, form.password.data):
            return _log_in(user, form)
        db.session.commit()  # the failure counts
        if is_on("captcha"):
            session[SessionKey.FAILED_LOGINS] = session.get(SessionKey.FAILED_LOGINS, 0) + 1
        form = with_captcha(LoginForm(), _needs_captcha())
        form.password.errors = [str(COMPROMISED) if user else _incorrect()]
    return form_page("auth/login.html", form)


@bp.route("/logout", methods=["GET", "POST"])
def logout() -> ResponseReturnValue:
    if not current_user.is_authenticated:
        flash(_("You're not logged in."), "info")
        return redirect(url_for("main.index"))
    if Form().validate_on_submit():
        login_flow.log_out()
        flash(_("You have been logged out."), "success")
        return redirect(url_for("main.index"))
    return render_template("auth/logout.html")


def _incorrect() -> str:
    return _("Incorrect username or password.") if is_on("username") else _("Incorrect email address or password.")


def _log_in(user: User, form: LoginForm) -> ResponseReturnValue:
    is_offer_due = passkey_offer.is_due(user, form.login.data)
    response = login_flow.complete_login(user, "password", remember=form.remember_me.data)
    if is_offer_due and SessionKey.USER_ID in session:
        session[SessionKey.PASSKEY_OFFER] = True
    return response


def _log_in_by_passkey(form: LoginForm) -> ResponseReturnValue:
    """Log in by a passkey. It can't be guessed, so no CAPTCHA is needed."""
    credential = request.form["credential"]
    user = passkeys.authenticate("log_in", access.browser_id(), credential)
    if user:
        return login_flow.complete_login(user, "passkey", remember=form.remember_me.data, is_both_factors=True)
    db.session.commit()  # the failure counts
    form.form_errors.append(_("That passkey wasn't accepted. Try again, or log in another way."))
    return form_page("auth/login.html", form, unknown_passkey=passkeys.unknown(credential))


def _needs_captcha() -> bool:
    """Return whether too many logins have failed in this browser, on its network, or in total."""
    if not is_on("captcha") or not is_on("password"):
        return False
    if needs_captcha(request.form.get("login")):
        return True
    from_network = audit.count_failed_logins(origin.of_request()["ip"], captcha.FAILED_WITHIN)
    failures = max(session.get(SessionKey.FAILED_LOGINS, 0), from_network)
    return bool(current_app.config["CAPTCHA_ALWAYS"]) or failures >= captcha.FAILURES

"""Registration: the page to register, and the one that says that an email was sent."""

from flask import current_app, flash, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from app import switches
from app.accounts import email_typos, enumeration, registration
from app.accounts.registration import NewAccount
from app.auth import login_flow, next_url
from app.auth.blueprint import bp
from app.auth.forms import form_page, with_captcha
from app.auth.registration_forms import RegistrationForm
from app.extensions import db
from app.request_state import SessionKey
from app.security import signing
from app.security.rate_limits import rate_limited
from app.security.rate_limits.counters import claim
from app.security.token_purposes import TokenPurpose
from app.web import errors
from app.web.own_urls import safe_next_url


@bp.route("/register", methods=["GET", "POST"])
@bp.route("/register/<token>", methods=["GET", "POST"], endpoint="register_by_link")
@rate_limited("availability")
def register(token: str = "") -> ResponseReturnValue:
    if current_user.is_authenticated:
        return redirect(url_for("main.index"))
    if not current_app.config["REGISTRATION_OPEN"]:
        flash("Registration is closed. Ask an administrator for an account.", "info")
        return redirect(url_for("auth.login"))
    has_password = switches.is_on("password")
    can_omit_password = has_password and switches.is_on("passkey") and enumeration.policy().registers_without_password
    form = _registration_form(token)
    if not has_password or ("by_passkey" in request.form and can_omit_password):
        del form.password, form.confirm_password
    if form.validate_on_submit():
        if token and "captcha" not in form and not claim(signing.fingerprint("register", token)):
            return errors.invalid_link()  # otherwise one emailed link would replace the CAPTCHA again and again
        if response := _register(form):
            return response
    return form_page("auth/register.html", form, can_omit_password=can_omit_password)


@bp.route("/email-sent")
def email_sent() -> ResponseReturnValue:
    email = session.get(SessionKey.EMAIL_SENT_TO)
    if not email:
        return redirect(url_for("auth.login"))
    return render_template("auth/email_sent.html", email=email, likely=email_typos.suggest(email))


def _registration_form(token: str) -> RegistrationForm:
    """Return the form, without the CAPTCHA for the address at which the visitor received the token."""
    claims = signing.verify(token, TokenPurpose.REGISTER)
    email = claims.state if claims else ""
    form = RegistrationForm(email=email)
    return with_captcha(form, not email or form.email.data.lower() != email.lower())


def _register(form: RegistrationForm) -> ResponseReturnValue | None:
    """Register; try again if another registration was faster, and return None if the form then has errors."""
    for _ in range(2):
        try:
            return _create(form.new_account())
        except registration.Taken:
            db.session.rollback()
            if not form.validate():
                return None
    form.form_errors.append("Another registration was faster. Try again.")
    return None


def _create(new: NewAccount) -> ResponseReturnValue:
    """Create the account and log in. With PREVENT_ENUMERATION, only say that an email was sent."""
    if not enumeration.policy().logs_in_at_registration:
        registration.create_concealed(new)
        db.session.commit()
        if next_page := safe_next_url(request.args.get("next")):
            session[SessionKey.NEXT], session[SessionKey.NEXT_FOR] = next_page, None
        return next_url.redirect_to_email_sent(new.email)
    user = registration.create(new)
    lacks_passkey = new.password is None and switches.is_on("passkey")
    wants_passkey = lacks_passkey and ("by_passkey" in request.form or not switches.is_on("magic_link"))
    passkeys = url_for("auth.list_passkeys", next=safe_next_url(request.args.get("next"))) if wants_passkey else None
    first = "" if user.can_use_application else "Confirm your email address first, then add a passkey."
    response = login_flow.complete_login(user, "registration", to=passkeys)
    if wants_passkey:
        flash(first or "Now add a passkey.", "info")
    elif lacks_passkey:
        session[SessionKey.PASSKEY_OFFER] = True
    return response

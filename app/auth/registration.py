"""Registration: the page to register, and the one that says that an email was sent."""

from flask import current_app, flash, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import current_user

from app.accounts import email_typos, enumeration, registration
from app.accounts.registration import NewAccount
from app.auth import next_url
from app.auth.blueprint import bp
from app.auth.forms import with_captcha
from app.auth.registration_flow import log_in_new, registration_page
from app.auth.registration_forms import RegistrationForm
from app.extensions import db
from app.request_state import SessionKey
from app.security import signing
from app.security.rate_limits import rate_limited
from app.security.rate_limits.counters import claimed
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
        flash(_("Registration is closed. Ask an administrator for an account."), "info")
        return redirect(url_for("auth.login"))
    form = _registration_form(token)

    def create(new: NewAccount) -> ResponseReturnValue:
        if not token or "captcha" in form:
            return _create(new)
        with claimed(signing.fingerprint("register", token)) as is_first:  # else one link would replace many CAPTCHAs
            return _create(new) if is_first else errors.invalid_link()

    return registration_page(form, create, enumeration.policy().registers_without_password)


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


def _create(new: NewAccount) -> ResponseReturnValue:
    """Create the account and log in. With PREVENT_ENUMERATION, only say that an email was sent."""
    if not enumeration.policy().logs_in_at_registration:
        registration.create_concealed(new)
        db.session.commit()
        if next_page := safe_next_url(request.args.get("next")):
            session[SessionKey.NEXT], session[SessionKey.NEXT_FOR] = next_page, None
        return next_url.redirect_to_email_sent(new.email)
    return log_in_new(registration.create(new), new)

"""Two-factor authentication: the pages to set it up and to turn it off."""

import segno
from flask import flash, redirect, render_template, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from app.accounts import authenticators
from app.accounts import two_factor as factors
from app.auth import access, next_url
from app.auth.blueprint import bp
from app.auth.fields import factor_code_field
from app.auth.forms import Form, confirmation_page, form_page
from app.extensions import db
from app.request_state import SessionKey
from app.security import signing

CHANGED = "Your account was changed on another device. Try again."
REMOVE_APP = {
    "title": "Remove the authenticator app?",
    "words": "Its codes are no longer asked for when you log in. Your other devices are logged out.",
    "button": "Remove the app",
}
REQUIRE_PASSKEY = {
    "title": "Require a passkey after your password?",
    "words": "Logging in with your password or an emailed link then also takes a passkey or a recovery code. "
    "Your other devices are logged out.",
    "button": "Require a passkey after your password",
}
STOP_REQUIRING_PASSKEY = {
    "title": "Stop requiring a passkey?",
    "words": "Your password or an emailed link then logs in without a passkey. Your other devices are logged out.",
    "button": "Stop requiring a passkey",
}


class SetUpForm(Form):
    code = factor_code_field("Code that the app shows")


@bp.route("/two-factor", methods=["GET", "POST"])
@access.reauthentication_required
def two_factor() -> ResponseReturnValue:
    app = authenticators.find(current_user)
    if not app:
        return _set_up()
    return render_template("auth/two_factor.html", app=app, passkeys=factors.passkey_state(current_user))


@bp.route("/two-factor/off", methods=["GET", "POST"])
@access.both_factors_required
def remove_authenticator() -> ResponseReturnValue:
    if not Form().validate_on_submit():
        return confirmation_page("auth.two_factor", **REMOVE_APP)
    if authenticators.remove(current_user, keep=current_user.current_session):
        access.credential_changed()
        db.session.commit()
        flash("The authenticator app is removed. Your other devices were logged out.", "success")
    return redirect(url_for("auth.two_factor"))


@bp.route("/two-factor/require-passkey", methods=["GET", "POST"])
@access.both_factors_required
def require_passkey() -> ResponseReturnValue:
    if not Form().validate_on_submit():
        return confirmation_page("auth.two_factor", **REQUIRE_PASSKEY)
    codes = factors.require_passkey(current_user, keep=current_user.current_session)
    if codes is None:
        flash("Add a passkey first, or reload this page if you have one.", "warning")
        return redirect(url_for("auth.two_factor"))
    access.credential_changed()
    db.session.commit()
    flash("A passkey is now required after your password. Your other devices were logged out.", "success")
    return _codes_page(codes) if codes else redirect(url_for("auth.two_factor"))


@bp.route("/two-factor/require-passkey/off", methods=["GET", "POST"])
@access.both_factors_required
def stop_requiring_passkey() -> ResponseReturnValue:
    if not Form().validate_on_submit():
        return confirmation_page("auth.two_factor", **STOP_REQUIRING_PASSKEY)
    if factors.stop_requiring_passkey(current_user, keep=current_user.current_session):
        access.credential_changed()
        db.session.commit()
        flash("A passkey is no longer required after your password. Your other devices were logged out.", "success")
    return redirect(url_for("auth.two_factor"))


@access.both_factors_required
def _set_up() -> ResponseReturnValue:
    form, secret = SetUpForm(), _secret()
    if form.validate_on_submit() and (answer := _add(form, secret)):
        return answer
    qr = segno.make(authenticators.uri(current_user, secret), micro=False)
    picture = qr.svg_inline(title="QR code of the key", light="#fff", svgclass="qr", lineclass=None, omitsize=True)
    context = {"picture": picture, "secret": secret, "passkeys": factors.passkey_state(current_user)}
    return form_page("auth/set_up_two_factor.html", form, **context)


def _secret() -> str:
    """Return the secret of the set-up in this session, which stores it encrypted until the app is added."""
    secret = signing.decrypt("authenticator", session.get(SessionKey.AUTHENTICATOR, ""))
    if not secret:
        secret = authenticators.new_secret()
        session[SessionKey.AUTHENTICATOR] = signing.encrypt("authenticator", secret)
    return secret


def _add(form: SetUpForm, secret: str) -> ResponseReturnValue | None:
    """Add the app and show the new recovery codes; return None and add an error to the form if it is refused."""
    try:
        codes = authenticators.add(current_user, secret, form.code.data, keep=current_user.current_session)
    except ValueError as error:
        form.code.errors = [str(error)]
        return None
    if codes is None:
        form.form_errors.append(CHANGED)
        return None
    access.credential_changed()
    session.pop(SessionKey.AUTHENTICATOR)
    db.session.commit()
    flash("Your authenticator app is set up. Your other devices were logged out.", "success")
    return _codes_page(codes) if codes else redirect(url_for("main.account"))


def _codes_page(codes: list[str]) -> ResponseReturnValue:
    """Show new recovery codes, once: only their hashes are stored."""
    return render_template("auth/recovery_codes.html", codes=codes, going=next_url.pop_next("main.account"))

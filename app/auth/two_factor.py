# mypy: ignore-errors
"""Setting up an authenticator app, taking it away, and recovery codes."""

import segno
from flask import flash, redirect, render_template, session, url_for
from flask_login import current_user

from app.accounts import recovery_codes
from app.accounts import two_factor as factors
from app.auth import access, pages
from app.auth.blueprint import bp
from app.auth.forms import Form, confirmation_page, factor_code_field, form_page
from app.extensions import db
from app.request_state import SessionKey
from app.security import signing


class TurnOnForm(Form):
    code = factor_code_field("Code that the app shows")


TURN_OFF = {
    "title": "Remove the authenticator app?",
    "words": "Its codes are no longer asked for when you log in. Your other devices are logged out.",
    "button": "Remove the app",
}


@bp.route("/two-factor", methods=["GET", "POST"])
@access.reauthentication_required
def two_factor():
    app = factors.find_authenticator(current_user)
    return render_template("auth/two_factor.html", app=app) if app else _set_up()


@bp.route("/two-factor/off", methods=["GET", "POST"])
@access.both_factors_required
def turn_off():
    if not Form().validate_on_submit():
        return confirmation_page("auth.two_factor", **TURN_OFF)
    if factors.turn_off(current_user, keep=current_user.current_session):
        access.credential_changed()
        db.session.commit()
        flash("The authenticator app is removed. Your other devices were logged out.", "success")
    return redirect(url_for("auth.two_factor"))


@bp.route("/recovery-codes", methods=["GET", "POST"])
@access.both_factors_required
def renew_codes():
    if not factors.is_on(current_user):
        return redirect(url_for("auth.two_factor"))
    if Form().validate_on_submit():
        codes = recovery_codes.renew(current_user)
        access.credential_changed()
        db.session.commit()
        return pages.codes_page(codes)
    return render_template("auth/renew_codes.html", left=recovery_codes.left(current_user))


@access.both_factors_required
def _set_up():
    form, secret = TurnOnForm(), _secret()
    if form.validate_on_submit() and (answer := _turn_on(form, secret)):
        return answer
    qr = segno.make(factors.uri(current_user, secret), micro=False)
    picture = qr.svg_inline(title="The key as a QR code", light="#fff", svgclass="qr", lineclass=None, omitsize=True)
    return form_page("auth/set_up_two_factor.html", form, picture=picture, secret=secret)


def _secret():
    """The secret that this browser is setting up: the same until a code of it was right, and readable nowhere else."""
    secret = signing.decrypt("authenticator", session.get(SessionKey.AUTHENTICATOR, ""))
    if not secret:
        secret = factors.new_secret()
        session[SessionKey.AUTHENTICATOR] = signing.encrypt("authenticator", secret)
    return secret


def _turn_on(form, secret):
    """Add the app, and answer with the recovery codes if it is the first factor; None if the code is wrong."""
    try:
        codes = factors.turn_on(current_user, secret, form.code.data, keep=current_user.current_session)
    except ValueError as error:
        form.code.errors = [str(error)]
        return None
    if codes is None:
        form.form_errors.append("It was changed elsewhere at this moment. Try again.")
        return None
    access.credential_changed()
    session.pop(SessionKey.AUTHENTICATOR)
    db.session.commit()
    flash("Your authenticator app is set up. Your other browsers were logged out.", "success")
    return pages.codes_page(codes) if codes else redirect(url_for("main.account"))

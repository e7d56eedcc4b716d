"""Two-factor authentication: the pages to set it up and to turn it off."""

from flask import flash, redirect, render_template, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_login import current_user, login_required

from app.accounts import authenticators, recovery_codes
from app.accounts import two_factor as factors
from app.auth import access, next_url
from app.auth.blueprint import bp
from app.auth.fields import factor_code_field
from app.auth.forms import Form, confirmation_page, form_page
from app.extensions import db
from app.request_state import SessionKey
from app.security import signing

REMOVE_APP = {"title": _l("Remove the authenticator app?"), "button": _l("Remove app")}
STOP_REQUIRING_PASSKEY = {"title": _l("Stop requiring a passkey?"), "button": _l("Stop requiring a passkey")}
TURNS_OFF = _l(
    "This turns off two-factor authentication. You'll log in without it, and your recovery codes will stop working. "
    "Your other devices will be logged out."
)
KEEPS_PASSKEY = _l("You'll still need a passkey to log in. Your other devices will be logged out.")
KEEPS_APP = _l(
    "You'll still need a code from your authenticator app, or a passkey, to log in. "
    "Your other devices will be logged out."
)
REQUIRE_PASSKEY = {
    "title": _l("Require a passkey to log in?"),
    "words": _l(
        "However you log in, you'll also need a passkey or a recovery code. Your other devices will be logged out."
    ),
    "button": _l("Require a passkey"),
    "style": "btn-primary",
}


class SetUpForm(Form):
    code = factor_code_field(_l("Code from your authenticator app"))


@bp.route("/two-factor")
@login_required
def two_factor() -> ResponseReturnValue:
    factors_on = {"app": authenticators.find(current_user), "passkeys": factors.passkey_state(current_user)}
    left = recovery_codes.left(current_user) if factors.is_on(current_user) else 0
    is_missing = factors.is_missing(current_user)
    return render_template("auth/two_factor.html", **factors_on, left=left, is_missing=is_missing)


@bp.route("/two-factor/set-up", methods=["GET", "POST"])
@access.both_factors_required
def set_up_authenticator() -> ResponseReturnValue:
    if authenticators.find(current_user):
        return redirect(url_for("auth.two_factor"))
    form, secret = SetUpForm(), _secret()
    if form.validate_on_submit() and (answer := _add(form, secret)):
        return answer
    import segno  # not where two-factor authentication is off

    uri = authenticators.uri(current_user, secret)
    qr = segno.make(uri, micro=False)
    picture = qr.svg_inline(
        title=_("QR code for your authenticator app"), light="#fff", svgclass="qr", lineclass=None, omitsize=True
    )
    return form_page("auth/set_up_two_factor.html", form, picture=picture, secret=secret, uri=uri)


@bp.route("/two-factor/off", methods=["GET", "POST"])
@access.both_factors_required
def remove_authenticator() -> ResponseReturnValue:
    if not Form().validate_on_submit():
        words = KEEPS_PASSKEY if factors.passkey_requirement(current_user) else TURNS_OFF
        return confirmation_page("auth.two_factor", **REMOVE_APP, words=words)
    if authenticators.remove(current_user, keep=current_user.current_session):
        access.credential_changed()
        db.session.commit()
        flash(_with_status(_("The authenticator app was removed.")), "success")
    return redirect(url_for("auth.two_factor"))


@bp.route("/two-factor/require-passkey", methods=["GET", "POST"])
@access.both_factors_required
def require_passkey() -> ResponseReturnValue:
    if not Form().validate_on_submit():
        return confirmation_page("auth.two_factor", **REQUIRE_PASSKEY)
    codes = factors.require_passkey(current_user, keep=current_user.current_session)
    if codes is None:
        flash(_("Add a passkey first, or reload this page if you have one."), "warning")
        return redirect(url_for("auth.two_factor"))
    access.credential_changed()
    db.session.commit()
    flash(_("A passkey is now required to log in. Your other devices were logged out."), "success")
    return _codes_page(codes) if codes else redirect(url_for("auth.two_factor"))


@bp.route("/two-factor/require-passkey/off", methods=["GET", "POST"])
@access.both_factors_required
def stop_requiring_passkey() -> ResponseReturnValue:
    if not Form().validate_on_submit():
        words = KEEPS_APP if authenticators.find(current_user) else TURNS_OFF
        return confirmation_page("auth.two_factor", **STOP_REQUIRING_PASSKEY, words=words)
    if factors.stop_requiring_passkey(current_user, keep=current_user.current_session):
        access.credential_changed()
        db.session.commit()
        flash(_with_status(_("A passkey is no longer required.")), "success")
    return redirect(url_for("auth.two_factor"))


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
        form.form_errors.append(_("Your account was changed on another device. Try again."))
        return None
    access.credential_changed()
    session.pop(SessionKey.AUTHENTICATOR)
    db.session.commit()
    flash(_with_status(_("Your authenticator app is set up.")), "success")
    return _codes_page(codes) if codes else redirect(url_for("auth.two_factor"))


def _with_status(done: str) -> str:
    """Return a sentence, and further ones about what follows from it."""
    is_on = factors.is_on(current_user)
    status = _("Two-factor authentication is on.") if is_on else _("Two-factor authentication is off.")
    return " ".join((done, status, _("Your other devices were logged out.")))


def _codes_page(codes: list[str]) -> ResponseReturnValue:
    """Show new recovery codes, once: only their hashes are stored."""
    return render_template("auth/recovery_codes.html", codes=codes, going=next_url.pop_next("auth.two_factor"))

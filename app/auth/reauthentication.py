"""Reauthentication before sensitive changes: by password, an emailed code or a passkey.

If two-factor authentication is on, the form also asks for its code. A passkey counts as both factors.
"""

from flask import abort, flash, redirect, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_login import current_user, login_required
from wtforms import HiddenField

from app.accounts import passkeys, reauthentication, sessions, two_factor, two_factor_codes
from app.auth import access, login_flow, next_url
from app.auth.blueprint import bp
from app.auth.fields import code_field, factor_code_field, password_field
from app.auth.forms import Form, form_page
from app.extensions import db
from app.models import AuditAction
from app.security import audit
from app.security.rate_limits import rate_limited
from app.web import stale_forms
from app.web.own_urls import safe_next_url


class PasswordForm(Form):
    password = password_field()
    factor_code = factor_code_field(_l("Code from your authenticator app"))


class CodeForm(Form):
    factor_code = factor_code_field(_l("Code from your authenticator app"))
    code = code_field()


class PasskeyForm(Form):
    credential = HiddenField()


@bp.route("/reauthenticate", methods=["GET", "POST"])
@login_required
@rate_limited("login", "reauthentication", "code", with_passkey=["passkey"])
def reauthenticate() -> ResponseReturnValue:
    if not current_user.current_session:
        abort(403)
    form = _form()
    if form.is_submitted() and "send_code" in request.form and not isinstance(form, PasskeyForm):
        return _send_code(form)
    if request.form.get("use_recovery_code") == "show":
        return _page(form)
    if form.validate_on_submit() and _verify(form):
        sessions.record_reauthentication(current_user.current_session)
        access.renew_session()
        db.session.commit()
        return _go_on()
    if form.errors:
        db.session.commit()  # a failed attempt counts
    return _page(form)


def _form() -> PasswordForm | CodeForm | PasskeyForm:
    if request.form.get("credential"):
        return PasskeyForm()
    form = PasswordForm() if current_user.has_password else CodeForm()
    if not two_factor.is_on(current_user):
        del form.factor_code
    return form


def _send_code(form: Form) -> ResponseReturnValue:
    is_sent = reauthentication.send_code(current_user)
    db.session.commit()
    message = _("We emailed you a code.") if is_sent else _("We've sent you too many emails. Try again in an hour.")
    flash(message, "success" if is_sent else "warning")
    return _page(form)


def _verify(form: PasswordForm | CodeForm | PasskeyForm) -> bool:
    """Return whether the user is verified; add an error to the field that is wrong.

    The code of two-factor authentication is checked only after a right password, and an emailed code only after that.
    """
    if isinstance(form, PasskeyForm):
        if not passkeys.authenticate("reauthentication", access.browser_id(), form.credential.data or "", current_user):
            form.credential.errors = [_("That passkey wasn't accepted. Try again, or use another method.")]
    elif isinstance(form, PasswordForm) and not current_user.verify_password(form.password.data):
        audit.record(current_user, AuditAction.LOGIN_FAILED)
        form.password.errors = [_("Incorrect password.")]
    elif form.factor_code and (problem := _problem_of_factor(form.factor_code.data)):
        form.factor_code.errors = [problem]
    elif isinstance(form, CodeForm) and not reauthentication.is_right(current_user, form.code.data):
        form.code.errors = [_("This code is incorrect or has expired. Request another one.")]
    return not form.errors


def _problem_of_factor(code: str) -> str | None:
    try:
        two_factor_codes.check_code(current_user, code, login_flow.device_id())
    except ValueError as error:
        return str(error)
    return None


def _page(form: Form) -> ResponseReturnValue:
    target = safe_next_url(request.form.get("target"))
    waiting = {"target": target, "held": stale_forms.held_fields()}
    return form_page("auth/reauthenticate.html", form, **waiting, methods=two_factor.methods(current_user))


def _go_on() -> ResponseReturnValue:
    """Redirect to the requested page, or show a button that submits the kept form again."""
    target, fields = safe_next_url(request.form.get("target")), stale_forms.held_fields()
    if not target:
        return next_url.redirect_to_next()
    if fields is None:
        flash(_("Thanks, that's confirmed. Fill in the form again."), "info")
        return redirect(target)
    return stale_forms.send_again_page(
        _("Thanks, that's confirmed"),
        _("Nothing has been changed yet. Send your form again to finish."),
        fields,
        target,
    )

# mypy: ignore-errors
"""Two-factor authentication of logging in: a passkey, a code of the authenticator app, or a recovery code."""

from flask import request
from wtforms import BooleanField, HiddenField
from wtforms.validators import ValidationError

from app.accounts import passkeys, recovery_codes, two_factor, two_factor_codes
from app.auth import access, login_flow
from app.auth.blueprint import bp
from app.auth.forms import Form, factor_code_field, form_page
from app.extensions import db
from app.models import AuditAction
from app.request_state import SessionKey
from app.security import audit
from app.security.rate_limits import rate_limited


def is_right(form, field):
    """A validator: use the code up, for the person whose first step this browser has done."""
    try:
        two_factor_codes.check_code(login_flow.pending_two_factor(), field.data, login_flow.device_id())
    except ValueError as error:
        raise ValidationError(str(error)) from error


class CodeForm(Form):
    code = factor_code_field("Code from your authenticator app", is_right)
    trust = BooleanField("Trust this browser for 30 days")


class PasskeyForm(Form):
    credential = HiddenField()
    trust = BooleanField()

    def validate_credential(self, field):
        user = login_flow.pending_two_factor()
        if not passkeys.authenticate("two_factor", access.browser_id(), field.data, user):
            raise ValidationError("That passkey was not taken. Try again, or do the step another way.")
        audit.record(user, AuditAction.TWO_FACTOR_USED, factor="passkey")


class RecoveryForm(Form):
    recovery_code = factor_code_field("Recovery code", is_right, inputmode="text")


@bp.route("/two-factor/verify", methods=["GET", "POST"])
@rate_limited("code", with_passkey=["passkey"])
def two_factor_verify():
    user = login_flow.pending_two_factor()
    if not user:
        return login_flow.restart(SessionKey.TWO_FACTOR)
    code, recovery = CodeForm(), RecoveryForm()
    form = PasskeyForm() if request.form.get("credential") else recovery if "recovery_code" in request.form else code
    if form.validate_on_submit():
        return login_flow.complete_two_factor(trust_device=form is not recovery and form.trust.data)
    if form.errors:
        db.session.commit()  # a wrong attempt counts
    state = {"methods": two_factor.methods(user), "left": recovery_codes.left(user)}
    return form_page("auth/two_factor_verify.html", form, code=code, recovery=recovery, **state)

"""Two-factor verification: the page of a login that asks for a passkey or a code."""

from flask import request
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import BooleanField, HiddenField

from app.accounts import passkeys, recovery_codes, two_factor, two_factor_codes
from app.auth import access, login_flow
from app.auth.blueprint import bp
from app.auth.fields import factor_code_field, recovery_code_field
from app.auth.forms import Form, form_page
from app.extensions import db
from app.models import AuditAction, User
from app.request_state import SessionKey
from app.security import audit
from app.security.rate_limits import rate_limited


class CodeForm(Form):
    trust = BooleanField(
        _l("Trust this device for 30 days"), description=_l("You won't need a code or passkey to log in here.")
    )
    code = factor_code_field(_l("Code from your authenticator app"))  # last: its last digit sends the form


class PasskeyForm(Form):
    credential = HiddenField()
    trust = BooleanField()


class RecoveryForm(Form):
    recovery_code = recovery_code_field()


@bp.route("/two-factor/verify", methods=["GET", "POST"])
@rate_limited("code", with_passkey=["passkey"])
def two_factor_verify() -> ResponseReturnValue:
    user = login_flow.pending_two_factor()
    if not user:
        return login_flow.restart(SessionKey.TWO_FACTOR)
    code, recovery = CodeForm(), RecoveryForm()
    form = PasskeyForm() if request.form.get("credential") else recovery if "recovery_code" in request.form else code
    if form.validate_on_submit() and _verify(user, form):
        return login_flow.complete_two_factor(trust_device="trust" in form and form["trust"].data)
    state = {"methods": two_factor.methods(user), "left": recovery_codes.left(user)}
    return form_page("auth/two_factor_verify.html", form, code=code, recovery=recovery, **state)


def _verify(user: User, form: CodeForm | PasskeyForm | RecoveryForm) -> bool:
    """Use the submitted factor; if it is wrong, return False and add an error to its field."""
    field = next(field for field in form if field.name != "trust")
    try:
        if isinstance(form, PasskeyForm):
            _use_passkey(user, field.data)
        else:
            two_factor_codes.check_code(user, field.data, login_flow.device_id())
    except ValueError as error:
        db.session.commit()  # the attempt counts
        field.errors = [str(error)]
        return False
    return True


def _use_passkey(user: User, answer: str) -> None:
    if not passkeys.authenticate("two_factor", access.browser_id(), answer, user):
        raise ValueError(_("That passkey wasn't accepted. Try again, or use a code."))
    audit.record(user, AuditAction.TWO_FACTOR_USED, factor="passkey")

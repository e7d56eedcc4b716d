"""The second step of signing in: a code of the authenticator app, or a recovery code."""

from flask import request
from wtforms import BooleanField
from wtforms.validators import ValidationError

from app.accounts import recovery_codes, second_step, two_factor
from app.auth import gate
from app.auth.blueprint import bp
from app.auth.fields import Form, factor_code_field, form_page
from app.extensions import db


def is_right(form, field):
    """A validator: use the code up, for the person whose first step this browser has done."""
    try:
        second_step.check_code(gate.second_step(), field.data, gate.device())
    except ValueError as error:
        raise ValidationError(str(error)) from error


class CodeForm(Form):
    code = factor_code_field("Code from your authenticator app", is_right)
    trust = BooleanField("Trust this browser for 30 days")


class RecoveryForm(Form):
    recovery_code = factor_code_field("Recovery code", is_right, inputmode="text")


@bp.route("/second-factor", methods=["GET", "POST"])
def second_factor():
    user = gate.second_step()
    if not user:
        return gate.start_again()
    code, recovery = CodeForm(), RecoveryForm()
    form = recovery if "recovery_code" in request.form else code
    if form.validate_on_submit():
        return gate.pass_second_step(trust_browser=form is code and code.trust.data)
    if form.errors:
        db.session.commit()  # a wrong try counts
    state = {"methods": two_factor.methods(user), "left": recovery_codes.left(user)}
    return form_page("auth/second_factor.html", form, code=code, recovery=recovery, **state)

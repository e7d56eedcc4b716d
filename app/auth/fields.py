"""What the forms share: fields, and how a page with a form answers."""

from flask import g, jsonify, render_template
from flask_wtf import FlaskForm
from wtforms import EmailField, PasswordField
from wtforms.validators import DataRequired, EqualTo, InputRequired

from app.accounts import passwords, registration
from app.auth.gate import wants_json


class Form(FlaskForm):
    """A form whose token CSRFProtect has checked already. No field takes a NUL: databases and scrypt stop at it."""

    class Meta(FlaskForm.Meta):
        csrf = False

        def wrap_formdata(self, form, formdata):
            return g.get("typed") or super().wrap_formdata(form, formdata)

    def validate(self, extra_validators=None):
        valid = super().validate(extra_validators)
        for field in self:
            if isinstance(field.data, str) and "\0" in field.data:
                field.errors = ["This has a character that can't be used here."]
                valid = False
        return valid


def page(template, form, **context):
    """Show a page with a form: 422 if the form has errors, which are all that a JSON request gets."""
    status = 422 if form.errors else 200
    if form.errors and wants_json():
        return jsonify(errors={name or "form": errors for name, errors in form.errors.items()}), status
    return render_template(template, form=form, **context), status


def rule(check):
    """Make a validator of a verb's rule: a function of a value that raises ValueError with a reason in words."""
    return lambda form, field: check(field.data)


def email_field(label="Email address"):
    def normal_email(form, field):
        field.data = registration.normal_email(field.data)

    return EmailField(
        label,
        [DataRequired("Write your email address."), normal_email],
        filters=[lambda typed: typed and typed.strip()],
        render_kw={"autocomplete": "email"},
    )


def new_password_field(label="Password", words=("email", "username")):
    """A new password. `words` names the fields that it must not be guessed from."""

    def will_do(form, field):
        passwords.check_new(field.data, [form[name].data for name in words if name in form])

    return PasswordField(
        label,
        [InputRequired("Choose a password."), will_do],
        render_kw={"autocomplete": "new-password"},
    )


def password_again_field(label="Password again"):
    return PasswordField(
        label,
        [EqualTo("password", "The two passwords are not the same.")],
        render_kw={"autocomplete": "new-password"},
    )
